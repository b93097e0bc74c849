#include "unit/gateway/gateway/gateway_fixture.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/entropy.h"
#include "gateway/transcode/transcode.h"
#include "gateway/upstream/upstream.h"
#include "strata/v1/subscription_service.pb-c.h"

#define WAIT_S 60

/* --- gates --- */

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned count;
};

struct gate *gate_new(void)
{
    struct gate *gate = calloc(1, sizeof *gate);
    assert_non_null(gate);
    pthread_mutex_init(&gate->lock, NULL);
    pthread_cond_init(&gate->changed, NULL);
    return gate;
}

void gate_free(struct gate *gate)
{
    pthread_cond_destroy(&gate->changed);
    pthread_mutex_destroy(&gate->lock);
    free(gate);
}

void gate_raise(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->count++;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

void gate_wait(struct gate *gate, unsigned count)
{
    struct timespec until;
    int error = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    pthread_mutex_lock(&gate->lock);
    while (gate->count < count && error == 0)
        error = pthread_cond_timedwait(&gate->changed, &gate->lock, &until);
    const unsigned reached = gate->count;
    pthread_mutex_unlock(&gate->lock);
    if (reached < count)
        fail_msg("waited for %u, got %u", count, reached);
}

unsigned gate_count(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    const unsigned count = gate->count;
    pthread_mutex_unlock(&gate->lock);
    return count;
}

/* --- the worker --- */

struct work {
    void (*act)(void *context);
    void *context;
    struct work *next;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct work *first, **last;
    bool stopping;
    pthread_t thread;
} worker = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void *worker_run(void *context)
{
    (void)context;
    pthread_mutex_lock(&worker.lock);
    while (!worker.stopping || worker.first != NULL) {
        struct work *work = worker.first;
        if (work == NULL) {
            pthread_cond_wait(&worker.changed, &worker.lock);
            continue;
        }
        worker.first = work->next;
        if (worker.first == NULL)
            worker.last = &worker.first;
        pthread_mutex_unlock(&worker.lock);
        work->act(work->context);
        free(work);
        pthread_mutex_lock(&worker.lock);
    }
    pthread_mutex_unlock(&worker.lock);
    return NULL;
}

void fixture_later(void (*act)(void *context), void *context)
{
    struct work *work = calloc(1, sizeof *work);
    assert_non_null(work);
    *work = (struct work){act, context, NULL};
    pthread_mutex_lock(&worker.lock);
    *worker.last = work;
    worker.last = &work->next;
    pthread_cond_signal(&worker.changed);
    pthread_mutex_unlock(&worker.lock);
}

/* --- the gateway --- */

static _Atomic(fixture_handler *) handlers[SCHEMA_METHOD_COUNT];
static struct rpc_table *table;
static struct upstream *upstream;
static struct gateway *gateway;

static void start_any(void *service, struct call *call, const ProtobufCMessage *request)
{
    fixture_handler *handler = *(_Atomic(fixture_handler *) *)service;
    if (handler != NULL) {
        handler(call, request);
        return;
    }
    const struct status status = status_error(STATUS_UNAVAILABLE, "the test has no handler for it");
    call_finish(call, &status);
}

static void message_any(void *service, struct call *call, struct call_message *message)
{
    (void)service;
    (void)call;
    call_message_done(message);
}

static void half_close_any(void *service, struct call *call)
{
    (void)service;
    (void)call;
}

static const struct method_handler any = {start_any, message_any, half_close_any};
static struct gate *feeds_ended, *feeds_blocked;
static void feed_reset(void);

void fixture_start(const struct gateway_options *options)
{
    static const char *const origins[] = {"*"};
    static const struct gateway_options usual = {
        .development = true, .websocket = true, .allowed_origins = origins, .allowed_origin_count = 1};
    for (size_t i = 0; i < SCHEMA_METHOD_COUNT; i++)
        handlers[i] = NULL;
    worker.stopping = false;
    worker.last = &worker.first;
    assert_int_equal(pthread_create(&worker.thread, NULL, worker_run, NULL), 0);
    feeds_ended = gate_new();
    feeds_blocked = gate_new();
    feed_reset();
    table = rpc_table_new();
    for (size_t i = 0; i < SCHEMA_METHOD_COUNT; i++)
        rpc_table_set(table, (enum schema_method_id)i, &any, &handlers[i]);
    assert_status_ok(rpc_table_check(table));
    upstream = upstream_local_new(table);
    assert_non_null(upstream);
    assert_status_ok(gateway_start(options == NULL ? &usual : options, upstream, NULL, &system_clock,
                                   &system_entropy, &gateway));
}

void fixture_stop(void)
{
    gateway_stop(gateway, 200);
    pthread_mutex_lock(&worker.lock);
    worker.stopping = true;
    pthread_cond_signal(&worker.changed);
    pthread_mutex_unlock(&worker.lock);
    pthread_join(worker.thread, NULL);
    feed_wait_ended(feed_count());
    gate_free(feeds_ended);
    gate_free(feeds_blocked);
    upstream_local_free(upstream);
    rpc_table_free(table);
}

uint16_t fixture_port(void)
{
    return gateway_port(gateway);
}

struct gateway *fixture_gateway(void)
{
    return gateway;
}

void fixture_handle(enum schema_method_id method, fixture_handler *handler)
{
    handlers[method] = handler;
}

/* --- feeds --- */

struct feed {
    struct call *call;
    struct feed_options options;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool writable, cancelled;
};

static struct {
    pthread_mutex_t lock;
    struct feed_options options;
    unsigned begun;
    int64_t sent;
    char request[512];
} feeds = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void feed_reset(void)
{
    feeds.begun = 0;
    feeds.sent = 0;
    feeds.request[0] = '\0';
}

static void feed_writable(void *context)
{
    struct feed *feed = context;
    pthread_mutex_lock(&feed->lock);
    feed->writable = true;
    pthread_cond_signal(&feed->changed);
    pthread_mutex_unlock(&feed->lock);
}

static void feed_cancelled(void *context)
{
    struct feed *feed = context;
    pthread_mutex_lock(&feed->lock);
    feed->cancelled = true;
    pthread_cond_signal(&feed->changed);
    pthread_mutex_unlock(&feed->lock);
}

static void feed_send(struct feed *feed, const struct buffer *message)
{
    pthread_mutex_lock(&feed->lock);
    feed->writable = false; /* before sending: on_writable may come before the answer does */
    pthread_mutex_unlock(&feed->lock);
    const bool room = call_send_bytes(feed->call, buffer_bytes(message));
    if (room)
        feed_writable(feed);
    else
        gate_raise(feeds_blocked);
}

static void feed_send_point(struct feed *feed, uint32_t number, int64_t position)
{
    struct buffer point = buffer_make(0), message = buffer_make(0);
    if (number == 5)
        wire_put_bytes(&point, 1, BYTES_LITERAL("SHUTTING_DOWN"));
    wire_put_uint(&point, number == 5 ? 2 : 1, (uint64_t)position);
    wire_put_bytes(&message, number, buffer_bytes(&point));
    feed_send(feed, &message);
    buffer_done(&point);
    buffer_done(&message);
}

static void feed_send_batch(struct feed *feed, int64_t first, int64_t last)
{
    struct buffer batch = buffer_make(0), message = buffer_make(0);
    char *padding = malloc(feed->options.padding_bytes + 32);
    const int size = sprintf(padding, "{\"p\":\"%0*d\"}", (int)feed->options.padding_bytes, 0);
    for (int64_t position = first; position <= last; position++) {
        struct buffer event = buffer_make(0);
        wire_put_uint(&event, 6, (uint64_t)position);
        wire_put_bytes(&event, 30, bytes_of(padding, (size_t)size));
        wire_put_bytes(&batch, 1, buffer_bytes(&event));
        buffer_done(&event);
    }
    wire_put_bytes(&message, 1, buffer_bytes(&batch));
    feed_send(feed, &message);
    pthread_mutex_lock(&feeds.lock);
    feeds.sent = last > feeds.sent ? last : feeds.sent;
    pthread_mutex_unlock(&feeds.lock);
    free(padding);
    buffer_done(&batch);
    buffer_done(&message);
}

/* Waits for room, or with `for_ever` for the end. False: cancelled. */
static bool feed_wait(struct feed *feed, bool for_ever)
{
    pthread_mutex_lock(&feed->lock);
    while (!feed->cancelled && (for_ever || !feed->writable))
        pthread_cond_wait(&feed->changed, &feed->lock);
    const bool cancelled = feed->cancelled;
    pthread_mutex_unlock(&feed->lock);
    return !cancelled;
}

static struct status feed_run(struct feed *feed)
{
    const struct feed_options *options = &feed->options;
    for (int64_t at = options->first; at <= options->last;) {
        const int64_t end = at + (int64_t)options->batch - 1;
        const int64_t last = end < options->last ? end : options->last;
        if (!feed_wait(feed, false))
            return status_error(STATUS_CANCELLED, "the subscriber is gone");
        feed_send_batch(feed, at, last);
        at = last + 1;
    }
    if (options->fails != STATUS_REASON_NONE)
        return status_reason(options->fails, "as the test wants");
    if (!feed_wait(feed, false))
        return status_error(STATUS_CANCELLED, "the subscriber is gone");
    feed_send_point(feed, options->ends ? 5 : 2, options->last);
    if (options->ends)
        return status_ok();
    (void)feed_wait(feed, true);
    return status_error(STATUS_CANCELLED, "the subscriber is gone");
}

static void *feed_thread(void *context)
{
    struct feed *feed = context;
    const struct status status = feed_run(feed);
    call_finish(feed->call, &status);
    pthread_cond_destroy(&feed->changed);
    pthread_mutex_destroy(&feed->lock);
    free(feed);
    gate_raise(feeds_ended);
    return NULL;
}

static void feed_begin(struct call *call, const ProtobufCMessage *request)
{
    struct buffer wire = buffer_make(0), json = buffer_make(0);
    struct feed *feed = calloc(1, sizeof *feed);
    pthread_t thread;
    pthread_mutex_init(&feed->lock, NULL);
    pthread_cond_init(&feed->changed, NULL);
    feed->call = call;
    feed->writable = true;
    wire.size_bytes = protobuf_c_message_pack(
        request, buffer_extend(&wire, protobuf_c_message_get_packed_size(request) + 1));
    assert_status_ok(transcode_to_json(schema_method(METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE)->request,
                                       buffer_bytes(&wire), &json));
    pthread_mutex_lock(&feeds.lock);
    feed->options = feeds.options;
    feeds.begun++;
    snprintf(feeds.request, sizeof feeds.request, "%.*s", BYTES_FORMAT(buffer_bytes(&json)));
    pthread_mutex_unlock(&feeds.lock);
    buffer_done(&wire);
    buffer_done(&json);
    call_on_writable(call, feed_writable, feed);
    call_on_cancel(call, feed_cancelled, feed);
    assert_int_equal(pthread_create(&thread, NULL, feed_thread, feed), 0);
    pthread_detach(thread);
}

void feed_serve(const struct feed_options *options)
{
    pthread_mutex_lock(&feeds.lock);
    feeds.options = *options;
    pthread_mutex_unlock(&feeds.lock);
    fixture_handle(METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE, feed_begin);
}

unsigned feed_count(void)
{
    pthread_mutex_lock(&feeds.lock);
    const unsigned count = feeds.begun;
    pthread_mutex_unlock(&feeds.lock);
    return count;
}

unsigned feed_ended(void)
{
    return gate_count(feeds_ended);
}

void feed_wait_ended(unsigned count)
{
    gate_wait(feeds_ended, count);
}

int64_t feed_sent(void)
{
    pthread_mutex_lock(&feeds.lock);
    const int64_t sent = feeds.sent;
    pthread_mutex_unlock(&feeds.lock);
    return sent;
}

void feed_wait_blocked(void)
{
    gate_wait(feeds_blocked, 1);
}

const char *feed_request(void)
{
    static char copy[sizeof feeds.request];
    pthread_mutex_lock(&feeds.lock);
    memcpy(copy, feeds.request, sizeof copy);
    pthread_mutex_unlock(&feeds.lock);
    return copy;
}

/* --- HTTP --- */

void raw_reset(int fd)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    close(fd);
}

