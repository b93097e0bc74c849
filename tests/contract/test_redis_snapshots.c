/*
 * Snapshots in Redis pass the suite of all snapshot stores, and the cache does what its header says, against the server
 * on loopback that STRATA_TEST_REDIS_PORT names; tests/engines starts one.
 */
#include "support/cmocka.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "contract/snapshot_store_suite.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/redis/redis_store.h"

struct place {
    uint16_t port;
    int opened; /* each store has a name of its own on the one server */
    char name[32];
    struct log *log;
};

static struct place place;

static struct redis_options options_of(const char *store_id)
{
    return (struct redis_options){.host = "127.0.0.1", .port = place.port, .store_id = store_id};
}

static struct snapshot_store *open_named(const char *name)
{
    struct snapshot_store *store = NULL;
    const struct redis_options options = options_of(name);
    assert_status_ok(redis_snapshots_open(&options, &system_clock, place.log, &store));
    return store;
}

static const char *next_name(void)
{
    (void)snprintf(place.name, sizeof place.name, "suite-%d", ++place.opened);
    return place.name;
}

static struct snapshot_store *open_snapshots(void *context)
{
    (void)context;
    return open_named(next_name());
}

static struct snapshot_store *reopen_snapshots(void *context, struct snapshot_store *store)
{
    (void)context;
    snapshot_store_close(store);
    return open_named(place.name);
}

static void close_snapshots(void *context, struct snapshot_store *store)
{
    (void)context;
    snapshot_store_close(store);
}

/* ---- names that a protocol, a script or a pattern might take for something else ---- */

static const char *const hostile[] = {
    "a",
    "A",
    "a ",
    " a",
    "*",
    "?",
    "[a-z]",
    "a*",
    "$5",
    "$-1",
    "*3\\r\\n",
    "+OK",
    "-ERR x",
    ":1",
    "(a",
    "[a",
    "+",
    "-",
    "inf",
    "-inf",
    "LIMIT",
    "\"",
    "'",
    "]]",
    "--",
    "%d",
    "\\",
    "a:b",
    "a:",
    ":a",
    "4:main:a",
    "\xc3\xa1",
    "\xe2\x84\xaa",
    "\xf0\x9f\x98\x80",
    "redis.call('FLUSHALL')",
    "{a}",
    "{",
    "}",
};

static struct snapshot state_of(const char *id, int32_t version)
{
    static const uint8_t digest[SHA256_BYTES] = {7};
    return (struct snapshot){
        .aggregate_id = bytes_of_text(id),
        .aggregate_type = bytes_of_text(id), /* a type is a name too */
        .version = version,
        .state = SNAPSHOT_VERIFIED,
        .created_at_us = 1700000000000000,
        .position = 1,
        .event_digest = bytes_of(digest, sizeof digest),
        .reducer_version = 1,
        .data = BYTES_LITERAL("$3\r\nabc\r\n\0*1\r\n"),
        .folded = bytes_of_text(id),
    };
}

static bool keep_last(void *context, const struct snapshot *snapshot)
{
    int *count = context;
    assert_true(bytes_equal(snapshot->folded, snapshot->aggregate_id));
    ++*count;
    return true;
}

static void check_hostile(struct snapshot_store *store)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
        const struct snapshot put = state_of(hostile[i], (int32_t)i + 1);
        assert_status_ok(store->ops->put(store, &put));
    }
    int count = 0;
    assert_status_ok(store->ops->list(store, BYTES_NONE, BYTES_NONE, BYTES_NONE, 0, keep_last, &count));
    assert_int_equal(count, ARRAY_SIZE(hostile));
    for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
        const struct bytes id = bytes_of_text(hostile[i]);
        struct snapshot got = {0};
        bool found = false;
        assert_status_ok(store->ops->get(store, id, SNAPSHOT_PICK_BEST, INT32_MAX, arena, &got, &found));
        if (!found || got.version != (int32_t)i + 1 || !bytes_equal(got.aggregate_id, id) ||
            !bytes_equal(got.data, BYTES_LITERAL("$3\r\nabc\r\n\0*1\r\n")))
            fail_msg("\"%s\" is not found as it was put", hostile[i]);
        count = 0;
        assert_status_ok(store->ops->list(store, id, id, BYTES_NONE, 0, keep_last, &count));
        assert_int_equal(count, 1);
        assert_status_ok(store->ops->remove(store, id, (int32_t)i + 1));
        assert_status_ok(store->ops->get(store, id, SNAPSHOT_PICK_BEST, INT32_MAX, arena, &got, &found));
        assert_false(found);
    }
    struct snapshot_store_stats stats = {0};
    assert_status_ok(store->ops->stats(store, &stats));
    assert_int_equal(stats.snapshot_count, 0);
}

