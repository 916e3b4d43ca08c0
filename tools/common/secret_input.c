/* SPDX-License-Identifier: MPL-2.0 */
#include "tools/common/secret_input.h"

#include <bsd/readpassphrase.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/memory.h"
#include "engine/crypto/slot.h"

static __attribute__((format(printf, 1, 2))) enum program_exit fail(const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	return PROGRAM_USAGE;
}

/* An octet at a time: nothing behind the line is taken, and no buffer of stdio keeps a copy. */
static enum program_exit read_line(int descriptor, const char *name, struct buf *out)
{
	char octet = '\0';
	ssize_t got = 0;

	while (out->size <= SLOT_SECRET_MAX && (got = read(descriptor, &octet, 1)) == 1 &&
	       octet != '\n')
		buf_put_u8(out, (uint8_t)octet);
	if (got < 0)
		return fail("%s: %s", name, strerror(errno));
	if (out->size > SLOT_SECRET_MAX)
		return fail("%s: the first line is longer than %u octets", name, SLOT_SECRET_MAX);
	if (out->size != 0 && out->data[out->size - 1] == '\r')
		out->size--;
	return out->err == ERR_OK ? PROGRAM_OK : fail("out of memory");
}

static enum program_exit read_file(const char *file, struct buf *out)
{
	enum program_exit status;
	int descriptor;

	if (strcmp(file, "-") == 0)
		return read_line(STDIN_FILENO, "standard input", out);
	descriptor = open(file, O_RDONLY | O_CLOEXEC);
	if (descriptor < 0)
		return fail("%s: %s", file, strerror(errno));
	status = read_line(descriptor, file, out);
	close(descriptor);
	return status;
}

static enum program_exit ask(const char *option, const char *prompt, struct buf *out)
{
	char line[SLOT_SECRET_MAX + 1], shown[80];
	bool read;

	snprintf(shown, sizeof(shown), "%s: ", prompt);
	read = readpassphrase(shown, line, sizeof(line), RPP_ECHO_OFF | RPP_REQUIRE_TTY) != NULL;
	if (read)
		buf_put_string(out, line);
	memory_wipe(line, sizeof(line));
	if (!read)
		return fail("no terminal to ask for it: give %s FILE (- for stdin)", option);
	return out->err == ERR_OK ? PROGRAM_OK : fail("out of memory");
}

static enum program_exit ask_again(const char *option, struct buf *out)
{
	struct buf again = {0};
	enum program_exit status = ask(option, "the same again", &again);

	if (status == PROGRAM_OK && !bytes_equal(bytes_of_buf(out), bytes_of_buf(&again)))
		status = fail("the two are not the same");
	buf_finish(&again);
	return status;
}

enum program_exit secret_input(const char *file, const char *option, const char *prompt,
			       enum secret_use use, struct buf *out)
{
	enum program_exit status;

	/* Grown once, so that no copy stays behind in freed memory. */
	if (buf_reserve(out, SLOT_SECRET_MAX + 1) != ERR_OK)
		return fail("out of memory");
	status = file != NULL ? read_file(file, out) : ask(option, prompt, out);
	if (status == PROGRAM_OK && out->size == 0)
		status = fail("%s: nothing was given", prompt);
	if (status == PROGRAM_OK && use == SECRET_NEW && out->size < SECRET_NEW_MIN)
		status = fail("%s: give %u characters or more", prompt, SECRET_NEW_MIN);
	if (status == PROGRAM_OK && file == NULL && use == SECRET_NEW)
		status = ask_again(option, out);
	return status;
}
