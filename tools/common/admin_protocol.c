/* SPDX-License-Identifier: MPL-2.0 */
#include "tools/common/admin_protocol.h"

#include <string.h>

static const char *const statuses[] = {
	[ACCOUNT_ACTIVE] = "active",
	[ACCOUNT_DISABLED] = "disabled",
	[ACCOUNT_DELETED] = "deleted",
};

static const char *const slot_kinds[] = {
	[SLOT_PASSWORD] = "password",	[SLOT_RECOVERY] = "recovery", [SLOT_APP] = "app",
	[SLOT_ENROLMENT] = "enrolment", [SLOT_MEMBER] = "member",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *name_of(const char *const *names, size_t count, size_t value)
{
	return value < count && names[value] != NULL ? names[value] : "unknown";
}

/* 0, which none of the values is, when there is no such name. */
static size_t value_of(const char *const *names, size_t count, const char *name)
{
	for (size_t i = 0; name != NULL && i < count; i++)
		if (names[i] != NULL && strcmp(names[i], name) == 0)
			return i;
	return 0;
}

const char *admin_status_name(enum account_status status)
{
	return name_of(statuses, COUNT(statuses), status);
}

const char *admin_slot_kind_name(enum slot_kind kind)
{
	return name_of(slot_kinds, COUNT(slot_kinds), kind);
}

enum err admin_status_parse(const char *name, enum account_status *out)
{
	size_t value = value_of(statuses, COUNT(statuses), name);

	if (value == 0)
		return ERR_INVALID;
	*out = (enum account_status)value;
	return ERR_OK;
}

enum err admin_slot_kind_parse(const char *name, enum slot_kind *out)
{
	size_t value = value_of(slot_kinds, COUNT(slot_kinds), name);

	if (value == 0)
		return ERR_INVALID;
	*out = (enum slot_kind)value;
	return ERR_OK;
}

enum err admin_err_parse(const char *name)
{
#define X(short_name, text)                                                                        \
	if (name != NULL && strcmp(name, #short_name) == 0)                                        \
		return ERR_##short_name;
	ERR_LIST(X)
#undef X
	return ERR_IO;
}
