/* SPDX-License-Identifier: MPL-2.0 */
#include "tools/aeroctl/client.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/memory.h"
#include "net/stream.h"
#include "tools/common/admin_protocol.h"

/* Several Argon2 runs may be queued in front of ours. */
#define TIMEOUT_MS (2u * 60 * 1000)

json_t *request_make(const char *command)
{
	json_t *request = json_object();

	json_put_text(request, "command", command);
	return request;
}

static void __attribute__((format(printf, 3, 4)))
set_failure(struct answer *answer, enum program_exit status, const char *format, ...)
{
	va_list arguments;

	answer->status = status;
	va_start(arguments, format);
	vsnprintf(answer->message, sizeof(answer->message), format, arguments);
	va_end(arguments);
}

/* A reply may be longer than what a stream buffers. */
static WAITS enum err read_reply(struct stream *stream, uint64_t deadline_ms, struct buf *line)
{
	enum err err = ERR_OK;

	while (err == ERR_OK) {
		struct bytes input = stream_input(stream);
		const uint8_t *end = input.size != 0 ? memchr(input.data, '\n', input.size) : NULL;
		size_t size = end != NULL ? (size_t)(end - input.data) + 1 : input.size;

		buf_put(line, input.data, size);
		stream_consume(stream, size);
		if (line->err != ERR_OK || line->size > ADMIN_REPLY_MAX)
			return line->err != ERR_OK ? line->err : ERR_LIMIT;
		if (end != NULL)
			return ERR_OK;
		err = stream_fill(stream, deadline_ms);
	}
	return err;
}

static WAITS enum err converse(struct control *control, struct bytes request, struct buf *reply)
{
	uint64_t deadline_ms = env_now_ms(control->env) + TIMEOUT_MS;
	struct stream *stream = NULL;
	enum err err = stream_connect(control->sched, control->config.admin_socket, NULL,
				      deadline_ms, &stream);

	if (err != ERR_OK)
		return err;
	stream_set_secret(stream, true);
	err = stream_write(stream, request);
	if (err == ERR_OK)
		err = stream_flush(stream);
	if (err == ERR_OK)
		err = read_reply(stream, deadline_ms, reply);
	stream_close(&stream);
	return err;
}

static void read_answer(struct bytes text, struct answer *answer)
{
	answer->reply = json_loadb((const char *)text.data, text.size, 0, NULL);
	if (!json_is_object(answer->reply)) {
		set_failure(answer, PROGRAM_UNREACHABLE, "aerod's reply is not JSON");
	} else if (!json_is_true(json_object_get(answer->reply, "ok"))) {
		const char *message = json_text(answer->reply, "message");

		answer->err = admin_err_parse(json_text(answer->reply, "error"));
		set_failure(answer, PROGRAM_REFUSED, "%s",
			    message != NULL ? message : err_text(answer->err));
	}
}

void client_ask(struct control *control, json_t *request, struct answer *answer)
{
	struct buf line = {0}, reply = {0};
	enum err err = json_line(request, &line);

	*answer = (struct answer){.status = PROGRAM_OK};
	if (err == ERR_OK && line.size > ADMIN_REQUEST_MAX)
		err = ERR_LIMIT;
	if (err == ERR_OK)
		err = converse(control, bytes_of_buf(&line), &reply);
	if (err == ERR_OK)
		read_answer(bytes_of_buf(&reply), answer);
	else
		set_failure(answer, PROGRAM_UNREACHABLE, "aerod does not answer at %s: %s",
			    control->config.admin_socket,
			    err == ERR_UNAVAILABLE ? "it is not running"
			    : err == ERR_CLOSED	   ? "closed; only root and its own user are heard"
						   : err_text(err));
	buf_finish(&line);
	buf_finish(&reply);
	json_decref(request);
}

enum program_exit answer_report(const struct answer *answer)
{
	return answer->status == PROGRAM_OK ? PROGRAM_OK
					    : control_fail(answer->status, "%s", answer->message);
}

enum program_exit client_must(struct control *control, json_t *request, struct answer *answer)
{
	client_ask(control, request, answer);
	return answer_report(answer);
}

void answer_finish(struct answer *answer)
{
	json_decref(answer->reply);
	answer->reply = NULL;
}