static void test_hostile_names_are_only_names(void **state)
{
    (void)state;
    struct snapshot_store *store = open_named(next_name());
    check_hostile(store);
    snapshot_store_close(store);
}

static struct snapshot_store *open_cache(int64_t ttl_ms, int64_t entries_max)
{
    struct snapshot_store *store = NULL;
    const struct redis_options options = options_of(next_name());
    const struct redis_cache_bounds bounds = {ttl_ms, entries_max};
    assert_status_ok(redis_cache_open(&options, &bounds, &system_clock, place.log, &store));
    return store;
}

static void test_hostile_names_are_only_names_in_the_cache(void **state)
{
    (void)state;
    struct snapshot_store *cache = open_cache(0, 1000);
    check_hostile(cache);
    snapshot_store_close(cache);
}

/* "1:a" with the key "b…" and "1" with "a:b…" must not meet. */
static void test_stores_do_not_see_each_other(void **state)
{
    (void)state;
    struct snapshot_store *one = open_named("s");
    struct snapshot_store *other = open_named("s:a");
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    const struct snapshot mine = state_of("a:b", 1);
    struct snapshot got = {0};
    bool found = true;
    assert_status_ok(one->ops->put(one, &mine));
    assert_status_ok(other->ops->get(other, BYTES_LITERAL("b"), SNAPSHOT_PICK_EXACT, 1, arena, &got, &found));
    assert_false(found);
    assert_status_ok(
        other->ops->get(other, BYTES_LITERAL("a:b"), SNAPSHOT_PICK_BEST, 9, arena, &got, &found));
    assert_false(found);
    snapshot_store_close(one);
    snapshot_store_close(other);
}

/* ---- the cache ---- */

static bool is_cached(struct snapshot_store *cache, const char *id, int32_t version)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct snapshot got = {0};
    bool found = false;
    assert_status_ok(
        cache->ops->get(cache, bytes_of_text(id), SNAPSHOT_PICK_BEST, version, arena, &got, &found));
    return found;
}

static void put_state(struct snapshot_store *cache, const char *id, int32_t version)
{
    const struct snapshot state = state_of(id, version);
    assert_status_ok(cache->ops->put(cache, &state));
}

static void test_the_cache_holds_one_state_of_each_and_not_more_than_its_bound(void **state)
{
    (void)state;
    struct snapshot_store *cache = open_cache(0, 10);
    struct snapshot_store_stats stats = {0};
    char id[16];
    for (int i = 0; i < 30; i++) {
        (void)snprintf(id, sizeof id, "user-%02d", i);
        put_state(cache, id, 1);
        put_state(cache, id, 2);
    }
    assert_status_ok(cache->ops->stats(cache, &stats));
    assert_int_equal(stats.snapshot_count, 10);
    assert_true(is_cached(cache, "user-29", 2));
    assert_true(is_cached(cache, "user-29", INT32_MAX));
    assert_false(is_cached(cache, "user-29", 1)); /* of the past */
    assert_false(is_cached(cache, "user-00", INT32_MAX));
    assert_status_ok(cache->ops->remove(cache, BYTES_LITERAL("user-29"), 1)); /* the former one: no harm */
    assert_true(is_cached(cache, "user-29", 2));
    snapshot_store_close(cache);
}

