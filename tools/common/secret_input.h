/* SPDX-License-Identifier: MPL-2.0 */
/*
 * secret_input - passwords and codes, from a file, standard input, or a terminal
 * without echo. Never from the command line, which everybody on the host can see.
 */
#ifndef AEROSTORE_TOOLS_COMMON_SECRET_INPUT_H
#define AEROSTORE_TOOLS_COMMON_SECRET_INPUT_H

#include "engine/base/bytes.h"
#include "tools/common/program.h"

enum secret_use {
	SECRET_EXISTING, /* asked for once */
	SECRET_NEW,	 /* asked for twice; SECRET_NEW_MIN octets or more */
};

#define SECRET_NEW_MIN 8u

/*
 * Appends the first line of `file` ("-": the next line of standard input), without its line end;
 * NULL: asks on the terminal with `prompt`. The caller wipes `out`. What is wrong is printed.
 */
enum program_exit secret_input(const char *file, const char *option, const char *prompt,
			       enum secret_use use, struct buf *out);

#endif
