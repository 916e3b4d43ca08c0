/* SPDX-License-Identifier: MPL-2.0 */
/*
 * summary_format - the encoded summary, version 1; shared by its writer and reader.
 *
 *   u8       version
 *   varint   enum summary_flag
 *   varint   size; lines of the message; lines of its header
 *   u8       1 when there is a sent date, else 0; then
 *              u64 seconds (two's complement), u16 zone minutes (two's complement)
 *   block    kept fields
 *   block    preview
 *   varint   number of parts; of parameters; of nested messages
 *   part ... in the order of their headers in the message, parents first
 *
 * part:
 *   u8       enum part_kind
 *   varint   depth, the root's being 1; the parent is the last part one less deep
 *   varint   header offset, from the body offset of the part before (root: from 0)
 *   varint   header size; body size; body lines
 *   u8       type: an index into summary_types, or SUMMARY_TYPE_CUSTOM
 *   block    text: empty, or a varint of enum summary_text bits and for each bit,
 *            from the lowest on, its value: one block, except
 *              TYPE          two blocks: type, subtype (only with SUMMARY_TYPE_CUSTOM)
 *              PARAMETERS    varint count, then two blocks each: name, value
 *              DISPOSITION   one block, then as PARAMETERS
 *              ENVELOPE      the raw fields of a nested message's envelope
 */
#ifndef AEROSTORE_MAIL_SUMMARY_FORMAT_H
#define AEROSTORE_MAIL_SUMMARY_FORMAT_H

#include "mail/summary.h"

#define SUMMARY_VERSION 1

enum summary_text {
	SUMMARY_TEXT_TYPE = 1 << 0,
	SUMMARY_TEXT_PARAMETERS = 1 << 1,
	SUMMARY_TEXT_ID = 1 << 2,
	SUMMARY_TEXT_DESCRIPTION = 1 << 3,
	SUMMARY_TEXT_ENCODING = 1 << 4,
	SUMMARY_TEXT_MD5 = 1 << 5,
	SUMMARY_TEXT_DISPOSITION = 1 << 6,
	SUMMARY_TEXT_LANGUAGE = 1 << 7,
	SUMMARY_TEXT_LOCATION = 1 << 8,
	SUMMARY_TEXT_ENVELOPE = 1 << 9,
	SUMMARY_TEXT_ALL = (1 << 10) - 1,
};

#define SUMMARY_TYPE_CUSTOM 255

/* The indices that code refers to; the rest save bytes. */
enum summary_type {
	/* Without a Content-Type: has the parameter charset=us-ascii, not written. */
	SUMMARY_TYPE_DEFAULT,
	SUMMARY_TYPE_OPAQUE,
	SUMMARY_TYPE_MESSAGE,
	SUMMARY_TYPE_MULTIPART,
	SUMMARY_TYPE_COUNT = 20,
};

extern const struct summary_type_name {
	const char *type, *subtype;
} summary_types[SUMMARY_TYPE_COUNT];

/* An envelope from raw fields; of each field the first. */
struct summary_envelope summary_envelope_of(struct bytes fields);
/* Whether an envelope has the field. */
bool summary_is_envelope_field(struct bytes name);

#endif