static void test_a_state_goes_when_its_time_is_over(void **state)
{
    (void)state;
    struct snapshot_store *cache = open_cache(50, 10);
    const struct timespec pause = {.tv_nsec = 20000000};
    put_state(cache, "user-1", 1);
    while (is_cached(cache, "user-1", 1))
        (void)nanosleep(&pause, NULL);
    put_state(cache, "user-2", 1); /* and its name with it */
    struct snapshot_store_stats stats = {0};
    assert_status_ok(cache->ops->stats(cache, &stats));
    assert_int_equal(stats.snapshot_count, 1);
    snapshot_store_close(cache);
}

static void test_a_server_that_is_not_there_is_as_good_as_an_empty_cache(void **state)
{
    (void)state;
    struct redis_options options = options_of("none");
    const struct redis_cache_bounds bounds = {0, 10};
    struct snapshot_store *cache = NULL;
    struct snapshot_store_stats stats = {0};
    options.port = 1;
    assert_status_ok(redis_cache_open(&options, &bounds, &system_clock, NULL, &cache));
    put_state(cache, "user-1", 1);
    assert_false(is_cached(cache, "user-1", 1));
    assert_status_ok(cache->ops->remove(cache, BYTES_LITERAL("user-1"), 1));
    const struct status status = cache->ops->stats(cache, &stats);
    assert_int_equal(status.reason, REASON_STORE_UNREACHABLE);
    assert_non_null(strstr(status.message, "127.0.0.1:1"));
    assert_non_null(strstr(status.message, "database.redis.host"));
    snapshot_store_close(cache);
}

/* A server that listens and says nothing: the system takes the connections, nobody answers. */
static int silent_server(uint16_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 128), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static int connections_of(int server)
{
    int count = 0;
    for (int fd; (fd = accept(server, NULL, NULL)) >= 0; count++)
        (void)close(fd);
    return count;
}

static void test_a_silent_server_is_not_waited_for_by_each(void **state)
{
    (void)state;
    struct redis_options options = options_of("none");
    const struct redis_cache_bounds bounds = {0, 10};
    struct snapshot_store *cache = NULL;
    struct snapshot_store_stats stats = {0};
    const int server = silent_server(&options.port);
    options.io_timeout_ms = 20;
    assert_status_ok(redis_cache_open(&options, &bounds, &system_clock, NULL, &cache));
    for (int i = 0; i < 100; i++)
        assert_false(is_cached(cache, "user-1", 1));
    const struct status status = cache->ops->stats(cache, &stats);
    assert_non_null(strstr(status.message, "does not answer within 20 ms"));
    snapshot_store_close(cache);
    const int tries = connections_of(server); /* one each time-out: a call that tries has a new connection */
    if (tries < 1 || tries > 20)
        fail_msg("%d of 100 calls waited for the server", tries);
    (void)close(server);
}

static void test_the_snapshot_store_says_that_it_is_not_reached(void **state)
{
    (void)state;
    struct redis_options options = options_of("none");
    struct snapshot_store *store = NULL;
    options.port = 1;
    assert_status_ok(redis_snapshots_open(&options, &system_clock, NULL, &store));
    const struct snapshot put = state_of("user-1", 1);
    const struct status status = store->ops->put(store, &put);
    assert_int_equal(status.code, STATUS_UNAVAILABLE);
    assert_int_equal(status.reason, REASON_STORE_UNREACHABLE);
    snapshot_store_close(store);
}

static void test_options_are_refused_by_name(void **state)
{
    (void)state;
    struct redis_options options = options_of("main");
    struct snapshot_store *store = NULL;
    options.tls = REDIS_TLS_VERIFIED;
    options.tls_ca_file = "/nowhere/ca.pem";
    struct status status = redis_snapshots_open(&options, &system_clock, NULL, &store);
    assert_int_equal(status.code, STATUS_INVALID_ARGUMENT);
    assert_non_null(strstr(status.message, "database.redis.tls_ca_file \"/nowhere/ca.pem\""));
    options = options_of("main");
    options.username = "strata";
    status = redis_snapshots_open(&options, &system_clock, NULL, &store);
    assert_int_equal(status.code, STATUS_INVALID_ARGUMENT);
    assert_non_null(strstr(status.message, "database.redis.password"));
}

