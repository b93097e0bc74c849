/*
 * The cost of Strata's own edge: the gRPC server and the method table with a handler that does nothing.
 *
 * PublishEvent answers with 500 bytes, at once or (--late) from another thread, which takes all
 * calls that wait and answers them in one go, as the store's writer does. Against echo_server it
 * shows what rpc and server add; against a real server, what the rooms below do. Prints "listening
 * on PORT" and serves until SIGTERM or SIGINT.
 */
#include <argp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "rpc/table.h"
#include "server/server.h"

#define BATCH_MAX   4096U
#define REPLY_BYTES 500U

struct options {
    const char *bind;
    bool late;
};

struct desk {
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    struct call *calls[BATCH_MAX];
    size_t count;
    uint8_t reply[REPLY_BYTES];
    bool late;
};

static void *desk_main(void *argument)
{
    struct desk *desk = argument;
    static struct call *batch[BATCH_MAX];
    for (;;) {
        pthread_mutex_lock(&desk->lock);
        while (desk->count == 0)
            pthread_cond_wait(&desk->changed, &desk->lock);
        const size_t count = desk->count;
        memcpy(batch, desk->calls, count * sizeof batch[0]);
        desk->count = 0;
        pthread_mutex_unlock(&desk->lock);
        for (size_t i = 0; i < count; i++)
            call_reply_bytes(batch[i], bytes_of(desk->reply, REPLY_BYTES));
    }
    return NULL;
}

static void publish(void *service, struct call *call, const ProtobufCMessage *request)
{
    (void)request;
    struct desk *desk = service;
    if (!desk->late) {
        call_reply_bytes(call, bytes_of(desk->reply, REPLY_BYTES));
        return;
    }
    pthread_mutex_lock(&desk->lock);
    if (desk->count == BATCH_MAX)
        abort();
    desk->calls[desk->count++] = call;
    if (desk->count == 1)
        pthread_cond_signal(&desk->changed);
    pthread_mutex_unlock(&desk->lock);
}

static int parse_option(int key, char *text, struct argp_state *state)
{
    struct options *options = state->input;
    switch (key) {
    case 'b':
        options->bind = text;
        return 0;
    case 'l':
        options->late = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int main(int argc, char **argv)
{
    static const struct argp_option table_of_options[] = {
        {"bind", 'b', "HOST:PORT", 0, "where to listen (127.0.0.1:0 = any free port)", 0},
        {"late", 'l', NULL, 0, "answer from another thread", 0},
        {0},
    };
    const struct argp parser = {
        table_of_options, parse_option, NULL, "Strata's gRPC edge without a store.", NULL, NULL, NULL};
    struct options options = {"127.0.0.1:0", false};
    argp_parse(&parser, argc, argv, 0, NULL, &options);
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, NULL); /* for all threads: this one waits for them */

    static struct desk desk = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    desk.late = options.late;
    if (pthread_create(&desk.thread, NULL, desk_main, &desk) != 0)
        return 1;
    struct rpc_table *table = rpc_table_new();
    const struct method_handler handler = {.start = publish};
    rpc_table_set(table, METHOD_EVENT_SERVICE_PUBLISH_EVENT, &handler, &desk);
    struct server *server = NULL;
    const struct server_options server_options = {
        .bind = options.bind, .table = table, .clock = &system_clock};
    const struct status status = server_start(&server_options, &server);
    if (!status_is_ok(&status)) {
        (void)fprintf(stderr, "table_server: %s\n", status.message);
        return 1;
    }
    server_set_serving(server, true);
    printf("listening on %d\n", server_port(server));
    (void)fflush(stdout);
    int signal_number = 0;
    (void)sigwait(&ends, &signal_number);
    server_stop(server, 1000);
    rpc_table_free(table);
    return 0;
}
