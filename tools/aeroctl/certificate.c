/* SPDX-License-Identifier: MPL-2.0 */
#include "tools/aeroctl/certificate.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#define VALID_DAYS 3650
#define CLOCK_SKEW_DAYS 1
#define SECONDS_A_DAY (24l * 60 * 60)

static bool add_extension(X509 *certificate, X509V3_CTX *context, int kind, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, context, kind, value);
	bool added = extension != NULL && X509_add_ext(certificate, extension, -1) == 1;

	X509_EXTENSION_free(extension);
	return added;
}

static bool add_extensions(X509 *certificate, const char *hostname)
{
	char names[512];
	X509V3_CTX context;

	X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
	X509V3_set_ctx_nodb(&context);
	snprintf(names, sizeof(names), "DNS:localhost,IP:127.0.0.1,IP:::1%s%s",
		 strcmp(hostname, "localhost") != 0 ? ",DNS:" : "",
		 strcmp(hostname, "localhost") != 0 ? hostname : "");
	return add_extension(certificate, &context, NID_basic_constraints, "critical,CA:FALSE") &&
	       add_extension(certificate, &context, NID_key_usage, "critical,digitalSignature") &&
	       add_extension(certificate, &context, NID_ext_key_usage, "serverAuth") &&
	       add_extension(certificate, &context, NID_subject_key_identifier, "hash") &&
	       add_extension(certificate, &context, NID_subject_alt_name, names);
}

/* Positive and without a leading zero, as RFC 5280, 4.1.2.2 wants it. */
static bool set_serial(X509 *certificate)
{
	unsigned char octets[16];
	BIGNUM *number;
	bool set;

	if (RAND_bytes(octets, sizeof(octets)) != 1)
		return false;
	octets[0] = (unsigned char)((octets[0] & 0x7f) | 0x40);
	number = BN_bin2bn(octets, sizeof(octets), NULL);
	set = number != NULL &&
	      BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;
	BN_free(number);
	return set;
}

static bool fill(X509 *certificate, EVP_PKEY *key, const char *hostname)
{
	X509_NAME *name = X509_get_subject_name(certificate);

	return X509_set_version(certificate, X509_VERSION_3) == 1 && set_serial(certificate) &&
	       X509_gmtime_adj(X509_getm_notBefore(certificate),
			       -CLOCK_SKEW_DAYS * SECONDS_A_DAY) != NULL &&
	       X509_gmtime_adj(X509_getm_notAfter(certificate), VALID_DAYS * SECONDS_A_DAY) !=
		       NULL &&
	       X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)hostname,
					  -1, -1, 0) == 1 &&
	       X509_set_issuer_name(certificate, name) == 1 &&
	       X509_set_pubkey(certificate, key) == 1 && add_extensions(certificate, hostname) &&
	       X509_sign(certificate, key, EVP_sha256()) != 0;
}

/* OpenSSL's memory BIO on secure heap where there is one, then into ours. */
static bool take_pem(BIO *bio, struct buf *out)
{
	char *data = NULL;
	long size = BIO_get_mem_data(bio, &data);

	if (size <= 0 || buf_reserve(out, (size_t)size) != ERR_OK)
		return false;
	buf_put(out, data, (size_t)size);
	OPENSSL_cleanse(data, (size_t)size);
	return true;
}

static bool write_both(X509 *certificate, EVP_PKEY *key, struct buf *certificate_out,
		       struct buf *key_out)
{
	BIO *public_bio = BIO_new(BIO_s_mem()), *secret_bio = BIO_new(BIO_s_secmem());
	bool written = public_bio != NULL && secret_bio != NULL &&
		       PEM_write_bio_X509(public_bio, certificate) == 1 &&
		       PEM_write_bio_PrivateKey(secret_bio, key, NULL, NULL, 0, NULL, NULL) == 1 &&
		       take_pem(public_bio, certificate_out) && take_pem(secret_bio, key_out);

	BIO_free(public_bio);
	BIO_free(secret_bio);
	return written;
}

enum err certificate_make(const char *hostname, struct buf *certificate_out, struct buf *key_out)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();
	enum err err = ERR_NOMEM;

	if (strlen(hostname) > 64)
		err = ERR_INVALID; /* RFC 5280, ub-common-name */
	else if (key != NULL && certificate != NULL && fill(certificate, key, hostname) &&
		 write_both(certificate, key, certificate_out, key_out))
		err = ERR_OK;
	X509_free(certificate);
	EVP_PKEY_free(key);
	return err;
}