struct answer ask(const char *verb, const char *path, const char *headers, const char *body)
{
    struct buffer request = buffer_make(0);
    struct answer answer = {0};
    buffer_printf(&request,
                  "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nStrata-Request-Id: r-1\r\n%s",
                  verb, path, headers);
    if (body != NULL)
        buffer_printf(&request, "%sContent-Length: %zu\r\n",
                      strstr(headers, "Content-Type") == NULL ? "Content-Type: application/json\r\n" : "",
                      strlen(body));
    buffer_printf(&request, "\r\n%s", body == NULL ? "" : body);
    buffer_add_byte(&request, 0);
    answer.text = raw_exchange(fixture_port(), (const char *)request.data);
    buffer_done(&request);
    (void)sscanf(answer.text, "HTTP/1.1 %d ", &answer.http_status); /* 0: cut off */
    const char *end = strstr(answer.text, "\r\n\r\n");
    answer.body = end == NULL ? "" : end + 4;
    return answer;
}

void answer_done(struct answer *answer)
{
    free(answer->text);
    answer->text = NULL;
}

void answer_has(const struct answer *answer, const char *part)
{
    if (strstr(answer->text, part) == NULL)
        fail_msg("\"%s\" is not in %s", part, answer->text);
}

void answer_lacks(const struct answer *answer, const char *part)
{
    if (strstr(answer->text, part) != NULL)
        fail_msg("\"%s\" is in %s", part, answer->text);
}
