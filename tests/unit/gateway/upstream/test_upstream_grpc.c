/* The gRPC upstream over the real server in this process: the suite, and what only a core elsewhere brings about. */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/entropy.h"
#include "gateway/upstream/upstream_grpc.h"
#include "server/server.h"
#include "unit/gateway/upstream/upstream_suite.h"

static struct server *server;

static struct status make(const char *const *addresses, size_t count, struct upstream **ret)
{
    const struct upstream_grpc_options options = {
        .addresses = addresses,
        .address_count = count,
        .clock = &system_clock,
        .entropy = &system_entropy,
    };
    return upstream_grpc_new(&options, ret);
}

static struct upstream *open_grpc(struct rpc_table *table)
{
    const struct server_options options = {.bind = "127.0.0.1:0", .table = table, .clock = &system_clock};
    struct status status = server_start(&options, &server);
    assert_true(status_is_ok(&status));
    char address[32];
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", server_port(server));
    const char *const addresses[] = {address};
    struct upstream *upstream = NULL;
    status = make(addresses, 1, &upstream);
    assert_true(status_is_ok(&status));
    return upstream;
}

static void close_grpc(struct upstream *upstream)
{
    upstream_grpc_free(upstream);
    server_stop(server, 0);
    server = NULL;
}

static void test_the_deadline_ends_a_call_on_both_sides(void **state)
{
    (void)state;
    struct suite_seen seen;
    suite_seen_init(&seen);
    struct upstream_call *call = suite_get(&seen, "hold", clock_monotonic_us(&system_clock) + 300000);
    upstream_begin(call, BYTES_LITERAL("\x0a\x04hold"));
    suite_wait_end(&seen);
    assert_int_equal(seen.status.code, STATUS_DEADLINE_EXCEEDED);
    upstream_release(call);
}

static void test_a_core_that_is_gone_is_said_to_have_done_nothing(void **state)
{
    (void)state;
    server_stop(server, 0);
    server = NULL;
    struct suite_seen seen;
    suite_seen_init(&seen);
    struct upstream_call *call = suite_make(METHOD_EVENT_SERVICE_PUBLISH_EVENT, &seen, 0);
    upstream_begin(call, BYTES_NONE);
    suite_wait_end(&seen);
    assert_int_equal(seen.status.reason, REASON_STORE_UNREACHABLE);
    upstream_release(call);
}

/* Whoever frees the upstream with calls on it gets their ends first, and nothing leaks. */
static void test_it_can_be_freed_with_calls_under_way(void **state)
{
    (void)state;
    struct suite_seen seen[3];
    struct upstream_call *calls[3];
    for (int i = 0; i < 3; i++)
        suite_seen_init(&seen[i]);
    calls[0] = suite_make(METHOD_EVENT_SERVICE_PUBLISH_EVENT, &seen[0], 0);
    upstream_begin(calls[0], BYTES_NONE);
    calls[1] = suite_get(&seen[1], "hold", 0);
    upstream_begin(calls[1], BYTES_LITERAL("\x0a\x04hold"));
    seen[2].pause_every = 1;
    calls[2] = suite_make(METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE, &seen[2], 0);
    upstream_begin(calls[2], BYTES_NONE);
    suite_wait_handler(&suite_handler.held, 2);
    suite_wait_messages(&seen[2], 1);
    upstream_grpc_free(suite_upstream);
    suite_upstream = NULL;
    assert_int_equal(seen[0].status.reason, REASON_OUTCOME_UNKNOWN);
    assert_int_equal(seen[1].status.code, STATUS_CANCELLED);
    assert_int_equal(seen[2].status.code, STATUS_CANCELLED);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(seen[i].ends, 1);
        upstream_release(calls[i]);
    }
}

/* Beside a peer that is the gateway itself. Unary calls save the bytes: nobody can list them. */
static void test_a_stream_says_who_is_at_the_other_end_of_the_gateway(void **state)
{
    (void)state;
    struct suite_seen seen[2];
    struct upstream_call *calls[2];
    for (int i = 0; i < 2; i++)
        suite_seen_init(&seen[i]);
    calls[0] = suite_make(METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE, &seen[0], 0);
    upstream_begin(calls[0], BYTES_NONE);
    suite_wait_end(&seen[0]);
    pthread_mutex_lock(&suite_handler.lock);
    assert_string_equal(suite_handler.transport, "grpc");
    assert_string_not_equal(suite_handler.peer, "127.0.0.1:1");
    assert_string_equal(suite_handler.client_transport, "http");
    assert_string_equal(suite_handler.client_peer, "127.0.0.1:1");
    pthread_mutex_unlock(&suite_handler.lock);
    calls[1] = suite_get(&seen[1], "e-1", 0);
    upstream_begin(calls[1], BYTES_LITERAL("\x0a\x03"
                                           "e-1"));
    suite_wait_end(&seen[1]);
    pthread_mutex_lock(&suite_handler.lock);
    assert_string_equal(suite_handler.client_peer, "");
    pthread_mutex_unlock(&suite_handler.lock);
    for (int i = 0; i < 2; i++)
        upstream_release(calls[i]);
}

