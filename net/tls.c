/* SPDX-License-Identifier: MPL-2.0 */
#include "net/stream.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/memory.h"
#include "net/loop_io.h"
#include "net/tls_io.h"

enum { WHY_SIZE = 256 };

struct tls_context {
	SSL_CTX *openssl; /* replaced by a reload; connections hold the one they began with */
	char *certificate_path, *key_path;
	size_t holders;
};

/* ---- contexts ---- */

/* Else OpenSSL would ask for a passphrase on the terminal. */
static int no_passphrase(char *buffer, int size, int for_writing, void *context)
{
	(void)buffer;
	(void)size;
	(void)for_writing;
	(void)context;
	return 0;
}

/*
 * Idle connections are many: buffers are given back between records. Without
 * session tickets no key outlives a connection, so what was recorded stays
 * closed when a server is taken later.
 */
static SSL_CTX *context_make(const SSL_METHOD *method)
{
	SSL_CTX *openssl = SSL_CTX_new(method);

	if (openssl == NULL)
		return NULL;
	SSL_CTX_set_mode(openssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
					  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_options(openssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
					     SSL_OP_NO_TICKET | SSL_OP_CLEANSE_PLAINTEXT |
					     SSL_OP_CIPHER_SERVER_PREFERENCE |
					     SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_session_cache_mode(openssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_default_passwd_cb(openssl, no_passphrase);
	if (SSL_CTX_set_num_tickets(openssl, 0) != 1 ||
	    SSL_CTX_set_min_proto_version(openssl, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_cipher_list(openssl, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1) {
		SSL_CTX_free(openssl);
		return NULL;
	}
	return openssl;
}

static enum err explain(char why[WHY_SIZE], const char *what, const char *path)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = ERR_reason_error_string(code);

	ERR_clear_error();
	snprintf(why, WHY_SIZE, "%s %s: %s", what, path,
		 reason != NULL ? reason : "not usable as PEM");
	return ERR_INVALID;
}

static enum err check_readable(char why[WHY_SIZE], const char *what, const char *path)
{
	int failure = access(path, R_OK) == 0 ? 0 : errno;

	if (failure != 0)
		snprintf(why, WHY_SIZE, "%s %s: %s", what, path, strerror(failure));
	return err_from_errno(failure);
}

static enum err load_files(SSL_CTX *openssl, const char *certificate_path, const char *key_path,
			   char why[WHY_SIZE])
{
	enum err err = check_readable(why, "certificate", certificate_path);

	if (err == ERR_OK)
		err = check_readable(why, "key", key_path);
	if (err != ERR_OK)
		return err;
	ERR_clear_error();
	if (SSL_CTX_use_certificate_chain_file(openssl, certificate_path) != 1)
		return explain(why, "certificate", certificate_path);
	/* The check is for a key of another algorithm; of the same one, the first call says it. */
	if (SSL_CTX_use_PrivateKey_file(openssl, key_path, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_check_private_key(openssl) != 1)
		return explain(why, "key", key_path);
	return ERR_OK;
}

static enum err context_load(const char *certificate_path, const char *key_path, char why[WHY_SIZE],
			     SSL_CTX **out)
{
	SSL_CTX *openssl = context_make(TLS_server_method());
	enum err err;

	if (openssl == NULL) {
		snprintf(why, WHY_SIZE, "out of memory");
		return ERR_NOMEM;
	}
	err = load_files(openssl, certificate_path, key_path, why);
	if (err == ERR_OK)
		*out = openssl;
	else
		SSL_CTX_free(openssl);
	return err;
}

static char *copy_string(const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = memory_allocate(size);

	if (copy != NULL)
		memcpy(copy, text, size);
	return copy;
}

enum err tls_context_load(const char *certificate_path, const char *key_path, char why[WHY_SIZE],
			  struct tls_context **out)
{
	struct tls_context *tls = memory_allocate(sizeof(*tls));
	enum err err = ERR_NOMEM;

	if (tls != NULL) {
		tls->holders = 1;
		tls->certificate_path = copy_string(certificate_path);
		tls->key_path = copy_string(key_path);
	}
	if (tls == NULL || tls->certificate_path == NULL || tls->key_path == NULL)
		snprintf(why, WHY_SIZE, "out of memory");
	else
		err = context_load(certificate_path, key_path, why, &tls->openssl);
	if (err == ERR_OK)
		*out = tls;
	else
		tls_context_destroy(&tls);
	return err;
}

enum err tls_context_reload(struct tls_context *tls, char why[WHY_SIZE])
{
	SSL_CTX *fresh;
	enum err err = context_load(tls->certificate_path, tls->key_path, why, &fresh);

	if (err != ERR_OK)
		return err;
	SSL_CTX_free(tls->openssl);
	tls->openssl = fresh;
	return ERR_OK;
}

struct tls_context *tls_context_hold(struct tls_context *tls)
{
	if (tls != NULL)
		tls->holders++;
	return tls;
}

void tls_context_destroy(struct tls_context **tls_pointer)
{
	struct tls_context *tls = *tls_pointer;

	*tls_pointer = NULL;
	if (tls == NULL || --tls->holders != 0)
		return;
	SSL_CTX_free(tls->openssl);
	memory_free(tls->certificate_path);
	memory_free(tls->key_path);
	memory_free(tls);
}

/* ---- connections ---- */

static enum err connection_make(SSL_CTX *openssl, int descriptor, SSL **out)
{
	SSL *ssl = SSL_new(openssl);

	if (ssl == NULL || SSL_set_fd(ssl, descriptor) != 1) {
		SSL_free(ssl);
		ERR_clear_error();
		return ERR_NOMEM;
	}
	*out = ssl;
	return ERR_OK;
}

enum err tls_server_create(struct tls_context *tls, int descriptor, struct ssl_st **out)
{
	enum err err = connection_make(tls->openssl, descriptor, out);

	if (err == ERR_OK)
		SSL_set_accept_state(*out);
	return err;
}

enum err tls_client_create(const char *verify_path, int descriptor, struct ssl_st **out)
{
	SSL_CTX *openssl = context_make(TLS_client_method());
	enum err err = ERR_INVALID;

	if (openssl == NULL)
		return ERR_NOMEM;
	SSL_CTX_set_verify(openssl, SSL_VERIFY_PEER, NULL);
	/* So that a server's own certificate can be what is trusted. */
	X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(openssl), X509_V_FLAG_PARTIAL_CHAIN);
	if (SSL_CTX_load_verify_file(openssl, verify_path) == 1)
		err = connection_make(openssl, descriptor, out);
	ERR_clear_error();
	SSL_CTX_free(openssl);
	if (err == ERR_OK)
		SSL_set_connect_state(*out);
	return err;
}

void tls_destroy(struct ssl_st **ssl)
{
	SSL_free(*ssl);
	*ssl = NULL;
}

/* The class of what a call on the connection returned, right after it and on the same thread. */
static enum err outcome(SSL *ssl, int result, unsigned *want)
{
	int error_number = errno;
	enum err err;

	if (result == 1)
		return ERR_OK;
	switch (SSL_get_error(ssl, result)) {
	case SSL_ERROR_WANT_READ:
		*want = LOOP_READ;
		return ERR_UNAVAILABLE;
	case SSL_ERROR_WANT_WRITE:
		*want = LOOP_WRITE;
		return ERR_UNAVAILABLE;
	case SSL_ERROR_ZERO_RETURN:
		return ERR_CLOSED;
	case SSL_ERROR_SYSCALL:
		err = error_number == 0 || error_number == ECONNRESET || error_number == EPIPE
			      ? ERR_CLOSED
			      : ERR_IO;
		break;
	default:
		err = ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING
			      ? ERR_CLOSED
			      : ERR_IO;
		break;
	}
	ERR_clear_error();
	return err;
}

enum err tls_handshake(struct ssl_st *ssl, unsigned *want)
{
	ERR_clear_error();
	errno = 0;
	return outcome(ssl, SSL_do_handshake(ssl), want);
}

enum err tls_read(struct ssl_st *ssl, void *to, size_t size, size_t *done_size, unsigned *want)
{
	ERR_clear_error();
	errno = 0;
	return outcome(ssl, SSL_read_ex(ssl, to, size, done_size), want);
}

enum err tls_write(struct ssl_st *ssl, const void *from, size_t size, size_t *done_size,
		   unsigned *want)
{
	ERR_clear_error();
	errno = 0;
	return outcome(ssl, SSL_write_ex(ssl, from, size, done_size), want);
}

bool tls_has_input(struct ssl_st *ssl)
{
	return SSL_has_pending(ssl) == 1;
}

void tls_notify_close(struct ssl_st *ssl)
{
	/* Not allowed after a fatal error or in the middle of a handshake. */
	if (SSL_is_init_finished(ssl) == 1)
		(void)SSL_shutdown(ssl);
	ERR_clear_error();
}
