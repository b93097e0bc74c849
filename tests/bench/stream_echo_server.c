/*
 * The yardstick of a read stream: the same messages from memory, with nothing behind them.
 *
 * Loads the messages that `stream_client read --save` kept and answers each call of the method with them, over and over,
 * until --messages have gone. One thread, one completion queue, one message on its way at a time, as gRPC wants it.
 * Prints "listening on PORT" and serves until SIGTERM or SIGINT.
 */
#include <argp.h>
#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGES_MAX      256
#define MESSAGE_BYTES_MAX (4 * 1024 * 1024)

struct options {
    const char *method;
    const char *file;
    long messages;
};

enum { TAG_ARRIVED = 1, TAG_SENT, TAG_CLOSED };

/* One call at a time: a yardstick is asked by one client. */
struct echo {
    struct options options;
    grpc_completion_queue *queue;
    grpc_server *server;
    void *method;
    grpc_slice messages[MESSAGES_MAX];
    long message_count;

    grpc_call *call;
    gpr_timespec deadline;
    grpc_metadata_array metadata;
    grpc_byte_buffer *request;
    int cancelled;
    long sent;
    bool ending;
};

static volatile sig_atomic_t stop_wanted;

static void on_signal(int number)
{
    (void)number;
    stop_wanted = 1;
}

static void post(struct echo *echo)
{
    echo->metadata.count = 0;
    echo->request = NULL;
    echo->sent = 0;
    echo->ending = false;
    grpc_server_request_registered_call(echo->server, echo->method, &echo->call, &echo->deadline,
                                        &echo->metadata, &echo->request, echo->queue, echo->queue,
                                        (void *)(intptr_t)TAG_ARRIVED);
}

static void start(struct echo *echo, const grpc_op *ops, size_t count, intptr_t tag)
{
    if (grpc_call_start_batch(echo->call, ops, count, (void *)tag, NULL) != GRPC_CALL_OK)
        abort();
}

/* The next message, or the end. */
static void send_next(struct echo *echo)
{
    grpc_op ops[3];
    memset(ops, 0, sizeof ops);
    size_t count = 0;
    if (echo->sent == 0)
        ops[count++].op = GRPC_OP_SEND_INITIAL_METADATA;
    grpc_byte_buffer *message = NULL;
    if (echo->sent < echo->options.messages) {
        message = grpc_raw_byte_buffer_create(&echo->messages[echo->sent % echo->message_count], 1);
        ops[count].op = GRPC_OP_SEND_MESSAGE;
        ops[count++].data.send_message.send_message = message;
        echo->sent++;
    } else {
        ops[count].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
        ops[count++].data.send_status_from_server.status = GRPC_STATUS_OK;
        echo->ending = true;
    }
    start(echo, ops, count, TAG_SENT);
    grpc_byte_buffer_destroy(message);
}

static void begin(struct echo *echo)
{
    grpc_op close;
    memset(&close, 0, sizeof close);
    close.op = GRPC_OP_RECV_CLOSE_ON_SERVER;
    close.data.recv_close_on_server.cancelled = &echo->cancelled;
    start(echo, &close, 1, TAG_CLOSED);
    send_next(echo);
}

static void serve(struct echo *echo)
{
    int left = 0; /* completions that the call still owes */
    while (!stop_wanted) {
        const gpr_timespec tick =
            gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(500, GPR_TIMESPAN));
        const grpc_event event = grpc_completion_queue_next(echo->queue, tick, NULL);
        if (event.type != GRPC_OP_COMPLETE)
            continue;
        if ((intptr_t)event.tag == TAG_ARRIVED && event.success) {
            left = 2;
            begin(echo);
        } else if ((intptr_t)event.tag == TAG_SENT && event.success && !echo->ending) {
            send_next(echo);
        } else if (--left == 0) {
            if (echo->request != NULL)
                grpc_byte_buffer_destroy(echo->request);
            grpc_call_unref(echo->call);
            post(echo);
        }
    }
}

static bool load(struct echo *echo)
{
    FILE *file = fopen(echo->options.file, "rb");
    uint64_t size = 0;
    while (file != NULL && echo->message_count < MESSAGES_MAX && fread(&size, sizeof size, 1, file) == 1 &&
           size > 0 && size <= MESSAGE_BYTES_MAX) {
        grpc_slice slice = grpc_slice_malloc(size);
        if (fread(GRPC_SLICE_START_PTR(slice), size, 1, file) != 1)
            break;
        echo->messages[echo->message_count++] = slice;
    }
    if (file != NULL)
        (void)fclose(file); /* only read */
    return echo->message_count > 0;
}

static bool listen_on(struct echo *echo)
{
    grpc_arg settings[] = {
        {.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_ALLOW_REUSEPORT, .value.integer = 0},
        {.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_ENABLE_CHANNELZ, .value.integer = 0},
        {.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_HTTP2_BDP_PROBE, .value.integer = 0},
    };
    const grpc_channel_args args = {sizeof settings / sizeof settings[0], settings};
    echo->queue = grpc_completion_queue_create_for_next(NULL);
    echo->server = grpc_server_create(&args, NULL);
    grpc_server_register_completion_queue(echo->server, echo->queue, NULL);
    echo->method = grpc_server_register_method(echo->server, echo->options.method, NULL,
                                               GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
    grpc_server_credentials *plain = grpc_insecure_server_credentials_create();
    const int port = grpc_server_add_http2_port(echo->server, "127.0.0.1:0", plain);
    grpc_server_credentials_release(plain);
    if (port == 0)
        return false;
    grpc_server_start(echo->server);
    printf("listening on %d\n", port);
    (void)fflush(stdout);
    return true;
}

static int parse_option(int key, char *text, struct argp_state *state)
{
    struct options *options = state->input;
    switch (key) {
    case 'm':
        options->method = text;
        return 0;
    case 'f':
        options->file = text;
        return 0;
    case 'n':
        options->messages = atol(text);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int main(int argc, char **argv)
{
    static const struct argp_option table[] = {
        {"method", 'm', "PATH", 0, "the one method (/strata.v1.EventService/ReadEvents)", 0},
        {"file", 'f', "PATH", 0, "messages that stream_client saved", 0},
        {"messages", 'n', "N", 0, "messages of one stream (1000)", 0},
        {0},
    };
    const struct argp parser = {table, parse_option, NULL, "A gRPC stream from memory.", NULL, NULL, NULL};
    static struct echo echo = {.options = {"/strata.v1.EventService/ReadEvents", "", 1000}};
    argp_parse(&parser, argc, argv, 0, NULL, &echo.options);
    const struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    grpc_init();
    if (echo.options.messages < 1 || !load(&echo)) {
        (void)fprintf(stderr, "stream_echo_server: --messages starts at 1, and --file must hold messages\n");
        return 2;
    }
    grpc_metadata_array_init(&echo.metadata);
    if (!listen_on(&echo)) {
        (void)fprintf(stderr, "stream_echo_server: cannot listen on loopback\n");
        return 1;
    }
    post(&echo);
    serve(&echo);
    return 0; /* a yardstick has nothing to save: the process ends with its calls */
}
