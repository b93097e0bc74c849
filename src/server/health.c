/*
 * grpc.health.v1.Health, written and read on the wire: two messages of one field each.
 *
 *   HealthCheckRequest  { string service = 1; }
 *   HealthCheckResponse { ServingStatus status = 1; }  UNKNOWN 0, SERVING 1, NOT_SERVING 2, SERVICE_UNKNOWN 3
 */
#include <stdlib.h>
#include <string.h>

#include "server/server_internal.h"

enum health_answer { HEALTH_SERVING = 1, HEALTH_NOT_SERVING = 2, HEALTH_SERVICE_UNKNOWN = 3 };

/* One Watch call; the exchange's context, in the server's list. Guarded by health_lock. */
struct health_watcher {
    struct health_watcher *next;
    struct exchange *exchange;
    bool known; /* the service it asked for exists */
    bool finished;
    bool blocked; /* the peer does not read: what it misses is only the last change */
    enum health_answer told;
};

static struct status read_service(struct bytes request, struct bytes *ret)
{
    *ret = BYTES_NONE;
    for (size_t at = 0; at < request.size_bytes;) {
        struct wire_field field;
        if (request.size_bytes > INTERNAL_REQUEST_MAX_BYTES || !wire_next(request, &at, &field))
            return status_error(STATUS_INVALID_ARGUMENT,
                                "the %zu bytes are not a grpc.health.v1.HealthCheckRequest",
                                request.size_bytes);
        if (field.number == 1 && field.type == WIRE_LEN)
            *ret = field.bytes;
    }
    return status_ok();
}

static bool is_known(const struct server *server, struct bytes service)
{
    bool known = service.size_bytes == 0;
    for (size_t i = 0; i < METHOD_COUNT && !known; i++)
        known = bytes_equal(method_service(&server->methods[i]), service);
    return known;
}

/* health_lock is held, here and in the functions named watch_tell and watch_finish. */
static enum health_answer answer_for(const struct server *server, bool known)
{
    return !known ? HEALTH_SERVICE_UNKNOWN : server->serving ? HEALTH_SERVING : HEALTH_NOT_SERVING;
}

/* HealthCheckResponse: tag of field 1 as a varint, then the enum. */
#define RESPONSE_BYTES(answer) ((const uint8_t[]){1U << 3, (uint8_t)(answer)})

static void check_begin(struct exchange *exchange, struct bytes request)
{
    struct bytes service = BYTES_NONE;
    struct status status = read_service(request, &service);
    const bool known = is_known(exchange->server, service);
    if (status_is_ok(&status) && !known)
        status = status_error(
            STATUS_NOT_FOUND, "there is no service \"%.*s\"; ask for \"\" or a service of the contract",
            (int)(service.size_bytes < 256 ? service.size_bytes : 256), (const char *)service.data);
    pthread_mutex_lock(&exchange->server->health_lock);
    const enum health_answer answer = answer_for(exchange->server, known);
    pthread_mutex_unlock(&exchange->server->health_lock);
    exchange_finish(exchange, &status, bytes_of(RESPONSE_BYTES(answer), 2), 0);
}

static void watch_tell(struct health_watcher *watcher)
{
    const enum health_answer answer = answer_for(watcher->exchange->server, watcher->known);
    if (watcher->finished || watcher->blocked || watcher->told == answer)
        return;
    watcher->told = answer;
    watcher->blocked = !exchange_send(watcher->exchange, bytes_of(RESPONSE_BYTES(answer), 2));
}

static void watch_finish(struct health_watcher *watcher, const struct status *status)
{
    if (watcher->finished)
        return;
    watcher->finished = true;
    exchange_finish(watcher->exchange, status, BYTES_NONE, 0);
}

static const struct status stopping_status = {.code = STATUS_UNAVAILABLE,
                                              .expected_version = STATUS_VERSION_NONE,
                                              .current_version = STATUS_VERSION_NONE,
                                              .message = "the server is stopping"};

static void watch_begin(struct exchange *exchange, struct bytes request)
{
    struct bytes service = BYTES_NONE;
    struct status status = read_service(request, &service);
    struct health_watcher *watcher = calloc(1, sizeof *watcher);
    if (status_is_ok(&status) && watcher == NULL)
        status = status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for another health watch");
    if (!status_is_ok(&status)) {
        free(watcher);
        exchange_finish(exchange, &status, BYTES_NONE, 0);
        return;
    }
    struct server *server = exchange->server;
    watcher->exchange = exchange;
    watcher->known = is_known(server, service);
    exchange->context = watcher;
    pthread_mutex_lock(&server->health_lock);
    watcher->next = server->watchers;
    server->watchers = watcher;
    watch_tell(watcher);
    if (server->stopping)
        watch_finish(watcher, &stopping_status);
    pthread_mutex_unlock(&server->health_lock);
}

static void watch_writable(struct exchange *exchange)
{
    struct health_watcher *watcher = exchange->context;
    pthread_mutex_lock(&exchange->server->health_lock);
    watcher->blocked = false;
    watch_tell(watcher);
    pthread_mutex_unlock(&exchange->server->health_lock);
}

static void watch_cancel(struct exchange *exchange)
{
    const struct status status = status_error(STATUS_CANCELLED, "the watcher is gone");
    pthread_mutex_lock(&exchange->server->health_lock);
    watch_finish(exchange->context, &status);
    pthread_mutex_unlock(&exchange->server->health_lock);
}

static void watch_over(struct exchange *exchange)
{
    struct health_watcher *watcher = exchange->context;
    pthread_mutex_lock(&exchange->server->health_lock);
    struct health_watcher **at = &exchange->server->watchers;
    while (*at != watcher)
        at = &(*at)->next;
    *at = watcher->next;
    pthread_mutex_unlock(&exchange->server->health_lock);
    free(watcher);
}

void health_set(struct server *server, bool serving, bool stopping)
{
    pthread_mutex_lock(&server->health_lock);
    server->serving = serving;
    server->stopping = server->stopping || stopping;
    for (struct health_watcher *watcher = server->watchers; watcher != NULL; watcher = watcher->next) {
        watch_tell(watcher);
        if (server->stopping)
            watch_finish(watcher, &stopping_status);
    }
    pthread_mutex_unlock(&server->health_lock);
}

const struct exchange_handler health_check_handler = {.begin = check_begin};
const struct exchange_handler health_watch_handler = {
    .begin = watch_begin, .writable = watch_writable, .cancel = watch_cancel, .over = watch_over};
