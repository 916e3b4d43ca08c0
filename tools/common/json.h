/* SPDX-License-Identifier: MPL-2.0 */
/*
 * json - jansson as the admin socket uses it: memory that held a value is wiped
 * when it is freed, because requests and replies carry passwords.
 */
#ifndef AEROSTORE_TOOLS_COMMON_JSON_H
#define AEROSTORE_TOOLS_COMMON_JSON_H

#include <jansson.h>

#include "engine/base/bytes.h"

/* Once a process, before any other use of jansson. */
void json_setup(void);
/* NULL when `object` has no such string. Borrowed. */
const char *json_text(const json_t *object, const char *name);
/* 0 when `object` has no such number above zero. */
uint64_t json_number(const json_t *object, const char *name);
/* Failures of these show at json_line(): a text is never half of what was meant. */
void json_put_text(json_t *object, const char *name, const char *text);
void json_put_number(json_t *object, const char *name, uint64_t number);
void json_put_bool(json_t *object, const char *name, bool value);
void json_put_id(json_t *object, const char *name, struct id128 id);
/* Takes the reference to `value` over. */
void json_put(json_t *object, const char *name, json_t *value);
void json_add(json_t *array, json_t *value);
/*
 * Appends the compact text and a LF. ERR_NOMEM also when a json_put*() or json_add() has failed
 * since the last call, on any object.
 */
MUST_USE enum err json_line(const json_t *value, struct buf *out);

#endif
