/* SPDX-License-Identifier: MPL-2.0 */
/*
 * section - the section of FETCH BODY[section] and BINARY[section] (RFC 9051
 * section 6.4.5.1): its syntax without the lists of field names, and where in
 * the message it lies.
 */
#ifndef AEROSTORE_MAIL_SECTION_H
#define AEROSTORE_MAIL_SECTION_H

#include "mail/summary.h"

enum section_kind {
	/* BODY[], BODY[1.2] */
	SECTION_ALL,
	/* BODY[HEADER], BODY[1.HEADER]; also what HEADER.FIELDS and .NOT select from. */
	SECTION_HEADER,
	SECTION_HEADER_FIELDS,
	SECTION_HEADER_FIELDS_NOT,
	SECTION_TEXT,
	/* BODY[1.MIME] */
	SECTION_MIME,
};

struct section {
	enum section_kind kind;
	size_t number_count;
	/* From 1. */
	uint32_t numbers[SUMMARY_DEPTH_MAX];
};

struct section_range {
	uint64_t offset, size;
	/* The part whose body or header it is; the root for BODY[], BODY[HEADER], BODY[TEXT]. */
	const struct part *part;
};

/*
 * What stands between the brackets: "", "1.2", "HEADER", "1.2.MIME", and
 * "1.HEADER.FIELDS" (the caller reads the list after it). ERR_INVALID: syntax, a
 * number 0 or above 2^32-1, MIME without a number. ERR_LIMIT: deeper than any message.
 */
MUST_USE enum err section_parse(struct bytes text, struct section *out);

/*
 * ERR_NOTFOUND: the message has no such part, or the part is no message (HEADER
 * and TEXT); IMAP then sends NIL. Sections of a header are the header's range with
 * its empty line. Part 1 of a message that is not multipart is its body; 1.MIME its header.
 */
MUST_USE enum err section_locate(const struct summary *summary, const struct section *section,
				 struct section_range *out);

#endif
