/* SPDX-License-Identifier: MPL-2.0 */
/*
 * header - the header of a message or part, over borrowed bytes: fields one
 * after another, their values unfolded and decoded, IMAP's selections of them.
 *
 * Lines end with CRLF or LF; a header ends at the first empty line or with its
 * bytes. A line that starts with a space or tab goes on with the field before.
 * Nothing is an error: a line without a colon is a field without a name. Whoever
 * calls bounds the size of the block; time is linear in it.
 */
#ifndef AEROSTORE_MAIL_HEADER_H
#define AEROSTORE_MAIL_HEADER_H

#include "engine/base/bytes.h"

struct header_field {
	/* Without white space before the colon. Size 0 when the line has no colon. */
	struct bytes name;
	/* Folded as it is, without white space and line ends at both of its ends. */
	struct bytes value;
	/* The field with all its lines and line ends, as it stands. */
	struct bytes raw;
};

/*
 * Takes the next field off the front of *block. False at the end of the header;
 * *block then starts after the empty line, hence at the body, if one follows.
 */
bool header_next(struct bytes *block, struct header_field *out);
/* The first field of that name (ASCII case does not matter). False when absent. */
bool header_find(struct bytes block, struct bytes name, struct header_field *out);

/*
 * Appends the value without its line ends (RFC 5322 section 2.2.3); the white
 * space stays. NUL and bare CR go too, so that IMAP can send what is left.
 */
void header_unfold(struct bytes value, struct buf *out);
/*
 * Appends unstructured text as valid UTF-8: unfolded, encoded words (RFC 2047)
 * decoded, white space between two of them dropped. Words in an unknown charset
 * stay as they are; bytes that are not UTF-8 count as windows-1252; NUL and
 * other control characters become spaces.
 */
void header_decode(struct bytes value, struct buf *out);

/*
 * IMAP HEADER.FIELDS and HEADER.FIELDS.NOT (RFC 9051 section 6.4.5.1): appends
 * the raw fields of `block` whose name is, or is not, among the names, in the
 * block's order and folding, and the empty line that ends them.
 * `terminate` false leaves that empty line out.
 */
void header_select(struct bytes block, const struct bytes *names, size_t name_count, bool negate,
		   bool terminate, struct buf *out);

/*
 * One parameter of Content-Type or Content-Disposition. RFC 2231 continuations
 * (name*0=, name*1=) are joined. When any piece was extended (name*=, name*0*=)
 * the name ends with "*" and the value is charset'language'percent-encoded.
 */
struct header_parameter {
	struct bytes name, value;
};

/* A structured value: "type/subtype; a=b" or "attachment; filename=x". */
struct header_structured {
	/* The token before the first ";", comments and white space removed: "text/plain". */
	struct bytes value;
	struct header_parameter *parameters;
	size_t parameter_count;
	/* More parameters, or longer ones, than the limits allow were dropped. */
	bool cut;
	/* What the above point into. */
	struct buf text;
};

#define HEADER_PARAMETERS_MAX 64

/* ERR_NOMEM. Parameters without a name or "=" are dropped; of equal names the first counts. */
MUST_USE enum err header_structured_parse(struct bytes value, struct header_structured *out);
void header_structured_finish(struct header_structured *structured);
/*
 * Appends a parameter as UTF-8: looks for name* (RFC 2231), then for name (with
 * RFC 2047 words decoded, as many programs write file names). False when absent.
 */
bool header_parameter_decode(const struct header_parameter *parameters, size_t count,
			     struct bytes name, struct buf *out);

#endif
