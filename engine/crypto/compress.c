/* SPDX-License-Identifier: MPL-2.0 */
#define ZSTD_STATIC_LINKING_ONLY /* contexts in memory of ours, which we can wipe */
#include "engine/crypto/compress.h"

#include <string.h>

#include <zstd.h>
#include <zstd_errors.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/crypto/scratch.h"

#define WINDOW_LOG_MIN 10u
#define WINDOW_LOG_MAX 16u

static struct scratch_pool compressing, decompressing;

/* Small tables: they are cleared for each string, and a string is short. */
static ZSTD_compressionParameters parameters_for(size_t plain_size)
{
	ZSTD_compressionParameters parameters = {
		.windowLog = WINDOW_LOG_MIN,
		.chainLog = 12,
		.hashLog = 13,
		.searchLog = 1,
		.minMatch = 6,
		.targetLength = 1,
		.strategy = ZSTD_fast,
	};

	while (parameters.windowLog < WINDOW_LOG_MAX &&
	       plain_size > (size_t)1 << parameters.windowLog)
		parameters.windowLog++;
	return parameters;
}

static size_t compress_in(ZSTD_CCtx *context, const ZSTD_compressionParameters *parameters,
			  struct bytes plain, uint8_t *out)
{
	const struct {
		ZSTD_cParameter name;
		unsigned value;
	} settings[] = {
		{ZSTD_c_windowLog, parameters->windowLog},
		{ZSTD_c_chainLog, parameters->chainLog},
		{ZSTD_c_hashLog, parameters->hashLog},
		{ZSTD_c_searchLog, parameters->searchLog},
		{ZSTD_c_minMatch, parameters->minMatch},
		{ZSTD_c_targetLength, parameters->targetLength},
		{ZSTD_c_strategy, parameters->strategy},
	};

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		size_t result =
			ZSTD_CCtx_setParameter(context, settings[i].name, (int)settings[i].value);

		ASSERT(!ZSTD_isError(result));
	}
	return ZSTD_compress2(context, out, plain.size - 1, plain.data, plain.size);
}

enum err compress_string(struct bytes plain, uint8_t *out, size_t *size)
{
	ZSTD_compressionParameters parameters = parameters_for(plain.size);
	ZSTD_compressionParameters largest = parameters_for(SIZE_MAX);
	size_t need = ZSTD_estimateCCtxSize_usingCParams(parameters), result;
	ZSTD_CCtx *context;
	void *workspace;

	*size = 0;
	if (plain.size == 0)
		return ERR_OK;
	workspace = scratch_take(&compressing, ZSTD_estimateCCtxSize_usingCParams(largest));
	if (workspace == NULL)
		return ERR_NOMEM;
	context = ZSTD_initStaticCCtx(workspace, need);
	ASSERT(context != NULL);
	result = compress_in(context, &parameters, plain, out);
	memory_wipe(workspace, need);
	scratch_give(&compressing, workspace);
	if (ZSTD_isError(result)) {
		/* It did not fit: our memory is enough for any string, so nothing else fails. */
		ASSERT(ZSTD_getErrorCode(result) == ZSTD_error_dstSize_tooSmall);
		memcpy(out, plain.data, plain.size);
		result = plain.size;
	}
	*size = result;
	return ERR_OK;
}

enum err decompress_string(struct bytes packed, uint8_t *out, size_t plain_size)
{
	size_t need = ZSTD_estimateDCtxSize(), result;
	ZSTD_DCtx *context;
	void *workspace;

	if (packed.size == plain_size) {
		if (plain_size != 0)
			memcpy(out, packed.data, plain_size);
		return ERR_OK;
	}
	workspace = scratch_take(&decompressing, need);
	if (workspace == NULL)
		return ERR_NOMEM;
	context = ZSTD_initStaticDCtx(workspace, need);
	ASSERT(context != NULL);
	result = ZSTD_decompressDCtx(context, out, plain_size, packed.data, packed.size);
	memory_wipe(workspace, need);
	scratch_give(&decompressing, workspace);
	return !ZSTD_isError(result) && result == plain_size ? ERR_OK : ERR_CORRUPT;
}
