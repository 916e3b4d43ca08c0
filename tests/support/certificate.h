/* SPDX-License-Identifier: MPL-2.0 */
/* certificate - self-signed certificates for tests that speak TLS. */
#ifndef AEROSTORE_TESTS_SUPPORT_CERTIFICATE_H
#define AEROSTORE_TESTS_SUPPORT_CERTIFICATE_H

/* Writes a fresh P-256 key and its certificate as PEM files; aborts when it cannot. */
void certificate_make(const char *certificate_path, const char *key_path, const char *common_name);

#endif
