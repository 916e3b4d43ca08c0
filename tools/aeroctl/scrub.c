/* SPDX-License-Identifier: MPL-2.0 */
/* aeroctl scrub: the check of every octet on the disks. */
#include <stdio.h>
#include <time.h>

#include "tools/aeroctl/client.h"
#include "tools/aeroctl/output.h"

static void print_time(const char *what, uint64_t seconds)
{
	time_t when = (time_t)seconds;
	struct tm local;
	char text[64] = "never";

	if (seconds != 0 && localtime_r(&when, &local) != NULL)
		(void)strftime(text, sizeof(text), "%Y-%m-%d %H:%M", &local);
	printf("%s: %s\n", what, text);
}

static void print_faults(json_t *faults)
{
	void *at = json_object_iter(faults);

	if (at == NULL)
		printf("No faults were found, ever.\n");
	for (; at != NULL; at = json_object_iter_next(faults, at)) {
		printf("%s: %llu\n", json_object_iter_key(at),
		       (unsigned long long)json_integer_value(json_object_iter_value(at)));
	}
}

enum program_exit command_scrub_status(struct control *control)
{
	struct answer answer;
	enum program_exit status = client_must(control, request_make("status"), &answer);
	json_t *scrub;

	if (status != PROGRAM_OK) {
		answer_finish(&answer);
		return status;
	}
	scrub = json_object_get(answer.reply, "scrub");
	if (control->options.json) {
		status = output_json(json_incref(scrub));
	} else {
		printf("%s, %llu of %llu columns, %s read\n", json_text(scrub, "state"),
		       (unsigned long long)json_number(scrub, "columns_checked"),
		       (unsigned long long)json_number(scrub, "columns_total"),
		       output_size(json_number(scrub, "bytes_checked")));
		print_time("this round began", json_number(scrub, "round_started"));
		print_time("the last one ended", json_number(scrub, "last_finished"));
		print_faults(json_object_get(scrub, "faults"));
	}
	answer_finish(&answer);
	return status;
}

static WAITS enum program_exit order(struct control *control, const char *command)
{
	struct answer answer;
	enum program_exit status = client_must(control, request_make(command), &answer);

	answer_finish(&answer);
	return status;
}

enum program_exit command_scrub_start(struct control *control)
{
	return order(control, "scrub-start");
}

enum program_exit command_scrub_pause(struct control *control)
{
	return order(control, "scrub-pause");
}

enum program_exit command_scrub_resume(struct control *control)
{
	return order(control, "scrub-resume");
}
