/* SPDX-License-Identifier: MPL-2.0 */
/*
 * format_example - the hexdumps of docs/format.md, made again and compared.
 *
 * A block of the document begins with ```hexdump NAME and ends with ```. Its
 * lines are, with a remark behind "; ":
 *
 *   00000008  01 00                    bytes
 *   00000088  00 * 3944                so many bytes of one value
 *   00000029  8f 03 .. 528 #<XXH3-64>  so many bytes, of which the first and a hash are shown
 *   ?8 a remark                        not filled in yet: 8 bytes; ?8* and ?8.. as above
 *
 * Remarks, the form of each line and its size are the document's; offsets and
 * values are ours. So the block is what its lines become when they are filled
 * in anew, or else it is wrong.
 */
#ifndef AEROSTORE_TESTS_SUPPORT_FORMAT_EXAMPLE_H
#define AEROSTORE_TESTS_SUPPORT_FORMAT_EXAMPLE_H

#include "engine/base/bytes.h"

struct format_example {
	const char *name;
	/* Appends the bytes. */
	void (*make)(struct buf *out);
};

/*
 * The main() of a test program that has these examples. `groups`: names before the '/' whose blocks
 * must all be among them, NULL at the end. With the argument --rewrite it prints the document with
 * its blocks filled in instead. Run from the top of the tree.
 */
int format_example_main(int argc, char **argv, const struct format_example *examples, size_t count,
			const char *const *groups);

/* `first`, first + 1, ...: ids, keys and the like. */
struct id128 format_example_id(uint8_t first);
void format_example_octets(uint8_t first, uint8_t *out, size_t size);

#endif
