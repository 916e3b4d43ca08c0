# SPDX-License-Identifier: MPL-2.0
"""report - rows of a benchmark, as a table, as JSON and as a picture.

A row: what, ours, peer (None: not measured), unit, peer_name, better ("higher",
"lower", or "" for what is neither), and maybe a target: ("ratio" or "value", limit).
"""
import html
import json


class Report:
    def __init__(self):
        self.rows, self.notes, self.details = [], [], {}
        self.growth = []  # (count, {measure: value}), by count

    def add(self, section, what, ours, peer, unit, peer_name, better, target=None):
        row = {"section": section, "what": what, "ours": ours, "peer": peer, "unit": unit,
               "peer_name": peer_name, "better": better, "ratio": None, "target": None, "reached": None}
        if ours is not None and peer:
            row["ratio"] = ours / peer
        if target is not None:
            kind, limit = target
            sign = ">=" if better == "higher" else "<="
            row["target"] = f"{sign} {limit:g}" + ("x" if kind == "ratio" else " " + unit)
            row["limit"] = limit if kind == "ratio" else None
            value = row["ratio"] if kind == "ratio" else ours
            if value is not None:
                row["reached"] = value >= limit if better == "higher" else value <= limit
        self.rows.append(row)

    def note(self, text):
        self.notes.append(text)
        print(text, flush=True)

    def table(self):
        lines = []
        heads = ("", "Aerostore", "peer", "", "ratio", "target", "reached")
        cells = [heads]
        section = None
        for row in self.rows:
            if row["section"] != section:
                section = row["section"]
                cells.append((section,))
            cells.append(("  " + row["what"], number(row["ours"]), number(row["peer"]),
                          f"{row['unit']}  vs {row['peer_name']}" if row["peer_name"] else row["unit"],
                          "-" if row["ratio"] is None else f"{row['ratio']:.2f}x",
                          row["target"] or "",
                          {None: "", True: "yes", False: "NO"}[row["reached"]]))
        widths = [max(len(c[i]) for c in cells if len(c) > 1) for i in range(len(heads))]
        for c in cells:
            if len(c) == 1:
                lines += ["", c[0]]
                continue
            lines.append("  ".join(text.rjust(width) if i in (1, 2, 4) else text.ljust(width)
                                   for i, (text, width) in enumerate(zip(c, widths))).rstrip())
        return "\n".join(lines) + "\n"

    def write(self, directory, conditions):
        with open(directory + "/bench.json", "w", encoding="utf-8") as out:
            json.dump({"conditions": conditions, "notes": self.notes, "rows": self.rows,
                       "details": self.details}, out, indent=1)
        with open(directory + "/bench.txt", "w", encoding="utf-8") as out:
            out.write("".join(f"{k}: {v}\n" for k, v in conditions.items()))
            out.write("\n".join(self.notes) + "\n\n" + self.table())
        with open(directory + "/bench.svg", "w", encoding="utf-8") as out:
            out.write(picture(self.rows, conditions))
        if self.growth:
            with open(directory + "/growth.svg", "w", encoding="utf-8") as out:
                out.write(growth_picture(self.growth))


def number(value):
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


# ---- the picture: one bar a ratio, on a logarithmic axis; a tick where the target is ----

LEFT, WIDTH, STEP, LOW, HIGH = 520, 480, 18, 1 / 32, 32


def position(ratio):
    import math
    ratio = min(max(ratio, LOW), HIGH)
    return LEFT + WIDTH * math.log(ratio / LOW) / math.log(HIGH / LOW)