/* ---- hints ---- */

struct ear {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int64_t position;
    bool listening;
};

static void hear(void *context, int64_t position)
{
    struct ear *ear = context;
    pthread_mutex_lock(&ear->lock);
    ear->position = position;
    pthread_cond_signal(&ear->changed);
    pthread_mutex_unlock(&ear->lock);
}

static void be_told(void *context, bool yes)
{
    struct ear *ear = context;
    pthread_mutex_lock(&ear->lock);
    ear->listening = yes;
    pthread_cond_signal(&ear->changed);
    pthread_mutex_unlock(&ear->lock);
}

static void wait_for(struct ear *ear, bool (*is_so)(const struct ear *ear))
{
    pthread_mutex_lock(&ear->lock);
    while (!is_so(ear))
        pthread_cond_wait(&ear->changed, &ear->lock);
    pthread_mutex_unlock(&ear->lock);
}

static bool is_listening(const struct ear *ear)
{
    return ear->listening;
}

static bool has_heard_42(const struct ear *ear)
{
    return ear->position == 42;
}

static void test_what_one_tells_all_hear(void **state)
{
    (void)state;
    struct ear ears[2] = {{PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, false},
                          {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, false}};
    struct redis_hints *hints[2] = {NULL, NULL};
    const struct redis_options options = options_of("hints * \r\n");
    for (size_t i = 0; i < 2; i++) {
        const struct redis_hint_listener listener = {hear, be_told, &ears[i]};
        assert_status_ok(redis_hints_start(&options, &listener, &system_clock, place.log, &hints[i]));
    }
    for (size_t i = 0; i < 2; i++)
        wait_for(&ears[i], is_listening);
    redis_hints_tell(hints[0], 41);
    redis_hints_tell(hints[0], 42);
    redis_hints_tell(hints[0], 40); /* a lower one changes nothing */
    for (size_t i = 0; i < 2; i++)
        wait_for(&ears[i], has_heard_42);
    redis_hints_stop(hints[0]);
    redis_hints_stop(hints[1]);
}

int main(void)
{
    const char *port = getenv("STRATA_TEST_REDIS_PORT");
    if (port == NULL) {
        (void)fputs(
            "STRATA_TEST_REDIS_PORT is not set: run tests/engines/test_redis_contract.py, which starts a server\n",
            stderr);
        return 1;
    }
    place.port = (uint16_t)strtoul(port, NULL, 10);
    place.log = log_new(2, LOG_WARN, LOG_FORMAT_TEXT, &system_clock);
    const struct snapshot_store_kind kind = {.name = "redis_snapshots",
                                             .open = open_snapshots,
                                             .reopen = reopen_snapshots,
                                             .close = close_snapshots};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile_names_are_only_names),
        cmocka_unit_test(test_hostile_names_are_only_names_in_the_cache),
        cmocka_unit_test(test_stores_do_not_see_each_other),
        cmocka_unit_test(test_the_cache_holds_one_state_of_each_and_not_more_than_its_bound),
        cmocka_unit_test(test_a_state_goes_when_its_time_is_over),
        cmocka_unit_test(test_a_server_that_is_not_there_is_as_good_as_an_empty_cache),
        cmocka_unit_test(test_a_silent_server_is_not_waited_for_by_each),
        cmocka_unit_test(test_the_snapshot_store_says_that_it_is_not_reached),
        cmocka_unit_test(test_options_are_refused_by_name),
        cmocka_unit_test(test_what_one_tells_all_hear),
    };
    const int failed =
        snapshot_store_suite_run(&kind) + cmocka_run_group_tests_name("redis", tests, NULL, NULL);
    log_free(place.log);
    return failed;
}
