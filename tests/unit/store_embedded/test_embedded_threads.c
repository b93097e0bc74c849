/*
 * The store with its own threads behind the real writer: several submitters, readers beside them, segments that roll
 * all the time. Under the thread sanitizer this is the test of the locks.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/cmocka.h"
#include "support/memory_files.h"

#include "fault/traced_files.h"

#include "base/clock.h"
#include "base/entropy.h"
#include "offline/verify.h"
#include "store/embedded/embedded_store.h"
#include "store/writer.h"

#define SUBMITTERS   4U
#define APPENDS_EACH 150U

struct world {
    struct event_store *store;
    struct writer *writer;
    _Atomic int64_t acknowledged; /* the highest position that was promised */
    _Atomic int64_t accepted;
    _Atomic int64_t failures;
    _Atomic bool done;
};

/* One append under way; its submitter waits for it. */
struct request {
    struct append append;
    struct append_event event;
    char id[UUID_TEXT_BYTES];
    char aggregate[32];
    char data[400];
    struct world *world;
    pthread_mutex_t lock;
    pthread_cond_t answered;
    bool is_answered;
    enum append_outcome_kind kind;
    struct status status;
};

static void on_done(struct append *append, const struct append_outcome *outcome)
{
    struct request *request = (struct request *)append;
    if (outcome->kind == APPEND_ACCEPTED) {
        const int64_t position = outcome->first_position + (int64_t)outcome->record_count - 1;
        int64_t former = atomic_load(&request->world->acknowledged);
        while (former < position &&
               !atomic_compare_exchange_weak(&request->world->acknowledged, &former, position))
            continue;
    }
    pthread_mutex_lock(&request->lock);
    request->kind = outcome->kind;
    request->status = outcome->status;
    request->is_answered = true;
    pthread_cond_signal(&request->answered);
    pthread_mutex_unlock(&request->lock);
}

static void submit_and_wait(struct request *request, unsigned submitter, unsigned number)
{
    uuid_v7(clock_now_us(&system_clock), &system_entropy, request->id);
    snprintf(request->aggregate, sizeof request->aggregate, "custom-%u-%u", submitter, number % 5);
    snprintf(request->data, sizeof request->data, "{\"n\":%u,\"text\":\"%0*d\"}", number, (int)(number % 300),
             0);
    request->event = (struct append_event){
        .id = bytes_of_text(request->id),
        .type = BYTES_LITERAL("custom"),
        .aggregate_id = bytes_of_text(request->aggregate),
        .aggregate_type = BYTES_LITERAL("custom"),
        .data = bytes_of_text(request->data),
    };
    request->append = (struct append){
        .append_id = bytes_of_text(request->id),
        .ids_server_made = true,
        .events = &request->event,
        .event_count = 1,
        .encoded_bytes = 600,
        .on_done = on_done,
    };
    request->is_answered = false;
    const struct status status = writer_submit(request->world->writer, &request->append);
    if (status.code != STATUS_OK) {
        atomic_fetch_add(&request->world->failures, 1);
        return;
    }
    pthread_mutex_lock(&request->lock);
    while (!request->is_answered)
        pthread_cond_wait(&request->answered, &request->lock);
    atomic_fetch_add(request->kind == APPEND_ACCEPTED ? &request->world->accepted : &request->world->failures,
                     1);
    pthread_mutex_unlock(&request->lock);
}

struct submitter {
    struct world *world;
    unsigned number;
};

static void *submit_all(void *context)
{
    const struct submitter *submitter = context;
    struct request *request = calloc(1, sizeof *request);
    request->world = submitter->world;
    pthread_mutex_init(&request->lock, NULL);
    pthread_cond_init(&request->answered, NULL);
    for (unsigned i = 0; i < APPENDS_EACH; i++)
        submit_and_wait(request, submitter->number, i);
    pthread_cond_destroy(&request->answered);
    pthread_mutex_destroy(&request->lock);
    free(request);
    return NULL;
}

struct seen {
    int64_t next;
    bool gap;
};

static bool see(void *context, int64_t position, struct record record)
{
    struct seen *seen = context;
    (void)record;
    seen->gap = seen->gap || position != seen->next;
    seen->next = position + 1;
    return true;
}

/* What was acknowledged before a read begins is in it, without a gap. */
static void *read_all(void *context)
{
    struct world *world = context;
    while (!atomic_load(&world->done)) {
        const int64_t promised = atomic_load(&world->acknowledged);
        const struct read_query query = {.by = READ_BY_POSITION, .to_version = INT32_MAX};
        struct seen seen = {.next = 1};
        if (world->store->ops->read(world->store, &query, see, &seen).code != STATUS_OK || seen.gap ||
            seen.next <= promised)
            atomic_fetch_add(&world->failures, 1);
    }
    return NULL;
}

static const struct embedded_options small = {.segment_max_bytes = 64 * 1024, .segment_max_events = 100};

