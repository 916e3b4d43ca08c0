/* SPDX-License-Identifier: MPL-2.0 */
/*
 * err - the one list of ways a call can fail.
 *
 * A function that can fail returns enum err, ERR_OK being 0, and hands its
 * results back through its last parameters, which it leaves untouched on
 * failure unless its header says otherwise. The classes stay distinct because
 * repair, IMAP, LMTP and HTTP each treat them differently: CORRUPT is taken
 * from another copy, TORN is an unfinished write that was never acknowledged,
 * UNAVAILABLE is retried by the peer (4xx), LIMIT and INVALID are its own fault.
 */
#ifndef AEROSTORE_ENGINE_BASE_ERR_H
#define AEROSTORE_ENGINE_BASE_ERR_H

#define ERR_LIST(X)                                                                                \
	X(OK, "no error")                                                                          \
	X(IO, "input/output error")                                                                \
	X(NOSPACE, "no space left")                                                                \
	X(NOMEM, "out of memory")                                                                  \
	X(CORRUPT, "data is damaged")                                                              \
	X(TORN, "write was never finished")                                                        \
	X(FOREIGN, "belongs to another store")                                                     \
	X(NEWER, "written by a newer version")                                                     \
	X(AUTH, "authentication failed")                                                           \
	X(DENIED, "not permitted")                                                                 \
	X(NOTFOUND, "not found")                                                                   \
	X(EXISTS, "already exists")                                                                \
	X(INVALID, "invalid input")                                                                \
	X(LIMIT, "over a limit")                                                                   \
	X(UNAVAILABLE, "temporarily unavailable")                                                  \
	X(TIMEOUT, "timed out")                                                                    \
	X(CANCELED, "canceled")                                                                    \
	X(CLOSED, "closed by the peer")                                                            \
	X(FENCED, "fenced by a later writer")                                                      \
	X(STALE, "out of date")                                                                    \
	X(GONE, "moved elsewhere")                                                                 \
	X(CONFLICT, "same name, other bytes")

enum err {
#define X(name, text) ERR_##name,
	ERR_LIST(X)
#undef X
};

#define MUST_USE __attribute__((warn_unused_result))

/* "IO", "CORRUPT": stable, for logs and JSON. Static storage. */
const char *err_name(enum err err);
/* A short phrase in English without a full stop. Static storage. */
const char *err_text(enum err err);
/* The class of a system call's errno. 0 gives ERR_OK; unknown values ERR_IO. */
enum err err_from_errno(int error_number);

#endif
