/* SPDX-License-Identifier: MPL-2.0 */
/*
 * program - what aerod and aeroctl have in common as programs.
 */
#ifndef AEROSTORE_TOOLS_COMMON_PROGRAM_H
#define AEROSTORE_TOOLS_COMMON_PROGRAM_H

#define PROGRAM_VERSION "0.1.0"
#define PROGRAM_CONFIG "/etc/aerostore/aerostore.conf"

/* How both end. */
enum program_exit {
	PROGRAM_OK = 0,
	PROGRAM_USAGE = 1,	 /* command line, configuration, or aerod could not start */
	PROGRAM_REFUSED = 2,	 /* not found, already there, wrong password, not possible now */
	PROGRAM_UNREACHABLE = 3, /* aerod does not answer */
};

#endif
