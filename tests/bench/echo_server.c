/*
 * The yardstick of an empty gRPC call: what Strata's server would cost if it did nothing.
 *
 * One registered method, one completion queue, one thread, no code of Strata; every reply is one batch with
 * initial metadata, message, status and RECV_CLOSE_ON_SERVER, started from the thread that polls. Prints
 * "listening on PORT" and serves until SIGTERM or SIGINT. The harness reads CPU time from /proc/<pid>.
 */
#include <argp.h>
#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPLY_BYTES_MAX 1048576

struct options {
    const char *bind;
    const char *method;
    int slots;
    int reply_bytes;
};

struct slot {
    bool replying; /* false: posted, waiting for a call */
    grpc_call *call;
    gpr_timespec deadline;
    grpc_metadata_array metadata;
    grpc_byte_buffer *request;
    int cancelled;
};

struct echo {
    struct options options;
    grpc_completion_queue *queue;
    grpc_server *server;
    void *method;
    grpc_slice reply;
};

static volatile sig_atomic_t stop_wanted;

static void on_signal(int number)
{
    (void)number;
    stop_wanted = 1;
}

static void slot_post(struct echo *echo, struct slot *slot)
{
    slot->replying = false;
    slot->metadata.count = 0;
    slot->request = NULL;
    grpc_server_request_registered_call(echo->server, echo->method, &slot->call, &slot->deadline,
                                        &slot->metadata, &slot->request, echo->queue, echo->queue, slot);
}

static void slot_reply(struct echo *echo, struct slot *slot)
{
    slot->replying = true;
    grpc_byte_buffer *reply = grpc_raw_byte_buffer_create(&echo->reply, 1);
    grpc_op ops[4];
    memset(ops, 0, sizeof ops);
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[1].op = GRPC_OP_SEND_MESSAGE;
    ops[1].data.send_message.send_message = reply;
    ops[2].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
    ops[2].data.send_status_from_server.status = GRPC_STATUS_OK;
    ops[3].op = GRPC_OP_RECV_CLOSE_ON_SERVER;
    ops[3].data.recv_close_on_server.cancelled = &slot->cancelled;
    if (grpc_call_start_batch(slot->call, ops, 4, slot, NULL) != GRPC_CALL_OK)
        abort();
    grpc_byte_buffer_destroy(reply);
    if (slot->request != NULL)
        grpc_byte_buffer_destroy(slot->request);
    slot->request = NULL;
}

static void echo_serve(struct echo *echo)
{
    while (!stop_wanted) {
        const gpr_timespec tick =
            gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(500, GPR_TIMESPAN));
        const grpc_event event = grpc_completion_queue_next(echo->queue, tick, NULL);
        if (event.type != GRPC_OP_COMPLETE)
            continue;
        struct slot *slot = event.tag;
        if (slot->replying) {
            grpc_call_unref(slot->call);
            slot_post(echo, slot);
        } else if (event.success) {
            slot_reply(echo, slot);
        }
    }
}

static bool echo_start(struct echo *echo)
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
    const int port = grpc_server_add_http2_port(echo->server, echo->options.bind, plain);
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
    case 'b':
        options->bind = text;
        return 0;
    case 'm':
        options->method = text;
        return 0;
    case 's':
        options->slots = atoi(text);
        return 0;
    case 'r':
        options->reply_bytes = atoi(text);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int main(int argc, char **argv)
{
    static const struct argp_option table[] = {
        {"bind", 'b', "HOST:PORT", 0, "where to listen (127.0.0.1:0 = any free port)", 0},
        {"method", 'm', "PATH", 0, "the one method (/strata.v1.EventService/PublishEvent)", 0},
        {"slots", 's', "N", 0, "posted request slots (64)", 0},
        {"reply-bytes", 'r', "N", 0, "size of a reply (500)", 0},
        {0},
    };
    const struct argp parser = {table, parse_option, NULL, "An empty gRPC C-core server.", NULL, NULL, NULL};
    struct echo echo = {.options = {"127.0.0.1:0", "/strata.v1.EventService/PublishEvent", 64, 500}};
    argp_parse(&parser, argc, argv, 0, NULL, &echo.options);
    if (echo.options.slots < 1 || echo.options.reply_bytes < 0 ||
        echo.options.reply_bytes > REPLY_BYTES_MAX) {
        (void)fprintf(stderr, "echo_server: --slots must be at least 1 and --reply-bytes 0 to %d\n",
                      REPLY_BYTES_MAX);
        return 2;
    }
    const struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);

    grpc_init();
    echo.reply = grpc_slice_malloc((size_t)echo.options.reply_bytes);
    memset(GRPC_SLICE_START_PTR(echo.reply), 'e', (size_t)echo.options.reply_bytes);
    if (!echo_start(&echo)) {
        (void)fprintf(stderr, "echo_server: cannot listen on %s\n", echo.options.bind);
        return 1;
    }
    struct slot *slots = calloc((size_t)echo.options.slots, sizeof *slots);
    for (int i = 0; slots != NULL && i < echo.options.slots; i++) {
        grpc_metadata_array_init(&slots[i].metadata);
        slot_post(&echo, &slots[i]);
    }
    echo_serve(&echo);
    return 0; /* a yardstick has nothing to save: the process ends with its calls */
}
