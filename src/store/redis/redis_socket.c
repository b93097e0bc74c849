/* hiredis knows no TLS, so bytes go by a socket of our own; never blocking, with poll() for deadlines. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "redis_internal.h"

/* ---- what went wrong ---- */

static struct status unreachable(const struct redis *redis, const char *what)
{
    return status_reason(REASON_STORE_UNREACHABLE,
                         "Redis at %s:%u cannot be reached: %s; check database.redis.host and "
                         "database.redis.port, and that it runs",
                         redis->settings.host, redis->settings.port, what);
}

static struct status slow(const struct redis *redis)
{
    return status_reason(
        REASON_STORE_UNREACHABLE,
        "Redis at %s:%u does not answer within its time-out; check that it is not stopped or "
        "overloaded",
        redis->settings.host, redis->settings.port);
}

static struct status ended(const struct redis *redis, struct redis_socket *socket)
{
    socket->lost = true;
    return status_reason(REASON_STORE_UNREACHABLE, "Redis at %s:%u ended the connection",
                         redis->settings.host, redis->settings.port);
}

/* The first of OpenSSL's queue, which is emptied. */
static const char *openssl_reason(void)
{
    const unsigned long error = ERR_get_error();
    const char *text = error == 0 ? NULL : ERR_reason_error_string(error);
    ERR_clear_error();
    return text == NULL ? "the connection ended" : text;
}

/* ---- certificates ---- */

static struct status read_certificates(const struct redis_options *options, SSL_CTX *tls)
{
    if (options->tls == REDIS_TLS_VERIFIED) {
        SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
        const int read = options->tls_ca_file == NULL ? SSL_CTX_set_default_verify_paths(tls)
                                                      : SSL_CTX_load_verify_file(tls, options->tls_ca_file);
        if (read != 1)
            return status_error(STATUS_INVALID_ARGUMENT,
                                "database.redis.tls_ca_file \"%s\" holds no certificate that can be read: %s",
                                options->tls_ca_file == NULL ? "" : options->tls_ca_file, openssl_reason());
    }
    if (options->tls_cert_file == NULL)
        return status_ok();
    if (SSL_CTX_use_certificate_chain_file(tls, options->tls_cert_file) != 1)
        return status_error(STATUS_INVALID_ARGUMENT,
                            "database.redis.tls_cert_file \"%s\" holds no certificate that can be read: %s",
                            options->tls_cert_file, openssl_reason());
    const char *key = options->tls_key_file == NULL ? "" : options->tls_key_file;
    if (SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1)
        return status_error(STATUS_INVALID_ARGUMENT,
                            "database.redis.tls_key_file \"%s\" holds no key of the certificate: %s", key,
                            openssl_reason());
    return status_ok();
}

struct status redis_tls_new(const struct redis_options *options, SSL_CTX **ret)
{
    if (options->tls == REDIS_TLS_OFF)
        return status_ok();
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
    if (tls == NULL)
        return redis_no_memory();
    (void)SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION); /* fails for unknown versions only */
    const struct status status = read_certificates(options, tls);
    if (status.code != STATUS_OK)
        SSL_CTX_free(tls);
    else
        *ret = tls;
    return status;
}

/* ---- waiting ---- */

/* False = not before the deadline. A deadline that has passed still looks once. */
static bool wait_for(const struct redis *redis, int fd, short events, int64_t deadline_us)
{
    for (;;) {
        const int64_t left_us = deadline_us - clock_monotonic_us(redis->clock);
        struct pollfd one = {.fd = fd, .events = events};
        const int ready = poll(&one, 1, left_us <= 0 ? 0 : (int)((left_us + 999) / 1000));
        if (ready > 0)
            return true;
        if (ready == 0 && left_us <= 0)
            return false;
    }
}

/* ---- opening ---- */

