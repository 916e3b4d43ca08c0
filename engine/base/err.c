/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/base/err.h"

#include <errno.h>
#include <stddef.h>

static const struct {
	const char *name, *text;
} table[] = {
#define X(name, text) {#name, text},
	ERR_LIST(X)
#undef X
};

const char *err_name(enum err err)
{
	size_t index = (size_t)err;

	return index < sizeof(table) / sizeof(table[0]) ? table[index].name : "UNKNOWN";
}

const char *err_text(enum err err)
{
	size_t index = (size_t)err;

	return index < sizeof(table) / sizeof(table[0]) ? table[index].text : "unknown error";
}

enum err err_from_errno(int error_number)
{
	switch (error_number) {
	case 0:
		return ERR_OK;
	case ENOSPC:
	case EDQUOT:
		return ERR_NOSPACE;
	case ENOMEM:
		return ERR_NOMEM;
	case ENOENT:
	case ENOTDIR:
		return ERR_NOTFOUND;
	case EEXIST:
		return ERR_EXISTS;
	case EACCES:
	case EPERM:
	case EROFS:
		return ERR_DENIED;
	case EINVAL:
		return ERR_INVALID;
	case EMFILE:
	case ENFILE:
	case ENAMETOOLONG:
		return ERR_LIMIT;
	case EAGAIN:
	case EBUSY:
	case EADDRINUSE:
		return ERR_UNAVAILABLE;
	case ETIMEDOUT:
		return ERR_TIMEOUT;
	case ECANCELED:
		return ERR_CANCELED;
	case EPIPE:
	case ECONNRESET:
		return ERR_CLOSED;
	default:
		return ERR_IO;
	}
}