/* --- cores that hang --- */

/* Greets like a core, then reads and says nothing more. Its thread ends with the test's upstream, which closes. */
struct mute_core {
    int listen_fd;
    char address[32];
    pthread_t thread;
    unsigned connections;
};

static void *mute_core_run(void *context)
{
    static const uint8_t settings[] = {0, 0, 0, 4, 0, 0, 0, 0, 0}; /* RFC 9113 6.5, with nothing in it */
    struct mute_core *core = context;
    for (;;) {
        uint8_t bytes[4096];
        const int fd = accept(core->listen_fd, NULL, NULL);
        if (fd < 0)
            return NULL;
        core->connections++;
        assert_int_equal(write(fd, settings, sizeof settings), sizeof settings);
        while (read(fd, bytes, sizeof bytes) > 0)
            continue;
        close(fd);
    }
}

static void mute_core_start(struct mute_core *core)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    *core = (struct mute_core){.listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_int_equal(bind(core->listen_fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(core->listen_fd, 16), 0);
    assert_int_equal(getsockname(core->listen_fd, (struct sockaddr *)&address, &size), 0);
    (void)snprintf(core->address, sizeof core->address, "127.0.0.1:%u", ntohs(address.sin_port));
    assert_int_equal(pthread_create(&core->thread, NULL, mute_core_run, core), 0);
}

/* When nothing is connected to it any more. */
static void mute_core_stop(struct mute_core *core)
{
    shutdown(core->listen_fd, SHUT_RDWR);
    pthread_join(core->thread, NULL);
    close(core->listen_fd);
}

/* Long before their deadlines; and its connection is made again. */
static void test_a_core_that_hangs_loses_its_calls(void **state)
{
    (void)state;
    struct mute_core core;
    mute_core_start(&core);
    const char *const addresses[] = {core.address};
    const struct upstream_grpc_options options = {.addresses = addresses,
                                                  .address_count = 1,
                                                  .quiet_ms = 50,
                                                  .answer_ms = 50,
                                                  .clock = &system_clock,
                                                  .entropy = &system_entropy};
    struct upstream *upstream = NULL;
    assert_status_ok(upstream_grpc_new(&options, &upstream));
    for (int rounds = 0; rounds < 2;) {
        struct suite_seen seen;
        suite_seen_init(&seen);
        const struct upstream_request request = {.method = METHOD_EVENT_SERVICE_PUBLISH_EVENT,
                                                 .transport = "http",
                                                 .deadline_us = clock_monotonic_us(&system_clock) + 60000000};
        struct upstream_call *call = suite_make_on(upstream, &request, &seen);
        upstream_begin(call, BYTES_NONE);
        suite_wait_end(&seen);
        upstream_release(call);
        if (seen.status.reason == REASON_STORE_UNREACHABLE)
            continue; /* the test was late, and the connection was lost so often without a call that it is waited with */
        assert_int_equal(seen.status.reason, REASON_OUTCOME_UNKNOWN);
        rounds++;
    }
    upstream_grpc_free(upstream);
    mute_core_stop(&core);
    assert_true(core.connections >= 2);
}

/* One that answers pings is not given up, however long it says nothing else. */
static void test_a_quiet_core_keeps_its_calls(void **state)
{
    (void)state;
    char address[32];
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", server_port(server));
    const char *const addresses[] = {address};
    const struct upstream_grpc_options options = {.addresses = addresses,
                                                  .address_count = 1,
                                                  .quiet_ms =
                                                      400, /* twice: the core allows so few in a row */
                                                  .answer_ms = 10000,
                                                  .clock = &system_clock,
                                                  .entropy = &system_entropy};
    struct upstream *upstream = NULL;
    assert_status_ok(upstream_grpc_new(&options, &upstream));
    struct suite_seen seen;
    suite_seen_init(&seen);
    const struct upstream_request request = {.method = METHOD_EVENT_SERVICE_PUBLISH_EVENT,
                                             .transport = "http",
                                             .deadline_us = clock_monotonic_us(&system_clock) + 1000000};
    struct upstream_call *call = suite_make_on(upstream, &request, &seen);
    upstream_begin(call, BYTES_NONE);
    suite_wait_end(&seen);
    assert_int_equal(seen.status.code, STATUS_DEADLINE_EXCEEDED);
    upstream_release(call);
    upstream_grpc_free(upstream);
}

/* --- names --- */

/* A resolver that takes as long as the test likes, and then finds the server. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned asked; /* since the test began; the first one is answered at once, by where nobody listens */
    bool answers;
    char port[8]; /* the server's */
} names = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static int resolve(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **ret)
{
    (void)host;
    pthread_mutex_lock(&names.lock);
    const bool first = names.asked++ == 0;
    pthread_cond_broadcast(&names.changed);
    while (!first && !names.answers)
        pthread_cond_wait(&names.changed, &names.lock);
    pthread_mutex_unlock(&names.lock);
    return getaddrinfo("127.0.0.1", first ? port : names.port, hints, ret);
}