static void open_world(struct world *world, struct files *files)
{
    assert_status_ok(embedded_store_open(files, &small, &system_clock, &system_entropy, NULL, &world->store));
    const struct writer_options options = {0};
    assert_status_ok(writer_start(world->store, &options, &system_clock, &system_entropy, &world->writer));
}

static void close_world(struct world *world)
{
    writer_stop(world->writer);
    event_store_close(world->store);
}

static void submit_from_threads(struct world *world)
{
    pthread_t threads[SUBMITTERS];
    struct submitter submitters[SUBMITTERS];
    for (unsigned i = 0; i < SUBMITTERS; i++) {
        submitters[i] = (struct submitter){world, i};
        assert_int_equal(pthread_create(&threads[i], NULL, submit_all, &submitters[i]), 0);
    }
    for (unsigned i = 0; i < SUBMITTERS; i++)
        pthread_join(threads[i], NULL);
}

static void check_verified(struct files *files, int64_t at_least)
{
    struct verify_report report;
    const struct verify_options options = {0};
    assert_status_ok(verify_store(files, &options, &system_clock, &system_entropy, &report));
    assert_true(report.head_position >= at_least);
}

static void run_to_the_end(struct files *files)
{
    struct world world = {0};
    open_world(&world, files);
    pthread_t reader;
    assert_int_equal(pthread_create(&reader, NULL, read_all, &world), 0);
    submit_from_threads(&world);
    atomic_store(&world.done, true);
    pthread_join(reader, NULL);
    close_world(&world);
    assert_int_equal(world.failures, 0);
    assert_int_equal(world.accepted, SUBMITTERS * APPENDS_EACH);
    assert_int_equal(world.acknowledged, SUBMITTERS * APPENDS_EACH);
    check_verified(files, world.acknowledged);
    open_world(&world, files);
    struct embedded_recovery recovery;
    embedded_store_recovery(world.store, &recovery);
    assert_true(recovery.clean);
    assert_int_equal(recovery.head_position, SUBMITTERS * APPENDS_EACH);
    assert_true(recovery.segment_count > 3);
    close_world(&world);
}

static void test_writers_and_readers_beside_each_other_in_memory(void **state)
{
    (void)state;
    struct memory_files disk = memory_files_empty();
    run_to_the_end(&disk.files);
    assert_int_equal(memory_files_open_count(&disk), 0);
    memory_files_done(&disk);
}

/* The interleavings of threads that a fast disk hardly ever shows. */
static void test_writers_and_readers_on_a_disk_that_answers_late(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct memory_files disk = memory_files_empty();
        struct faulty_files faulty = faulty_files_over(&disk.files, 0, FAULT_NONE);
        struct traced_files late = traced_files_over(&faulty);
        late.jitter = seed;
        run_to_the_end(&late.files);
        assert_int_equal(memory_files_open_count(&disk), 0);
        memory_files_done(&disk);
    }
}

static void remove_tree(const char *path)
{
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    assert_int_equal(system(command), 0);
}

static void test_writers_and_readers_beside_each_other_on_the_real_disk(void **state)
{
    (void)state;
    char path[] = "/tmp/strata-threads-XXXXXX";
    assert_non_null(mkdtemp(path));
    struct files *files = NULL;
    assert_status_ok(posix_files_new(path, &files));
    run_to_the_end(files);
    posix_files_free(files);
    remove_tree(path);
}

/* At some call of some thread the disk dies under everybody; making the store takes about a hundred. */
static void test_a_disk_that_dies_under_load_loses_nothing_acknowledged(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct memory_files disk = memory_files_empty();
        struct faulty_files faulty = faulty_files_over(&disk.files, 200 + (unsigned)seed * 17, FAULT_IO);
        faulty.sticky = true;
        struct traced_files late = traced_files_over(&faulty);
        late.jitter = seed;
        struct world world = {0};
        open_world(&world, &late.files);
        submit_from_threads(&world);
        assert_int_equal(world.accepted + world.failures, SUBMITTERS * APPENDS_EACH);
        assert_true(world.failures > 0);
        assert_reason(world.store->ops->health(world.store), REASON_STORE_FAILED);
        close_world(&world);
        assert_int_equal(memory_files_open_count(&disk), 0);
        memory_files_crash(&disk, seed);
        check_verified(&disk.files, world.acknowledged);
        struct world again = {0};
        open_world(&again, &disk.files);
        struct store_head head;
        assert_status_ok(again.store->ops->head(again.store, &head));
        assert_true(head.position >= world.acknowledged);
        close_world(&again);
        memory_files_done(&disk);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writers_and_readers_beside_each_other_in_memory),
        cmocka_unit_test(test_writers_and_readers_on_a_disk_that_answers_late),
        cmocka_unit_test(test_writers_and_readers_beside_each_other_on_the_real_disk),
        cmocka_unit_test(test_a_disk_that_dies_under_load_loses_nothing_acknowledged),
    };
    return cmocka_run_group_tests_name("embedded_threads", tests, NULL, NULL);
}
