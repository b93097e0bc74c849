/*
 * Load on one gRPC stream, or on --streams of them on one connection, with one thread of the C core: AppendStream or
 * ReadEvents.
 *
 *   stream_client append  sends --count requests of --events events each on each stream and keeps --in-flight of them
 *                         unanswered; every answer must say that it was recorded, in the order of the requests
 *   stream_client read    reads a whole stream and counts its messages, events and bytes; --save keeps the first
 *                         messages for stream_echo_server
 *
 * Prints one JSON line. Latencies are from the hand-over of a request to its answer. What the server spent is read by
 * the harness from /proc.
 */
#include <argp.h>
#include <assert.h>
#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load_events.h"
#include "load_wire.h"
#include "measure.h"

#define EVENTS_MAX    1000
#define IN_FLIGHT_MAX 64 /* what a server's window takes */
#define SAVED_MAX     256
#define STREAMS_MAX   64

struct options {
    const char *mode;
    const char *target;
    const char *save;
    struct load_event_options event;
    long in_flight;
    long count;
    long warm_up;
    long events;
    long after;
    long streams;
};

/* A tag is one of these, and TAG_KINDS times the number of its stream. */
enum { TAG_STARTED = 1, TAG_SENT, TAG_RECEIVED, TAG_CLOSED, TAG_STATUS, TAG_KINDS };

struct stream {
    struct options options;
    intptr_t number;
    grpc_completion_queue *queue; /* of all streams, as the channel */
    grpc_channel *channel;
    grpc_call *call;
    grpc_metadata_array initial;
    grpc_metadata_array trailing;
    grpc_status_code code;
    grpc_slice details;
    grpc_byte_buffer *received;

    struct load_event_maker maker;
    uint8_t *request;
    bool sending;
    bool closed;
    long sent;
    long answered;
    int64_t begun_ns[IN_FLIGHT_MAX];
    int64_t *times_ns;
    int64_t measured_from_ns;
    int64_t ended_ns;

    long messages;
    long events;
    long bytes;
    FILE *saved;
    bool ended;
    char error[512];
};

static void start(struct stream *stream, const grpc_op *ops, size_t count, intptr_t tag)
{
    void *whole = (void *)(stream->number * TAG_KINDS + tag);
    if (grpc_call_start_batch(stream->call, ops, count, whole, NULL) != GRPC_CALL_OK)
        abort();
}

static void fail(struct stream *stream, const char *text, size_t size)
{
    if (stream->error[0] == '\0')
        (void)snprintf(stream->error, sizeof stream->error, "%.*s", (int)size, text);
}

/* --- opening --- */

static grpc_channel *channel_open(const char *target)
{
    grpc_arg settings[] = {
        {.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_ENABLE_CHANNELZ, .value.integer = 0},
        {.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_ENABLE_RETRIES, .value.integer = 0},
        {.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_ENABLE_HTTP_PROXY, .value.integer = 0},
    };
    const grpc_channel_args args = {sizeof settings / sizeof settings[0], settings};
    grpc_channel_credentials *plain = grpc_insecure_credentials_create();
    grpc_channel *channel = grpc_channel_create(target, plain, &args);
    grpc_channel_credentials_release(plain);
    return channel;
}

