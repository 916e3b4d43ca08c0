/* SPDX-License-Identifier: MPL-2.0 */
/*
 * summary_part - what the header of one part says about it, for the summary's parser.
 */
#ifndef AEROSTORE_MAIL_SUMMARY_PART_H
#define AEROSTORE_MAIL_SUMMARY_PART_H

#include "mail/encoding.h"
#include "mail/summary_format.h"

/* RFC 2046 allows 70; a multipart with a longer one than this has none. */
#define SUMMARY_BOUNDARY_MAX 250

struct summary_part {
	enum part_kind kind;
	/* Index into summary_types or SUMMARY_TYPE_CUSTOM. */
	uint8_t type;
	/* A multipart/digest, whose parts are messages unless they say else. */
	bool digest;
	/* The part's text block, and how many parameters are in it. */
	struct buf text;
	size_t parameter_count;
	/* Of PART_MULTIPART. */
	struct buf boundary;
	/* Text to be shown to the user, hence to be previewed; and how to read it. */
	bool previewable, html;
	enum encoding_kind encoding;
	struct buf charset;
	/* Something was left out. */
	bool cut;
};

struct summary_part_source {
	/* Raw fields: Content-*; those of a nested message's envelope. */
	struct bytes mime, envelope;
	/* It stands in a multipart/digest; the limits allow it to have parts. */
	bool in_digest, may_nest;
};

void summary_part_finish(struct summary_part *part);
/* Sets all of *part, whose memory is used again from call to call. ERR_NOMEM. */
MUST_USE enum err summary_part_describe(const struct summary_part_source *source,
					struct summary_part *part);

#endif
