/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/support/certificate.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>

#include "engine/base/assert.h"

void certificate_make(const char *certificate_path, const char *key_path, const char *common_name)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();
	X509_NAME *name;
	FILE *file;

	ASSERT(key != NULL && certificate != NULL);
	name = X509_get_subject_name(certificate);
	ASSERT(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
					  (const unsigned char *)common_name, -1, -1, 0) == 1);
	ASSERT(X509_set_version(certificate, X509_VERSION_3) == 1);
	ASSERT(ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) == 1);
	ASSERT(X509_gmtime_adj(X509_getm_notBefore(certificate), -3600) != NULL);
	ASSERT(X509_gmtime_adj(X509_getm_notAfter(certificate), 3600) != NULL);
	ASSERT(X509_set_issuer_name(certificate, name) == 1);
	ASSERT(X509_set_pubkey(certificate, key) == 1);
	ASSERT(X509_sign(certificate, key, EVP_sha256()) > 0);

	file = fopen(certificate_path, "w");
	ASSERT(file != NULL && PEM_write_X509(file, certificate) == 1 && fclose(file) == 0);
	file = fopen(key_path, "w");
	ASSERT(file != NULL && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1 &&
	       fclose(file) == 0);
	X509_free(certificate);
	EVP_PKEY_free(key);
}
