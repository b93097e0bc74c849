/* A record whose bytes have changed on the disk concerns who asks for it, and nobody else. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/cmocka.h"
#include "support/memory_files.h"

#include "contract/store_driver.h"

#include "store/embedded/embedded_store.h"
#include "store/writer.h"

#define SEGMENT "main/log/00000000000000000001.seg"

struct fixture {
    struct memory_files disk;
    struct event_store *store;
    struct store_driver driver;
};

/* The segment gets its name beside the commits: waited for, for a minute at most. */
static uint8_t *segment_content(struct memory_files *disk, size_t *ret_size)
{
    uint8_t *content = NULL;
    for (int tries = 0; tries < 60000 && content == NULL; tries++) {
        content = memory_files_content(disk, SEGMENT, ret_size);
        if (content == NULL)
            (void)usleep(1000);
    }
    return content;
}

/* Position 1, id "e1", is damaged; position 2, id "e2", is not. */
static int open_damaged(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->disk = memory_files_empty();
    const struct embedded_options options = {.segment_max_bytes = 64 * 1024};
    assert_status_ok(embedded_store_open(&fixture->disk.files, &options, &system_clock, &system_entropy, NULL,
                                         &fixture->store));
    store_driver_init(&fixture->driver, fixture->store);
    struct append_event events[] = {sample_event("e1", "a", "changed", "user"),
                                    sample_event("e2", "b", "changed", "user")};
    events[0].data = BYTES_LITERAL("{\"here\":1}");
    for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
        const struct append append = sample_append(&events[i], 1);
        assert_int_equal(store_driver_append(&fixture->driver, &append).kind, APPEND_ACCEPTED);
    }
    size_t size = 0;
    uint8_t *content = segment_content(&fixture->disk, &size);
    const uint8_t *found = memmem(content, size, "{\"here\":1}", 10);
    assert_non_null(found);
    assert_true(memory_files_damage(&fixture->disk, SEGMENT, (uint64_t)(found - content) + 3, 0x01));
    free(content);
    *state = fixture;
    return 0;
}

static int close_damaged(void **state)
{
    struct fixture *fixture = *state;
    store_driver_done(&fixture->driver);
    event_store_close(fixture->store);
    memory_files_done(&fixture->disk);
    free(fixture);
    return 0;
}

static void test_facts_tell_of_damage_by_the_id_that_it_concerns(void **state)
{
    struct fixture *fixture = *state;
    const struct bytes ids[] = {BYTES_LITERAL("e1"), BYTES_LITERAL("e2"), BYTES_LITERAL("e3")};
    const struct facts_request request = {NULL, 0, ids, 3};
    struct facts facts = {0};
    assert_status_ok(fixture->store->ops->facts(fixture->store, &request, fixture->driver.arena, &facts));
    assert_int_equal(facts.earlier[0].count, 0);
    assert_non_null(facts.earlier[0].unreadable);
    assert_int_equal(facts.earlier[0].unreadable->reason, REASON_DAMAGED);
    assert_non_null(strstr(facts.earlier[0].unreadable->message, "position 1"));
    assert_int_equal(facts.earlier[1].count, 1);
    assert_null(facts.earlier[1].unreadable);
    assert_int_equal(facts.earlier[2].count, 0);
    assert_null(facts.earlier[2].unreadable);
}

static void test_a_damaged_record_refuses_its_repetition_and_lets_the_batch_pass(void **state)
{
    struct fixture *fixture = *state;
    const struct append_event events[] = {
        sample_event("e1", "a", "changed", "user"), sample_event("e2", "b", "changed", "user"),
        sample_event("e3", "a", "changed", "user")}; /* the damaged aggregate itself goes on */
    struct append appends[3];
    const struct append *list[3];
    for (size_t i = 0; i < 3; i++) {
        appends[i] = sample_append(&events[i], 1);
        list[i] = &appends[i];
    }
    struct decision decision = store_driver_decide(&fixture->driver, list, 3);
    assert_int_equal(decision.outcomes[0].kind, APPEND_REFUSED);
    assert_int_equal(decision.outcomes[0].status.reason, REASON_DAMAGED);
    assert_int_equal(decision.outcomes[1].kind, APPEND_REPLAYED);
    assert_int_equal(decision.outcomes[2].kind, APPEND_ACCEPTED);
    assert_int_equal(decision.outcomes[2].heads[0].version, 2);
    assert_status_ok(store_driver_commit(&fixture->driver, &decision));
    assert_status_ok(fixture->store->ops->health(fixture->store));
}

/* ---- behind the real writer ---- */

struct answers {
    pthread_mutex_t lock;
    pthread_cond_t came;
    size_t count;
};

struct request {
    struct append append;
    struct answers *answers;
    struct status status;
};

static void on_done(struct append *append, const struct append_outcome *outcome)
{
    struct request *request = (struct request *)append;
    pthread_mutex_lock(&request->answers->lock);
    request->status = outcome->status;
    request->answers->count++;
    pthread_cond_signal(&request->answers->came);
    pthread_mutex_unlock(&request->answers->lock);
}

static void test_a_condition_over_a_damaged_record_refuses_its_append_alone(void **state)
{
    struct fixture *fixture = *state;
    struct answers answers = {.lock = PTHREAD_MUTEX_INITIALIZER, .came = PTHREAD_COND_INITIALIZER};
    const struct bytes type = BYTES_LITERAL("never");
    const struct query_item item = {.types = {&type, 1}};
    const struct append_condition blind = {{&item, 1}, 0, 0};  /* must look at position 1 */
    const struct append_condition seeing = {{&item, 1}, 1, 1}; /* need not */
    const struct append_condition *const conditions[] = {NULL, &blind, &seeing};
    const struct append_event events[] = {sample_event("n1", "n", "changed", "user"),
                                          sample_event("n2", "n", "changed", "user"),
                                          sample_event("n3", "n", "changed", "user")};
    struct request requests[3];
    struct writer *writer = NULL;
    const struct writer_options options = {0};
    assert_status_ok(writer_start(fixture->store, &options, &system_clock, &system_entropy, &writer));
    for (size_t i = 0; i < 3; i++) {
        requests[i] = (struct request){.append = sample_append(&events[i], 1), .answers = &answers};
        requests[i].append.condition = conditions[i];
        requests[i].append.on_done = on_done;
        assert_status_ok(writer_submit(writer, &requests[i].append));
    }
    pthread_mutex_lock(&answers.lock);
    while (answers.count < 3)
        pthread_cond_wait(&answers.came, &answers.lock);
    pthread_mutex_unlock(&answers.lock);
    writer_stop(writer);
    assert_status_ok(requests[0].status);
    assert_int_equal(requests[1].status.reason, REASON_DAMAGED);
    assert_status_ok(requests[2].status);
    assert_int_equal(store_driver_head(&fixture->driver).position, 4);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, open_damaged, close_damaged)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_facts_tell_of_damage_by_the_id_that_it_concerns),
        TEST(test_a_damaged_record_refuses_its_repetition_and_lets_the_batch_pass),
        TEST(test_a_condition_over_a_damaged_record_refuses_its_append_alone),
    };
    return cmocka_run_group_tests_name("embedded_damaged_record", tests, NULL, NULL);
}