static void stream_open(struct stream *stream, const char *method)
{
    void *registered = grpc_channel_register_call(stream->channel, method, NULL, NULL);
    stream->call = grpc_channel_create_registered_call(stream->channel, NULL, 0, stream->queue, registered,
                                                       gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    grpc_op ops[2];
    memset(ops, 0, sizeof ops);
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[0].flags = GRPC_INITIAL_METADATA_WAIT_FOR_READY | GRPC_INITIAL_METADATA_WAIT_FOR_READY_EXPLICITLY_SET;
    ops[1].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[1].data.recv_initial_metadata.recv_initial_metadata = &stream->initial;
    start(stream, ops, 2, TAG_STARTED);
    memset(ops, 0, sizeof ops);
    ops[0].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[0].data.recv_status_on_client.trailing_metadata = &stream->trailing;
    ops[0].data.recv_status_on_client.status = &stream->code;
    ops[0].data.recv_status_on_client.status_details = &stream->details;
    start(stream, ops, 1, TAG_STATUS);
}

static void send_slice(struct stream *stream, grpc_slice slice)
{
    grpc_byte_buffer *message = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    grpc_op op;
    memset(&op, 0, sizeof op);
    op.op = GRPC_OP_SEND_MESSAGE;
    op.data.send_message.send_message = message;
    start(stream, &op, 1, TAG_SENT);
    grpc_byte_buffer_destroy(message);
    stream->sending = true;
}

static void send_close(struct stream *stream)
{
    grpc_op op;
    memset(&op, 0, sizeof op);
    op.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    start(stream, &op, 1, TAG_CLOSED);
    stream->closed = true;
}

static void receive(struct stream *stream)
{
    grpc_op op;
    memset(&op, 0, sizeof op);
    op.op = GRPC_OP_RECV_MESSAGE;
    op.data.recv_message.recv_message = &stream->received;
    start(stream, &op, 1, TAG_RECEIVED);
}

/* --- answers --- */

static void take_answer(struct stream *stream, const uint8_t *at, const uint8_t *end)
{
    uint64_t number = 0;
    uint64_t value = 0;
    bool recorded = false;
    uint64_t sequence = 0;
    while (at < end) {
        if (!load_get_field(&at, end, &number, &value)) {
            fail(stream, "an answer is malformed", 22);
            return;
        }
        if (number == 1)
            sequence = value;
        recorded = recorded || number == 2;
        if (number == 3)
            fail(stream, (const char *)at - value, (size_t)value);
    }
    const long expected = stream->answered + 1;
    if (!recorded || sequence != (uint64_t)expected)
        fail(stream, "an answer is out of order, or says no", 37);
    const int64_t now = measure_now_ns();
    if (stream->answered >= stream->options.warm_up)
        stream->times_ns[stream->answered - stream->options.warm_up] =
            now - stream->begun_ns[stream->answered % IN_FLIGHT_MAX];
    stream->answered = expected;
    if (stream->answered == stream->options.warm_up)
        stream->measured_from_ns = now;
}

static void take_batch(struct stream *stream, const uint8_t *at, const uint8_t *end)
{
    uint64_t number = 0;
    uint64_t value = 0;
    const uint64_t size = (uint64_t)(end - at);
    if (stream->saved != NULL && stream->messages < SAVED_MAX) {
        if (fwrite(&size, sizeof size, 1, stream->saved) != 1 || fwrite(at, size, 1, stream->saved) != 1)
            fail(stream, "cannot save a message", 21);
    }
    /* ReadEventsResponse: the events are field 1 of the message itself. */
    while (at < end) {
        if (!load_get_field(&at, end, &number, &value)) {
            fail(stream, "a message is malformed", 22);
            return;
        }
        stream->events += number == 1;
    }
    stream->messages++;
    stream->bytes += (long)size;
}

static void take_message(struct stream *stream, bool append)
{
    grpc_byte_buffer_reader reader;
    if (!grpc_byte_buffer_reader_init(&reader, stream->received))
        abort();
    grpc_slice slice = grpc_byte_buffer_reader_readall(&reader);
    grpc_byte_buffer_reader_destroy(&reader);
    grpc_byte_buffer_destroy(stream->received);
    stream->received = NULL;
    const uint8_t *at = GRPC_SLICE_START_PTR(slice);
    if (append)
        take_answer(stream, at, at + GRPC_SLICE_LENGTH(slice));
    else
        take_batch(stream, at, at + GRPC_SLICE_LENGTH(slice));
    grpc_slice_unref(slice);
}

/* --- appending --- */

static grpc_slice request_make(struct stream *stream)
{
    static uint8_t event[LOAD_EVENT_BYTES_MAX];
    uint8_t *at = stream->request + 16; /* room for the outer tag and length */
    for (long i = 0; i < stream->options.events; i++) {
        const uint8_t *end = load_event_put(&stream->maker, event);
        at = load_put_field(at, 2, event, (size_t)(end - event));
    }
    const size_t size = (size_t)(at - stream->request - 16);
    uint8_t head[16];
    uint8_t *end = load_put_varint(head, 1 << 3 | 2);
    end = load_put_varint(end, size);
    uint8_t *begin = stream->request + 16 - (end - head);
    memcpy(begin, head, (size_t)(end - head));
    return grpc_slice_from_copied_buffer((const char *)begin, (size_t)(at - begin));
}

static void send_more(struct stream *stream)
{
    const long all = stream->options.count + stream->options.warm_up;
    if (stream->sending || stream->closed)
        return;
    if (stream->sent == all || stream->error[0] != '\0') {
        send_close(stream);
        return;
    }
    if (stream->sent - stream->answered >= stream->options.in_flight)
        return;
    grpc_slice slice = request_make(stream);
    stream->begun_ns[stream->sent % IN_FLIGHT_MAX] = measure_now_ns();
    stream->sent++;
    send_slice(stream, slice);
}

static void stream_ended(struct stream *stream)
{
    stream->ended = true;
    stream->ended_ns = measure_now_ns();
    if (stream->code != GRPC_STATUS_OK)
        fail(stream, (const char *)GRPC_SLICE_START_PTR(stream->details), GRPC_SLICE_LENGTH(stream->details));
}

static void stream_step(struct stream *stream, intptr_t tag, bool append)
{
    switch (tag) {
    case TAG_SENT:
        stream->sending = false;
        if (!append)
            send_close(stream);
        break;
    case TAG_RECEIVED:
        if (stream->received == NULL)
            break;
        take_message(stream, append);
        receive(stream);
        break;
    case TAG_STATUS:
        stream_ended(stream);
        break;
    default:
        break;
    }
    if (append && !stream->ended)
        send_more(stream);
}

static void streams_run(struct stream *streams, long count, bool append)
{
    for (long i = 0; i < count; i++)
        receive(&streams[i]);
    for (long running = count; running > 0;) {
        const grpc_event event =
            grpc_completion_queue_next(streams[0].queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        assert(event.type == GRPC_OP_COMPLETE);
        struct stream *stream = &streams[(intptr_t)event.tag / TAG_KINDS];
        stream_step(stream, (intptr_t)event.tag % TAG_KINDS, append);
        running -= stream->ended && (intptr_t)event.tag % TAG_KINDS == TAG_STATUS;
    }
}

/* The same events whatever the number of streams: each has aggregates of its own. */
static void append_open(struct stream *stream, char *prefix, size_t room)
{
    const struct options *options = &stream->options;
    (void)snprintf(prefix, room, "%.90s-%d", options->event.prefix, (int)stream->number);
    stream->maker = (struct load_event_maker){.options = options->event};
    if (options->streams > 1)
        stream->maker.options.prefix = prefix;
    stream->maker.options.seed += (uint64_t)stream->number;
    stream->request = malloc((size_t)options->events * LOAD_EVENT_BYTES_MAX + 16);
    if (stream->request == NULL)
        abort();
    stream->measured_from_ns = measure_now_ns();
    stream_open(stream, "/strata.v1.EventService/AppendStream");
}

/* From when the first stream was warm to when the last one ended. What is wrong with any is said of the first. */
static double append_seconds(struct stream *streams, long count)
{
    int64_t from_ns = INT64_MAX;
    int64_t to_ns = 0;
    for (long i = 0; i < count; i++) {
        struct stream *stream = &streams[i];
        if (stream->answered != stream->options.count + stream->options.warm_up)
            fail(stream, "the stream ended early", 22);
        if (stream->error[0] != '\0')
            fail(&streams[0], stream->error, strlen(stream->error));
        from_ns = stream->measured_from_ns < from_ns ? stream->measured_from_ns : from_ns;
        to_ns = stream->ended_ns > to_ns ? stream->ended_ns : to_ns;
    }
    return (double)(to_ns - from_ns) / 1e9;
}

static void run_append(struct stream *streams)
{
    static char prefixes[STREAMS_MAX][LOAD_TEXT_MAX];
    const struct options *options = &streams[0].options;
    const size_t count = (size_t)(options->count * options->streams);
    int64_t *times_ns = calloc(count, sizeof *times_ns);
    if (times_ns == NULL)
        abort();
    for (long i = 0; i < options->streams; i++) {
        streams[i].times_ns = times_ns + i * options->count;
        append_open(&streams[i], prefixes[i], sizeof prefixes[i]);
    }
    streams_run(streams, options->streams, true);
    const double seconds = append_seconds(streams, options->streams);
    measure_sort(times_ns, count);
    printf(
        "{\"appends\": %zu, \"seconds\": %.3f, \"events_per_s\": %.0f, \"p50_us\": %.0f, \"p99_us\": %.0f, "
        "\"p999_us\": %.0f, \"max_us\": %.0f, \"error\": \"%s\"}\n",
        count, seconds, (double)count * (double)options->events / seconds, measure_us(times_ns, count, 500),
        measure_us(times_ns, count, 990), measure_us(times_ns, count, 999), measure_us(times_ns, count, 1000),
        measure_quotable(streams[0].error));
    for (long i = 0; i < options->streams; i++)
        free(streams[i].request);
    free(times_ns);
}

static void run_read(struct stream *stream)
{
    if (stream->options.save != NULL && (stream->saved = fopen(stream->options.save, "wb")) == NULL)
        fail(stream, "cannot make the file to save to", 31);
    uint8_t request[32];
    uint8_t *end = load_put_number(request, 2, (uint64_t)stream->options.after);
    end = load_put_number(end, 5, (uint64_t)stream->options.count);
    const int64_t begun_ns = measure_now_ns();
    stream_open(stream, "/strata.v1.EventService/ReadEvents");
    send_slice(stream, grpc_slice_from_copied_buffer((const char *)request, (size_t)(end - request)));
    streams_run(stream, 1, false);
    const double seconds = (double)(measure_now_ns() - begun_ns) / 1e9;
    if (stream->saved != NULL && fclose(stream->saved) != 0)
        fail(stream, "cannot save", 11);
    printf("{\"events\": %ld, \"messages\": %ld, \"bytes\": %ld, \"seconds\": %.3f, \"events_per_s\": %.0f, "
           "\"error\": \"%s\"}\n",
           stream->events, stream->messages, stream->bytes, seconds, (double)stream->events / seconds,
           measure_quotable(stream->error));
}

/* --- options --- */

static int parse_option(int key, char *text, struct argp_state *state)
{
    struct options *options = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            return ARGP_ERR_UNKNOWN;
        options->mode = text;
        return 0;
    case 't':
        options->target = text;
        return 0;
    case 'o':
        options->save = text;
        return 0;
    case 'x':
        options->event.prefix = text;
        return 0;
    case 'a':
        options->event.aggregates = atol(text);
        return 0;
    case 's':
        options->event.data_bytes = atol(text);
        return 0;
    case 'C':
        options->event.client_ids = true;
        options->event.seed = strtoull(text, NULL, 0);
        return 0;
    case 'i':
        options->in_flight = atol(text);
        return 0;
    case 'n':
        options->count = atol(text);
        return 0;
    case 'w':
        options->warm_up = atol(text);
        return 0;
    case 'e':
        options->events = atol(text);
        return 0;
    case 'm':
        options->streams = atol(text);
        return 0;
    case 'p':
        options->after = atol(text);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option option_table[] = {
    {"target", 't', "HOST:PORT", 0, "the server (127.0.0.1:50051)", 0},
    {"count", 'n', "N", 0, "append: requests to measure (1000); read: events to read, 0 = all", 0},
    {"in-flight", 'i', "N", 0, "append: requests without an answer (16, at most 64)", 0},
    {"warm-up", 'w', "N", 0, "append: requests before those (50)", 0},
    {"events", 'e', "N", 0, "append: events in a request (100)", 0},
    {"data-bytes", 's', "N", 0, "append: JSON bytes of an event's data (500)", 0},
    {"aggregates", 'a', "M", 0, "append: aggregates to spread events on (10000)", 0},
    {"prefix", 'x', "TEXT", 0, "append: of aggregate ids (stream)", 0},
    {"client-ids", 'C', "SEED", 0, "append: events bring ids that follow from the seed", 0},
    {"streams", 'm', "N", 0, "append: streams (1, at most 64); --count and --aggregates are of each", 0},
    {"after", 'p', "N", 0, "read: after this position (0)", 0},
    {"save", 'o', "FILE", 0, "read: keep the first messages", 0},
    {0},
};

static bool options_fit(const struct options *options)
{
    return options->in_flight >= 1 && options->in_flight <= IN_FLIGHT_MAX && options->count >= 0 &&
           options->warm_up >= 0 && options->event.aggregates >= 1 && options->events >= 1 &&
           options->events <= EVENTS_MAX && options->event.data_bytes >= LOAD_DATA_BYTES_LEAST &&
           options->event.data_bytes <= LOAD_DATA_BYTES_MAX && options->after >= 0 && options->streams >= 1 &&
           options->streams <= STREAMS_MAX && strlen(options->event.prefix) < LOAD_TEXT_MAX;
}

static void streams_init(struct stream *streams, const struct options *options)
{
    grpc_completion_queue *queue = grpc_completion_queue_create_for_next(NULL);
    grpc_channel *channel = channel_open(options->target);
    for (long i = 0; i < options->streams; i++) {
        streams[i].options = *options;
        streams[i].number = i;
        streams[i].queue = queue;
        streams[i].channel = channel;
        grpc_metadata_array_init(&streams[i].initial);
        grpc_metadata_array_init(&streams[i].trailing);
    }
}

int main(int argc, char **argv)
{
    static struct stream streams[STREAMS_MAX];
    struct options options = {.mode = "",
                              .target = "127.0.0.1:50051",
                              .event = {"stream", "custom", "custom", 10000, 500, false, 0},
                              .in_flight = 16,
                              .count = 1000,
                              .warm_up = 50,
                              .events = 100,
                              .streams = 1};
    const struct argp parser = {option_table, parse_option, "append|read", "Load on one gRPC stream.",
                                NULL,         NULL,         NULL};
    argp_parse(&parser, argc, argv, 0, NULL, &options);
    const bool append = strcmp(options.mode, "append") == 0;
    if ((!append && strcmp(options.mode, "read") != 0) || !options_fit(&options) ||
        (append && options.count == 0)) {
        (void)fprintf(stderr, "stream_client: say append or read, and keep numbers in range; see --help\n");
        return 2;
    }
    grpc_init();
    streams_init(streams, &options);
    if (append)
        run_append(streams);
    else
        run_read(streams);
    return streams[0].error[0] == '\0' ? 0 : 1; /* the process ends with its channel */
}