static struct upstream *make_by_name(void)
{
    static const char *const addresses[] = {"core.test:1"};
    const struct upstream_grpc_options options = {.addresses = addresses,
                                                  .address_count = 1,
                                                  .resolver = resolve,
                                                  .clock = &system_clock,
                                                  .entropy = &system_entropy};
    struct upstream *upstream = NULL;
    names.asked = 0;
    names.answers = false;
    (void)snprintf(names.port, sizeof names.port, "%u", server_port(server));
    assert_status_ok(upstream_grpc_new(&options, &upstream));
    return upstream;
}

static void names_answer(void)
{
    pthread_mutex_lock(&names.lock);
    names.answers = true;
    pthread_cond_broadcast(&names.changed);
    pthread_mutex_unlock(&names.lock);
}

static void names_wait(unsigned asked)
{
    pthread_mutex_lock(&names.lock);
    while (names.asked < asked)
        pthread_cond_wait(&names.changed, &names.lock);
    pthread_mutex_unlock(&names.lock);
}

/* While a resolver hangs, calls are refused in time; when it answers, the core is found where it is now. */
static void test_a_name_is_looked_up_beside_the_calls(void **state)
{
    (void)state;
    struct upstream *upstream = make_by_name();
    names_wait(2); /* it hangs */
    const struct upstream_request request = {.method = METHOD_EVENT_SERVICE_GET_EVENT, .transport = "http"};
    for (enum status_code code = STATUS_UNAVAILABLE; code == STATUS_UNAVAILABLE;) {
        struct suite_seen seen;
        suite_seen_init(&seen);
        struct upstream_call *call = suite_make_on(upstream, &request, &seen);
        upstream_begin(call, BYTES_LITERAL("\x0a\x03"
                                           "e-1"));
        suite_wait_end(&seen);
        code = seen.status.code;
        assert_true(code == STATUS_OK || seen.status.reason == REASON_STORE_UNREACHABLE);
        assert_true(code != STATUS_OK || names.answers);
        upstream_release(call);
        names_answer();
    }
    upstream_grpc_free(upstream);
}

/* Nobody waits for a look-up that is under way when the upstream goes. */
static void test_it_can_be_freed_while_a_name_is_looked_up(void **state)
{
    (void)state;
    struct upstream *upstream = make_by_name();
    names_wait(2);
    upstream_grpc_free(upstream);
    names_answer();
}

static void test_addresses(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",     "core",     ":1",      "core:",   "core:0", "core:65536",        "::1:1",    "[::1",
        "[]:1", "[::1]1:1", "core:1x", "core:-1", "a:b:1",  "[::1]:99999999999", "core:0x1", "core: 1"};
    static const char *const right[] = {"127.0.0.1:1", "[::1]:1", "localhost:65535"};
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        struct upstream *upstream = NULL;
        const struct status status = make(&wrong[i], 1, &upstream);
        if (status.code != STATUS_INVALID_ARGUMENT)
            fail_msg("\"%s\" is taken: %s", wrong[i], status.message);
        assert_null(upstream);
    }
    for (size_t i = 0; i < ARRAY_COUNT(right); i++) {
        struct upstream *upstream = NULL;
        const struct status status = make(&right[i], 1, &upstream);
        if (!status_is_ok(&status))
            fail_msg("\"%s\" is refused: %s", right[i], status.message);
        upstream_grpc_free(upstream);
    }
    const char *many[UPSTREAM_ADDRESSES_MAX + 1];
    struct upstream *upstream = NULL;
    for (size_t i = 0; i < ARRAY_COUNT(many); i++)
        many[i] = "127.0.0.1:1";
    assert_int_equal(make(many, ARRAY_COUNT(many), &upstream).code, STATUS_INVALID_ARGUMENT);
    assert_int_equal(make(many, 0, &upstream).code, STATUS_INVALID_ARGUMENT);
    upstream_grpc_free(NULL);
}

int main(void)
{
    static const struct upstream_suite suite = {open_grpc, close_grpc};
#define IN_SUITE(test) cmocka_unit_test_setup_teardown(test, suite_setup, suite_teardown)
    const struct CMUnitTest tests[] = {
        IN_SUITE(test_the_deadline_ends_a_call_on_both_sides),
        IN_SUITE(test_a_core_that_is_gone_is_said_to_have_done_nothing),
        IN_SUITE(test_it_can_be_freed_with_calls_under_way),
        IN_SUITE(test_a_quiet_core_keeps_its_calls),
        IN_SUITE(test_a_name_is_looked_up_beside_the_calls),
        cmocka_unit_test(test_a_core_that_hangs_loses_its_calls),
        IN_SUITE(test_a_stream_says_who_is_at_the_other_end_of_the_gateway),
        cmocka_unit_test(test_addresses),
        IN_SUITE(test_it_can_be_freed_while_a_name_is_looked_up), /* last: its thread may outlive it */
    };
    const int failed = upstream_suite_run(&suite);
    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