static struct status connect_to(const struct redis *redis, const struct addrinfo *address,
                                int64_t deadline_us, struct redis_socket *ret)
{
    ret->fd =
        socket(address->ai_family, address->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, address->ai_protocol);
    if (ret->fd < 0)
        return unreachable(redis, strerror(errno));
    const int yes = 1;
    (void)setsockopt(ret->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes); /* without it, it is slower */
    (void)setsockopt(ret->fd, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes); /* and a dead peer seen later */
    if (connect(ret->fd, address->ai_addr, address->ai_addrlen) == 0)
        return status_ok();
    int error = errno;
    socklen_t size = sizeof error;
    if (error == EINPROGRESS) {
        if (!wait_for(redis, ret->fd, POLLOUT, deadline_us))
            return unreachable(redis, "no answer within database.redis.connect_timeout");
        if (getsockopt(ret->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
            error = errno;
    }
    return error == 0 ? status_ok() : unreachable(redis, strerror(error));
}

static struct status connect_any(const struct redis *redis, int64_t deadline_us, struct redis_socket *ret)
{
    const struct addrinfo wanted = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *addresses = NULL;
    char port[8];
    (void)snprintf(port, sizeof port, "%u", redis->settings.port); /* fits */
    const int error = getaddrinfo(redis->settings.host, port, &wanted, &addresses);
    if (error != 0)
        return unreachable(redis, gai_strerror(error));
    struct status status = unreachable(redis, "its name has no address");
    for (const struct addrinfo *at = addresses; at != NULL && status.code != STATUS_OK; at = at->ai_next) {
        redis_socket_close(ret);
        status = connect_to(redis, at, deadline_us, ret);
    }
    freeaddrinfo(addresses);
    return status;
}

static struct status no_tls(const struct redis *redis, const char *why)
{
    return status_reason(REASON_STORE_UNREACHABLE,
                         "no encrypted connection to Redis at %s:%u: %s; check that it serves TLS on this "
                         "port, its certificate, and database.redis.tls and tls_ca_file",
                         redis->settings.host, redis->settings.port, why);
}

/* What the other side has said of the handshake, in an alert. It may be about our certificate, or that there is none. */
static struct status refused_by_server(const struct redis *redis, const char *alert)
{
    return status_reason(
        REASON_STORE_UNREACHABLE,
        "no encrypted connection to Redis at %s:%u: it answers \"%s\"; where it wants a certificate of "
        "its clients, name one that it accepts in database.redis.tls_cert_file and tls_key_file, and "
        "check that it speaks TLS 1.2 or later",
        redis->settings.host, redis->settings.port, alert);
}

/* OpenSSL counts alerts from there. */
static bool is_alert(unsigned long error)
{
    return ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) > SSL_AD_REASON_OFFSET;
}

/*
 * Over TLS 1.3 a server looks at the client's certificate when the client takes the handshake for done, and says what it
 * thinks of it in place of the first answer. Who was about to write may find only that nobody listens any more.
 */
static struct status tls_ended(const struct redis *redis, struct redis_socket *socket)
{
    uint8_t unwanted = 0;
    size_t got = 0;
    if (ERR_peek_error() == 0)
        (void)SSL_read_ex(socket->ssl, &unwanted, sizeof unwanted, &got);
    const bool alert = is_alert(ERR_peek_error());
    const char *reason = openssl_reason();
    return alert ? refused_by_server(redis, reason) : ended(redis, socket);
}

/* Waits for what OpenSSL asks for after a call that gave `result`; OK = call again. */
static struct status tls_wait(const struct redis *redis, struct redis_socket *socket, int result,
                              int64_t deadline_us, bool *ret_ready)
{
    const int error = SSL_get_error(socket->ssl, result);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
        return tls_ended(redis, socket);
    *ret_ready = wait_for(redis, socket->fd, error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline_us);
    return status_ok();
}

static struct status refused_tls(const struct redis *redis, SSL *ssl)
{
    const long verdict = SSL_get_verify_result(ssl);
    const bool alert = is_alert(ERR_peek_error());
    const char *reason = openssl_reason();
    if (alert)
        return refused_by_server(redis, reason);
    return no_tls(redis, verdict == X509_V_OK ? reason : X509_verify_cert_error_string(verdict));
}

/* A certificate names an address or a host. */
static bool expect_host(const struct redis *redis, SSL *ssl)
{
    const char *host = redis->settings.host;
    (void)SSL_set_tlsext_host_name(ssl, host); /* advice for servers with several names */
    if (redis->settings.tls != REDIS_TLS_VERIFIED)
        return true;
    return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1 || SSL_set1_host(ssl, host) == 1;
}

static struct status shake_hands(const struct redis *redis, int64_t deadline_us, struct redis_socket *socket)
{
    if (redis->tls == NULL)
        return status_ok();
    ERR_clear_error();
    socket->ssl = SSL_new(redis->tls);
    if (socket->ssl == NULL || SSL_set_fd(socket->ssl, socket->fd) != 1 || !expect_host(redis, socket->ssl))
        return redis_no_memory();
    for (;;) {
        const int result = SSL_connect(socket->ssl);
        if (result == 1)
            return status_ok();
        const int error = SSL_get_error(socket->ssl, result);
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
            return refused_tls(redis, socket->ssl);
        if (!wait_for(redis, socket->fd, error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline_us))
            return no_tls(redis, "it does not answer the handshake");
    }
}

struct status redis_socket_open(const struct redis *redis, int64_t deadline_us, struct redis_socket *ret)
{
    *ret = (struct redis_socket){.fd = -1};
    struct status status = connect_any(redis, deadline_us, ret);
    if (status.code == STATUS_OK)
        status = shake_hands(redis, deadline_us, ret);
    if (status.code != STATUS_OK)
        redis_socket_close(ret);
    return status;
}

void redis_socket_close(struct redis_socket *socket)
{
    SSL_free(socket->ssl);
    if (socket->fd >= 0)
        (void)close(socket->fd); /* nothing is owed to the other side */
    *socket = (struct redis_socket){.fd = -1};
}

/* ---- bytes ---- */

static struct status write_some(const struct redis *redis, struct redis_socket *socket, struct bytes bytes,
                                int64_t deadline_us, size_t *ret_written)
{
    bool ready = true;
    *ret_written = 0;
    if (socket->ssl != NULL) {
        ERR_clear_error();
        const int done = SSL_write_ex(socket->ssl, bytes.data, bytes.size_bytes, ret_written);
        if (done != 1)
            STATUS_TRY(tls_wait(redis, socket, done, deadline_us, &ready));
        return ready ? status_ok() : slow(redis);
    }
    const ssize_t sent = send(socket->fd, bytes.data, bytes.size_bytes, MSG_NOSIGNAL);
    if (sent >= 0) {
        *ret_written = (size_t)sent;
        return status_ok();
    }
    if (errno != EAGAIN && errno != EINTR)
        return ended(redis, socket);
    return wait_for(redis, socket->fd, POLLOUT, deadline_us) ? status_ok() : slow(redis);
}

struct status redis_socket_write(const struct redis *redis, struct redis_socket *socket, struct bytes bytes,
                                 int64_t deadline_us)
{
    while (bytes.size_bytes > 0) {
        size_t written = 0;
        STATUS_TRY(write_some(redis, socket, bytes, deadline_us, &written));
        bytes = bytes_of(bytes.data + written, bytes.size_bytes - written);
    }
    return status_ok();
}

struct status redis_socket_read(const struct redis *redis, struct redis_socket *socket, void *to,
                                size_t size_bytes, int64_t deadline_us, size_t *ret_bytes)
{
    for (bool ready = true; ready;) {
        *ret_bytes = 0;
        if (socket->ssl != NULL) {
            ERR_clear_error();
            const int done = SSL_read_ex(socket->ssl, to, size_bytes, ret_bytes);
            if (done == 1)
                return status_ok();
            STATUS_TRY(tls_wait(redis, socket, done, deadline_us, &ready));
            continue;
        }
        const ssize_t got = recv(socket->fd, to, size_bytes, 0);
        if (got > 0) {
            *ret_bytes = (size_t)got;
            return status_ok();
        }
        if (got == 0 || (errno != EAGAIN && errno != EINTR))
            return ended(redis, socket);
        ready = wait_for(redis, socket->fd, POLLIN, deadline_us);
    }
    return status_ok();
}
