/*
 * Load for a gRPC server: N unary calls, a fixed number of them in flight, on one thread of the C core.
 *
 * Usable against Strata and against echo_server alike. Requests are a PublishEvent or, when the method's name
 * ends in AppendEvents, an AppendEvents of several events; each event has --event-bytes encoded and goes to one
 * of --aggregates aggregates in turn; with --data-bytes its data are those of load_events.h instead of one long text.
 * Of a method ending in GetAggregate they read the aggregates in turn, of ListEvents --events events of one. With
 * --payload-bytes that many bytes of nothing are sent instead. Prints one JSON line: rate, latencies as the client
 * sees them, errors and the first error's text. What the server spent is read by the harness from /proc, not guessed
 * here.
 */
#include <assert.h>
#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load_events.h"
#include "load_options.h"
#include "load_report.h"
#include "load_wire.h"
#include "measure.h"

#define EVENTS_MAX      1000
#define EVENT_BYTES_MAX 65536
#define CHANNELS_MAX    64
#define IN_FLIGHT_MAX   65536

struct options {
    const char *target;
    const char *method;
    const char *prefix;
    const char *type;
    const char *aggregate_type;
    long in_flight;
    long count;
    long warm_up;
    long channels;
    long aggregates;
    long events;
    long event_bytes;
    long data_bytes;    /* > 0: data of many members instead */
    long payload_bytes; /* > 0: no event */
};

struct shot {
    grpc_call *call;
    grpc_metadata_array initial;
    grpc_metadata_array trailing;
    grpc_byte_buffer *reply;
    grpc_status_code code;
    grpc_slice details;
    int64_t begun_ns;
};

struct load {
    struct options options;
    grpc_completion_queue *queue;
    grpc_channel *channels[CHANNELS_MAX];
    void *methods[CHANNELS_MAX];
    long sent;
    long done;
    long errors;
    long aggregate;     /* next to use */
    size_t reply_bytes; /* of the last one */
    int64_t *times_ns;
    char first_error[512];
};

/* A NewEvent or PublishEventRequest (the numbers are the same) padded by its data to about event_bytes. */
static uint8_t *put_event(struct load *load, uint8_t *to)
{
    const struct options *options = &load->options;
    char aggregate[128];
    const int length = snprintf(aggregate, sizeof aggregate, "%s-%ld", options->prefix, load->aggregate);
    load->aggregate = (load->aggregate + 1) % options->aggregates;
    uint8_t *at = to;
    at = load_put_field(at, 2, options->type, strlen(options->type));
    at = load_put_field(at, 3, aggregate, (size_t)length);
    at = load_put_field(at, 4, options->aggregate_type, strlen(options->aggregate_type));
    if (options->data_bytes > 0) {
        at = load_put_varint(at, 30 << 3 | 2);
        at = load_put_varint(at, (uint64_t)options->data_bytes);
        return load_data_put(at, (size_t)options->data_bytes, (uint64_t)load->aggregate);
    }
    static const char head[] = "{\"note\":\"";
    static const char tail[] = "\"}";
    const long used = at - to + 4 + (long)(sizeof head + sizeof tail) - 2;
    const size_t padding = used < options->event_bytes ? (size_t)(options->event_bytes - used) : 0;
    const size_t data_bytes = sizeof head - 1 + padding + sizeof tail - 1;
    at = load_put_varint(at, 30 << 3 | 2);
    at = load_put_varint(at, (uint32_t)data_bytes);
    memcpy(at, head, sizeof head - 1);
    memset(at + sizeof head - 1, 'x', padding);
    memcpy(at + sizeof head - 1 + padding, tail, sizeof tail - 1);
    return at + data_bytes;
}

static bool is_method(const char *method, const char *name)
{
    const char *last = strrchr(method, '/');
    return last != NULL && strcmp(last + 1, name) == 0;
}

/* GetAggregateRequest: id. ListEventsRequest: aggregate_id and page_size. */
static grpc_slice read_make(struct load *load, bool list)
{
    char aggregate[128];
    const int length = snprintf(aggregate, sizeof aggregate, "%s-%ld", load->options.prefix, load->aggregate);
    load->aggregate = (load->aggregate + 1) % load->options.aggregates;
    uint8_t request[256];
    uint8_t *at = load_put_field(request, 1, aggregate, (size_t)length);
    if (list)
        at = load_put_number(at, 14, (uint64_t)load->options.events);
    return grpc_slice_from_copied_buffer((const char *)request, (size_t)(at - request));
}

