/* SPDX-License-Identifier: MPL-2.0 */
/*
 * problem - everything that can be wrong with a store at rest: the one table of
 * codes, in the order of the passes that find them.
 *
 * X(code, name, severity, safe, message, question)
 *
 *   code      letters and digits, stable for ever: for scripts and expected output
 *   severity  NOTE: what a crash leaves, and the next start mends by itself without
 *             loss; it is mended here, too, when asked, and alone leaves status 0.
 *             ERROR: redundancy or order is less than it should be. LOSS: mail.
 *   safe      whether -p does it: nothing is decided that the disks do not say
 *   message   what it is, and what it means for mail; where is said beside it
 *   question  what would be done; NULL: nothing can be done here
 */
#ifndef AEROSTORE_ENGINE_FSCK_PROBLEM_H
#define AEROSTORE_ENGINE_FSCK_PROBLEM_H

#include <stdbool.h>

/* The question about what cannot be mended: known from then on, it is no news. */
#define FSCK_TAKE_NOTE "Take note of it, and do not report it again"

enum fsck_severity { FSCK_NOTE, FSCK_ERROR, FSCK_LOSS };

/* clang-format off */
#define FSCK_PROBLEMS(X)                                                                           \
	/* pass 0: volumes */                                                                      \
	X(V01, VOLUME_MISSING, ERROR, false,                                                       \
	  "The volume is not there; what it held is read from the others", NULL)                   \
	X(V02, SUPERBLOCK_COPY, ERROR, true,                                                       \
	  "One of the two superblock copies is damaged or older; the other is good",               \
	  "Write the superblock anew")                                                             \
	X(V03, SUPERBLOCK, ERROR, false,                                                           \
	  "Neither superblock copy is good; the volume does not open, its mail is read from the "  \
	  "others", "Write a superblock from what its segments and columns say")                   \
	X(V04, FOLDER_MISSING, ERROR, true,                                                        \
	  "A folder of the volume is missing, and all files in it", "Make it")                     \
	X(V05, SUPERBLOCK_UNKNOWN, ERROR, false,                                                   \
	  "Neither superblock copy is good, and no file says which volume this is; its files are " \
	  "left alone (see --salvage)", NULL)                                                      \
	X(V06, UNFINISHED_FILE, NOTE, true,                                                        \
	  "A crash left a file that was never put into place; it is ignored", "Put it aside")      \
	/* pass 1: records */                                                                      \
	X(C01, COLUMN_HEADER_COPY, ERROR, true,                                                    \
	  "One of the two header copies of a column is damaged; the other is good",                \
	  "Write the file anew")                                                                   \
	X(C02, COLUMN_HEADER, ERROR, true,                                                         \
	  "Both header copies of a column are damaged; its member is out of service",              \
	  "Write the file anew")                                                                   \
	X(C03, RECORD_ROTTEN, ERROR, true,                                                         \
	  "A record is not what its checksums say", "Write the file anew")                         \
	X(C04, RECORD_MISDIRECTED, ERROR, true,                                                    \
	  "A write meant for another place lies here", "Write the file anew")                      \
	X(C05, RECORD_LOST_WRITE, ERROR, true,                                                     \
	  "A write that was acknowledged is not there", "Write the file anew")                     \
	X(C06, RECORD_PADDING, ERROR, true,                                                        \
	  "Bytes that must be zero are not; nothing is lost by that", "Write the file anew")       \
	X(C07, COLUMN_UNREADABLE, ERROR, true,                                                     \
	  "The disk gives an error", "Write the file anew")                                        \
	X(C08, COLUMN_TAIL, NOTE, true,                                                            \
	  "An unfinished write at the end of a column", "Finish the set from its copies")          \
	X(C09, RECORD_STRANGE, ERROR, true,                                                        \
	  "An intact record has no business here", "Write the file anew")                          \
	X(C10, PARITY_DAMAGED, ERROR, true,                                                        \
	  "A parity column is not the one that was voted for", "Write the file anew")              \
	X(C11, COLUMN_CERTIFICATE, ERROR, true,                                                    \
	  "A column is not as long as the certificate says, or has another running hash",          \
	  "Write the file anew")                                                                   \
	X(C12, INDEX_PAGE, ERROR, true,                                                            \
	  "A page of a column's index is damaged", "Write the file anew")                          \
	X(C13, INDEX_DAMAGED, ERROR, true,                                                         \
	  "A column's index is not the one of its trailer", "Write the file anew")                 \
	X(C14, TRAILER_DAMAGED, ERROR, true,                                                       \
	  "The trailer of a sealed column is missing or damaged", "Write the file anew")           \
	X(C15, COLUMN_SHORT, ERROR, true,                                                          \
	  "A column's file ends before what it must hold", "Write the file anew")                  \
	X(C16, COLUMN_BEYOND, ERROR, true,                                                         \
	  "There are bytes between the parts of a column's file, or behind it",                    \
	  "Write the file anew")                                                                   \
	X(J01, SEGMENT_HEADER_COPY, ERROR, true,                                                   \
	  "One of the two header copies of a journal segment is damaged; the other is good",       \
	  "Write the file anew")                                                                   \
	X(J02, SEGMENT_HEADER, ERROR, true,                                                        \
	  "Both header copies of a journal segment are damaged; its records say where they "       \
	  "belong", "Write the file anew")                                                         \
	X(J03, SEGMENT_SHORT, NOTE, true,                                                          \
	  "A journal segment ends within its header: a crash cut its creation short",              \
	  "Put it aside")                                                                          \
	X(J04, SEGMENT_DAMAGED, ERROR, true,                                                       \
	  "Records of a journal segment are damaged; what they held is read from other replicas",  \
	  "Write its good records forward and fetch the others")                                   \
	X(J05, SEGMENT_TAIL, NOTE, true,                                                           \
	  "An unfinished write at the end of a journal segment",                                   \
	  "Write its good records forward")                                                        \
	X(J06, SEGMENT_RECORD, ERROR, true,                                                        \
	  "An intact journal record holds nothing that can be read",                               \
	  "Write the other records forward")                                                       \
	X(J07, SEGMENT_FOREIGN, ERROR, false,                                                      \
	  "A journal segment belongs to another volume; it keeps the journal from opening",        \
	  "Put it aside")                                                                          \
	/* pass 2: columns against siblings */                                                     \
	X(S01, COLUMN_MISSING, ERROR, true,                                                        \
	  "A column of a set is missing; its mail is computed from the others",                    \
	  "Compute it from the others")                                                            \
	X(S02, SET_ARITHMETIC, ERROR, true,                                                        \
	  "The columns of a set contradict each other in a place where their checksums agree",     \
	  "Compute the odd one from the others")                                                   \
	X(S03, SET_CHECKSUMS, ERROR, false,                                                        \
	  "More columns disagree with their checksums than the set can lose, yet they agree with " \
	  "each other: the checksums are wrong, not the mail", "Write certificate and footers anew") \
	X(S04, SET_BEYOND_REPAIR, LOSS, false,                                                     \
	  "More columns of a set are damaged than it can lose; only what is damaged in all of "    \
	  "them is lost", "Write what is left to a new set")                                       \
	X(S05, LEFTOVER, NOTE, true,                                                               \
	  "A file that a seal left behind", "Put it aside")                                        \
	X(S06, SET_UNFINISHED, NOTE, true,                                                         \
	  "A set that an evacuation began and did not finish; the old one is whole",               \
	  "Finish what it left")                                                                   \
	X(S07, COPY_MISSING, ERROR, true,                                                          \
	  "Members of an unsealed set do not hold the same records",                               \
	  "Finish the set from its copies")                                                        \
	X(S08, SET_TWICE, ERROR, false,                                                            \
	  "A column says that it belongs to another set of the same name", "Put it aside") \
	X(S09, CERTIFICATES_DIFFER, ERROR, false,                                                  \
	  "Columns of a set carry different certificates; the minority is not used",               \
	  "Compute the odd ones from the others")                                                  \
	X(S10, COLUMN_TWICE, ERROR, true,                                                          \
	  "A second copy of a column, on a volume that is not its member", "Put it aside")         \
	/* pass 3: set directory */                                                                \
	X(D01, DIRECTORY_SET, ERROR, true,                                                         \
	  "The set directory does not know a set, or not all of its columns; it is found by its "  \
	  "headers", "Enter it")                                                                   \
	X(D02, DIRECTORY_ENTRY, ERROR, false,                                                      \
	  "An entry of the set directory cannot be read; the headers say the same",                \
	  FSCK_TAKE_NOTE)          \
	X(D03, DIRECTORY_CONFLICT, ERROR, false,                                                   \
	  "The set directory holds two births or two seals of one set, or not the one that its "    \
	  "columns name", FSCK_TAKE_NOTE)                      \
	X(D04, SET_GONE, LOSS, false,                                                              \
	  "The set directory knows a set of which no column is left", FSCK_TAKE_NOTE)                        \
	/* pass 4: journal */                                                                      \
	X(R01, REPLICA_LACKS, ERROR, true,                                                         \
	  "A replica of the journal lacks records that others hold", "Fetch them")                 \
	X(R02, REPLICA_CONFLICT, ERROR, false,                                                     \
	  "Replicas hold different entries under one number; each keeps its own",                  \
	  FSCK_TAKE_NOTE)            \
	X(R03, PAGES_LOST, LOSS, false,                                                            \
	  "No replica holds a page that the newest manifest of a stream names; the state before "  \
	  "it counts", FSCK_TAKE_NOTE)                                                                       \
	X(R04, ENTRIES_LOST, LOSS, false,                                                          \
	  "Entries of a stream are missing on all replicas", FSCK_TAKE_NOTE)                                 \
	X(R05, REPLICA_NOT_COUNTED, NOTE, true,                                                    \
	  "A replica does not count until it has been compared with the others", "Compare it")     \
	/* pass 5: reachability */                                                                 \
	X(M01, MESSAGE_LOST, LOSS, false,                                                          \
	  "A message, or part of it, is on no volume any more", FSCK_TAKE_NOTE)
/* clang-format on */

enum fsck_code {
#define X(code, name, severity, safe, message, question) FSCK_##name,
	FSCK_PROBLEMS(X)
#undef X
		FSCK_CODE_COUNT
};

struct fsck_code_info {
	const char *code, *name;
	enum fsck_severity severity;
	bool safe;
	const char *message, *question;
};

/* Static storage. */
const struct fsck_code_info *fsck_code_info(enum fsck_code code);
/* "note", "error", "loss". */
const char *fsck_severity_name(enum fsck_severity severity);

#endif