def picture(rows, conditions):
    rows = [row for row in rows if row["ratio"]]
    height = 70 + STEP * len(rows)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 90}" height="{height}" '
           'font-family="sans-serif" font-size="11">',
           '<rect width="100%" height="100%" fill="white"/>',
           f'<text x="8" y="18" font-size="13">Aerostore as a multiple of its peer or limit '
           f'(sync p50 {html.escape(str(conditions.get("sync p50")))})</text>']
    for mark in (1 / 32, 1 / 8, 1 / 2, 1, 2, 8, 32):
        x = position(mark)
        out.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="42" y2="{height - 10}" '
                   f'stroke="{"black" if mark == 1 else "#ccc"}"/>'
                   f'<text x="{x:.1f}" y="38" text-anchor="middle">{mark:g}</text>')
    for i, row in enumerate(rows):
        y = 50 + STEP * i
        good = row["ratio"] >= 1 if row["better"] == "higher" else row["ratio"] <= 1
        good = row["reached"] if row["reached"] is not None else good
        start, end = sorted((position(1), position(row["ratio"])))
        label = html.escape(f'{row["section"]}: {row["what"]} ({row["peer_name"]})')
        out.append(f'<text x="{LEFT - 8}" y="{y + 10}" text-anchor="end">{label[:96]}</text>'
                   f'<rect x="{start:.1f}" y="{y}" width="{max(end - start, 1):.1f}" height="12" '
                   f'fill="{"#2a7d4f" if good else "#b5452c"}"/>'
                   f'<text x="{LEFT + WIDTH + 8}" y="{y + 10}">{row["ratio"]:.2f}x</text>')
        if row.get("limit"):
            x = position(row["limit"])
            out.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y - 2}" y2="{y + 14}" '
                       'stroke="#1b4f9c" stroke-width="2"/>')
    return "\n".join(out + ["</svg>"]) + "\n"


# ---- growth: a panel a measure, both axes logarithmic ----

PANEL_WIDTH, PANEL_HEIGHT, MARGIN = 330, 170, 46


def growth_picture(growth):
    measures = list(growth[0][1])
    rows = (len(measures) + 1) // 2
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * PANEL_WIDTH}" height="{rows * PANEL_HEIGHT}" '
           'font-family="sans-serif" font-size="11">', '<rect width="100%" height="100%" fill="white"/>']
    for i, measure in enumerate(measures):
        points = [(count, values[measure]) for count, values in growth]
        out.append(f'<g transform="translate({i % 2 * PANEL_WIDTH},{i // 2 * PANEL_HEIGHT})">'
                   + panel(measure, points) + "</g>")
    return "\n".join(out + ["</svg>"]) + "\n"


def panel(title, points):
    import math
    floor = 1e-3  # nothing is drawn as little
    values = [max(value, floor) for _, value in points]
    low = 10 ** math.floor(math.log10(min(values)))
    high = 10 ** max(math.ceil(math.log10(max(values))), math.floor(math.log10(min(values))) + 1)
    first, last = points[0][0], points[-1][0]

    def place(count, value):
        across = math.log(count / first) / math.log(last / first) if last > first else 0.5
        up = math.log(max(value, floor) / low) / math.log(high / low)
        return (MARGIN + across * (PANEL_WIDTH - 2 * MARGIN),
                PANEL_HEIGHT - 28 - up * (PANEL_HEIGHT - 60))

    out = [f'<text x="{MARGIN}" y="16">{html.escape(title)}</text>']
    for value in low, high:
        y = place(first, value)[1]
        out.append(f'<line x1="{MARGIN}" x2="{PANEL_WIDTH - MARGIN}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ccc"/>'
                   f'<text x="{MARGIN - 4}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    path = []
    for count, value in points:
        x, y = place(count, value)
        path.append(f"{x:.1f},{y:.1f}")
        out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#1b4f9c"/>'
                   f'<text x="{x:.1f}" y="{y - 7:.1f}" text-anchor="middle">{number(value)}</text>'
                   f'<text x="{x:.1f}" y="{PANEL_HEIGHT - 10}" text-anchor="middle">{count:,}</text>')
    out.append(f'<polyline points="{" ".join(path)}" fill="none" stroke="#1b4f9c"/>')
    return "".join(out)
