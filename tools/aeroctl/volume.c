/* SPDX-License-Identifier: MPL-2.0 */
/* aeroctl volume replace: an empty volume in the place of one that is lost for good. */
#include <stdio.h>
#include <string.h>

#include "engine/base/memory.h"
#include "engine/volume/volume.h"
#include "tools/aeroctl/output.h"

static bool is_configured(const struct config *config, const char *directory)
{
	for (size_t i = 0; i < config->volumes.count; i++)
		if (strcmp(config->volumes.items[i], directory) == 0)
			return true;
	return false;
}

/* As it is given, or below the folder of the configuration. */
static const char *find_directory(const struct control *control, char **made)
{
	const char *given = control->arguments[0];

	*made = NULL;
	if (is_configured(&control->config, given))
		return given;
	*made = config_path(&control->config, NULL, given);
	return *made != NULL && is_configured(&control->config, *made) ? *made : NULL;
}

static WAITS enum program_exit make_volume(struct control *control, const char *directory)
{
	const struct volume_identity identity = {.cluster = control->config.cluster,
						 .node = control->config.node,
						 .volume = env_random_id(control->env),
						 .created_ms = env_wall_ms(control->env)};
	enum err err = volume_format(directory, &identity);

	if (err == ERR_EXISTS)
		return control_fail(PROGRAM_REFUSED,
				    "%s is not empty: a volume begins with nothing in it. Should "
				    "what is there be given up, move it away first",
				    directory);
	if (err != ERR_OK)
		return control_fail(PROGRAM_REFUSED, "%s: %s", directory, err_text(err));
	if (control->options.json) {
		json_t *result = json_object();

		json_put_text(result, "directory", directory);
		json_put_id(result, "volume", identity.volume);
		return output_json(result);
	}
	printf("%s is an empty volume now. aerod takes it into service within seconds, or when\n"
	       "it starts, and fills it; aeroctl status says how far it is.\n",
	       directory);
	return PROGRAM_OK;
}

enum program_exit command_volume_replace(struct control *control)
{
	char *made;
	const char *directory = find_directory(control, &made);
	enum program_exit status;

	if (directory == NULL)
		status = control_fail(PROGRAM_USAGE, "%s: %s has no such volume",
				      control->arguments[0], control->config.path);
	else
		status = make_volume(control, directory);
	memory_free(made);
	return status;
}