static grpc_slice request_make(struct load *load)
{
    const struct options *options = &load->options;
    if (options->payload_bytes > 0) {
        grpc_slice slice = grpc_slice_malloc((size_t)options->payload_bytes);
        memset(GRPC_SLICE_START_PTR(slice), 0, (size_t)options->payload_bytes);
        return slice;
    }
    const bool list = is_method(options->method, "ListEvents");
    if (list || is_method(options->method, "GetAggregate"))
        return read_make(load, list);
    static uint8_t event[EVENT_BYTES_MAX + 1024];
    if (!is_method(options->method, "AppendEvents")) {
        const uint8_t *end = put_event(load, event);
        return grpc_slice_from_copied_buffer((const char *)event, (size_t)(end - event));
    }
    uint8_t *request = malloc((size_t)options->events * ((size_t)options->event_bytes + 1024));
    assert(request != NULL);
    uint8_t *at = request;
    for (long i = 0; i < options->events; i++) {
        const uint8_t *end = put_event(load, event);
        at = load_put_field(at, 2, event, (size_t)(end - event));
    }
    grpc_slice slice = grpc_slice_from_copied_buffer((const char *)request, (size_t)(at - request));
    free(request);
    return slice;
}

/* --- calls --- */

static void shot_fire(struct load *load, struct shot *shot)
{
    const long channel = load->sent++ % load->options.channels;
    shot->call = grpc_channel_create_registered_call(load->channels[channel], NULL, 0, load->queue,
                                                     load->methods[channel],
                                                     gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    grpc_slice slice = request_make(load);
    grpc_byte_buffer *request = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    shot->reply = NULL;
    shot->initial.count = 0;
    shot->trailing.count = 0;
    grpc_op ops[6];
    memset(ops, 0, sizeof ops);
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[0].flags = GRPC_INITIAL_METADATA_WAIT_FOR_READY | GRPC_INITIAL_METADATA_WAIT_FOR_READY_EXPLICITLY_SET;
    ops[1].op = GRPC_OP_SEND_MESSAGE;
    ops[1].data.send_message.send_message = request;
    ops[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    ops[3].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &shot->initial;
    ops[4].op = GRPC_OP_RECV_MESSAGE;
    ops[4].data.recv_message.recv_message = &shot->reply;
    ops[5].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[5].data.recv_status_on_client.trailing_metadata = &shot->trailing;
    ops[5].data.recv_status_on_client.status = &shot->code;
    ops[5].data.recv_status_on_client.status_details = &shot->details;
    shot->begun_ns = measure_now_ns();
    if (grpc_call_start_batch(shot->call, ops, 6, shot, NULL) != GRPC_CALL_OK)
        abort();
    grpc_byte_buffer_destroy(request);
}

static void shot_end(struct load *load, struct shot *shot)
{
    load->times_ns[load->done++] = measure_now_ns() - shot->begun_ns;
    if (shot->code != GRPC_STATUS_OK && load->errors++ == 0)
        (void)snprintf(load->first_error, sizeof load->first_error, "%d: %.*s", (int)shot->code,
                       (int)GRPC_SLICE_LENGTH(shot->details),
                       (const char *)GRPC_SLICE_START_PTR(shot->details));
    grpc_slice_unref(shot->details);
    if (shot->reply != NULL) {
        load->reply_bytes = grpc_byte_buffer_length(shot->reply);
        grpc_byte_buffer_destroy(shot->reply);
    }
    grpc_call_unref(shot->call);
}

static void load_run(struct load *load, struct shot *shots, long count)
{
    const long in_flight = load->options.in_flight < count ? load->options.in_flight : count;
    load->sent = 0;
    load->done = 0;
    for (long i = 0; i < in_flight; i++)
        shot_fire(load, &shots[i]);
    while (load->done < count) {
        const grpc_event event =
            grpc_completion_queue_next(load->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        assert(event.type == GRPC_OP_COMPLETE);
        struct shot *shot = event.tag;
        shot_end(load, shot);
        if (load->sent < count)
            shot_fire(load, shot);
    }
}

static void channels_open(struct load *load)
{
    for (long i = 0; i < load->options.channels; i++) {
        /* Channels with equal arguments would share one connection: each gets a pool of its own. */
        grpc_arg settings[] = {
            {.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, .value.integer = 1},
            {.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_ENABLE_CHANNELZ, .value.integer = 0},
            {.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_HTTP2_BDP_PROBE, .value.integer = 0},
            {.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_ENABLE_RETRIES, .value.integer = 0},
            {.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_ENABLE_HTTP_PROXY, .value.integer = 0},
        };
        const grpc_channel_args args = {sizeof settings / sizeof settings[0], settings};
        grpc_channel_credentials *plain = grpc_insecure_credentials_create();
        load->channels[i] = grpc_channel_create(load->options.target, plain, &args);
        grpc_channel_credentials_release(plain);
        load->methods[i] = grpc_channel_register_call(load->channels[i], load->options.method, NULL, NULL);
    }
}

static void report(struct load *load, double seconds)
{
    const bool append = load->options.payload_bytes == 0 && is_method(load->options.method, "AppendEvents");
    load_report(&(struct load_figures){.seconds = seconds,
                                       .times_ns = load->times_ns,
                                       .calls = (size_t)load->options.count,
                                       .events_a_call = append ? load->options.events : 1,
                                       .reply_bytes = load->reply_bytes,
                                       .errors = load->errors,
                                       .first_error = load->first_error});
}

#define PLACE(member) .place = offsetof(struct options, member)

static const struct load_option option_table[] = {
    {"target", "HOST:PORT", "the server (127.0.0.1:50051)", LOAD_TEXT, 't', PLACE(target)},
    {"method", "PATH", "/strata.v1.EventService/PublishEvent (default) or …/AppendEvents", LOAD_TEXT, 'm',
     PLACE(method)},
    {"in-flight", "N", "calls in flight (256)", LOAD_NUMBER, 'i', PLACE(in_flight), 1, IN_FLIGHT_MAX},
    {"count", "N", "calls to measure (100000)", LOAD_NUMBER, 'n', PLACE(count), 1, LONG_MAX},
    {"warm-up", "N", "calls before those (1000)", LOAD_NUMBER, 'w', PLACE(warm_up), 0, LONG_MAX},
    {"connections", "N", "connections to spread them on (1)", LOAD_NUMBER, 'c', PLACE(channels), 1,
     CHANNELS_MAX},
    {"aggregates", "M", "aggregates to spread events on (10000)", LOAD_NUMBER, 'a', PLACE(aggregates), 1,
     LONG_MAX},
    {"prefix", "TEXT", "of aggregate ids (bench)", LOAD_TEXT, 'x', PLACE(prefix), 0, 99},
    {"type", "TYPE", "event type (custom)", LOAD_TEXT, 'y', PLACE(type), 0, 99},
    {"aggregate-type", "TYPE", "aggregate type (custom)", LOAD_TEXT, 'Y', PLACE(aggregate_type), 0, 99},
    {"events", "N", "events in one AppendEvents (100)", LOAD_NUMBER, 'e', PLACE(events), 1, EVENTS_MAX},
    {"event-bytes", "N", "encoded bytes an event (500)", LOAD_NUMBER, 's', PLACE(event_bytes), 1,
     EVENT_BYTES_MAX},
    {"data-bytes", "N", "N bytes of data with many members instead", LOAD_NUMBER, 'd', PLACE(data_bytes), 0,
     EVENT_BYTES_MAX},
    {"payload-bytes", "N", "send N zero bytes instead of events", LOAD_NUMBER, 'p', PLACE(payload_bytes)},
    {0},
};

int main(int argc, char **argv)
{
    struct load load = {
        .options = {"127.0.0.1:50051", "/strata.v1.EventService/PublishEvent", "bench", "custom", "custom",
                    256, 100000, 1000, 1, 10000, 100, 500, 0, 0},
    };
    load_options_read(option_table, "Unary gRPC load.", argc, argv, &load.options);
    if (load.options.data_bytes != 0 && load.options.data_bytes < LOAD_DATA_BYTES_LEAST)
        load_options_refuse("--data-bytes has no room for the members");
    grpc_init();
    load.queue = grpc_completion_queue_create_for_next(NULL);
    channels_open(&load);
    const long most = load.options.count > load.options.warm_up ? load.options.count : load.options.warm_up;
    load.times_ns = calloc((size_t)most, sizeof *load.times_ns);
    struct shot *shots = calloc((size_t)load.options.in_flight, sizeof *shots);
    if (load.times_ns == NULL || shots == NULL)
        return 1;
    for (long i = 0; i < load.options.in_flight; i++) {
        grpc_metadata_array_init(&shots[i].initial);
        grpc_metadata_array_init(&shots[i].trailing);
    }
    if (load.options.warm_up > 0)
        load_run(&load, shots, load.options.warm_up);
    load.errors = 0;
    load.first_error[0] = '\0';
    const int64_t begin_ns = measure_now_ns();
    load_run(&load, shots, load.options.count);
    report(&load, (double)(measure_now_ns() - begin_ns) / 1e9);
    return load.errors == 0 ? 0 : 1;
}
