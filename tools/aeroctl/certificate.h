/* SPDX-License-Identifier: MPL-2.0 */
/*
 * certificate - a self-signed certificate to begin with: ECDSA P-256, ten years,
 * for localhost, 127.0.0.1, ::1 and the host's name.
 */
#ifndef AEROSTORE_TOOLS_AEROCTL_CERTIFICATE_H
#define AEROSTORE_TOOLS_AEROCTL_CERTIFICATE_H

#include "engine/base/bytes.h"

/* Appends both as PEM; the key is the caller's to wipe. ERR_NOMEM; ERR_INVALID: the name. */
MUST_USE enum err certificate_make(const char *hostname, struct buf *certificate, struct buf *key);

#endif
