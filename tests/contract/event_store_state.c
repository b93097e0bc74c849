/* What is kept beside the events, values, leases, checkpoints, obeys its rules, also after opening again. */
#include "contract/event_store_suite_internal.h"

#include "support/cmocka.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define MINUTE_MS 60000

/* ---- values ---- */

static void put_value(struct suite_fixture *fixture, const char *key, struct bytes value)
{
    assert_status_ok(fixture->store->ops->state_put(fixture->store, bytes_of_text(key), value));
}

static void assert_value(struct suite_fixture *fixture, const char *key, struct bytes expected)
{
    struct bytes value = BYTES_NONE;
    assert_status_ok(
        fixture->store->ops->state_get(fixture->store, bytes_of_text(key), fixture->driver.arena, &value));
    assert_true(bytes_equal(value, expected));
}

static void assert_no_value(struct suite_fixture *fixture, const char *key)
{
    struct bytes value = BYTES_LITERAL("untouched");
    assert_status(
        fixture->store->ops->state_get(fixture->store, bytes_of_text(key), fixture->driver.arena, &value),
        STATUS_NOT_FOUND);
    assert_true(bytes_equal(value, BYTES_LITERAL("untouched")));
}

static void test_a_value_is_put_replaced_got_and_removed(void **state)
{
    struct suite_fixture *fixture = *state;
    struct event_store *store = fixture->store;
    assert_no_value(fixture, "journal/a");
    put_value(fixture, "journal/a", BYTES_LITERAL("1"));
    put_value(fixture, "journal/b", BYTES_NONE);
    put_value(fixture, "journal/a", BYTES_LITERAL("2\0x"));
    assert_value(fixture, "journal/a", BYTES_LITERAL("2\0x"));
    assert_value(fixture, "journal/b", BYTES_NONE);
    assert_status_ok(store->ops->state_remove(store, BYTES_LITERAL("journal/a")));
    assert_no_value(fixture, "journal/a");
    assert_status_ok(store->ops->state_remove(store, BYTES_LITERAL("journal/a"))); /* again: no error */
    assert_value(fixture, "journal/b", BYTES_NONE);
}

static void test_a_bad_key_is_refused(void **state)
{
    struct suite_fixture *fixture = *state;
    struct event_store *store = fixture->store;
    static uint8_t long_key[STATE_KEY_MAX_BYTES + 1];
    memset(long_key, 'k', sizeof long_key);
    assert_status(store->ops->state_put(store, BYTES_NONE, BYTES_LITERAL("v")), STATUS_INVALID_ARGUMENT);
    assert_status(store->ops->state_put(store, bytes_of(long_key, sizeof long_key), BYTES_LITERAL("v")),
                  STATUS_INVALID_ARGUMENT);
    const struct bytes longest = bytes_of(long_key, STATE_KEY_MAX_BYTES);
    assert_status_ok(store->ops->state_put(store, longest, BYTES_LITERAL("v")));
    struct bytes value;
    assert_status_ok(store->ops->state_get(store, longest, fixture->driver.arena, &value));
    /* Only its size is looked at. */
    const struct bytes huge = bytes_of(long_key, (size_t)STATE_VALUE_MAX_BYTES + 1);
    const struct status status = store->ops->state_put(store, BYTES_LITERAL("huge"), huge);
    assert_int_equal(status.code, STATUS_INVALID_ARGUMENT);
    assert_non_null(strstr(status.message, "\"huge\""));
}

static bool swap_value(struct suite_fixture *fixture, const char *expected, const char *value)
{
    const struct bytes there = expected == NULL ? BYTES_NONE : bytes_of_text(expected);
    bool put = false;
    assert_status_ok(fixture->store->ops->state_swap(fixture->store, BYTES_LITERAL("journal"),
                                                     expected == NULL ? NULL : &there, bytes_of_text(value),
                                                     &put));
    return put;
}

static void test_a_value_is_swapped_by_who_knows_it(void **state)
{
    struct suite_fixture *fixture = *state;
    if (fixture->store->ops->state_swap == NULL) {
        assert_true(fixture->store->pipelined); /* nobody else is there to be first */
        return;
    }
    assert_false(swap_value(fixture, "", "1")); /* nothing is not an empty value */
    assert_true(swap_value(fixture, NULL, "1"));
    assert_false(swap_value(fixture, NULL, "2"));
    assert_value(fixture, "journal", BYTES_LITERAL("1"));
    assert_false(swap_value(fixture, "2", "3"));
    assert_true(swap_value(fixture, "1", "'"));
    assert_true(swap_value(fixture, "'", ""));
    assert_false(swap_value(fixture, NULL, "4"));
    assert_true(swap_value(fixture, "", "5"));
    assert_value(fixture, "journal", BYTES_LITERAL("5"));
    static uint8_t large[STATE_SWAP_MAX_BYTES + 1];
    bool put = true;
    assert_status(fixture->store->ops->state_swap(fixture->store, BYTES_LITERAL("journal"), NULL,
                                                  bytes_of(large, sizeof large), &put),
                  STATUS_INVALID_ARGUMENT);
}

struct listed {
    struct suite_fixture *fixture;
    char text[1024]; /* "key=value " of each */
    int left;        /* how many more are wanted */
};

static bool list_value(void *context, struct bytes key, struct bytes value)
{
    struct listed *listed = context;
    const size_t used = strlen(listed->text);
    (void)snprintf(listed->text + used, sizeof listed->text - used, "%.*s=%.*s ", BYTES_FORMAT(key),
                   BYTES_FORMAT(value));
    /* A sink may ask the store. */
    struct bytes again;
    assert_status_ok(listed->fixture->store->ops->state_get(listed->fixture->store, key,
                                                            listed->fixture->driver.arena, &again));
    return --listed->left > 0;
}

static void assert_list(struct suite_fixture *fixture, const char *prefix, const char *after, int most,
                        const char *expected)
{
    struct listed listed = {.fixture = fixture, .left = most};
    assert_status_ok(fixture->store->ops->state_list(fixture->store, bytes_of_text(prefix),
                                                     bytes_of_text(after), list_value, &listed));
    assert_string_equal(listed.text, expected);
}

static void test_values_are_listed_by_prefix_in_order(void **state)
{
    struct suite_fixture *fixture = *state;
    static const char *const keys[] = {"op/2", "op/10", "op/1", "oo", "op0", "op/", "op/1/x", "op/\xff"};
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        put_value(fixture, keys[i], bytes_of_text(keys[i] + 2));
    assert_list(fixture, "op/", "", 99, "op/=/ op/1=/1 op/1/x=/1/x op/10=/10 op/2=/2 op/\xff=/\xff ");
    assert_list(fixture, "op/", "", 2, "op/=/ op/1=/1 ");
    assert_list(fixture, "op/", "op/1", 2, "op/1/x=/1/x op/10=/10 "); /* continued */
    assert_list(fixture, "op/", "op/3", 99, "op/\xff=/\xff ");        /* after one that is not there */
    assert_list(fixture, "op/", "a", 1, "op/=/ ");                    /* after one before the prefix */
    assert_list(fixture, "op/", "op/\xff", 99, "");
    assert_list(fixture, "", "", 1, "oo= ");
    assert_list(fixture, "zz", "", 99, "");
    for (int i = 0; i < 300; i++) { /* more than any page */
        char key[16];
        (void)snprintf(key, sizeof key, "many/%03d", i);
        put_value(fixture, key, BYTES_NONE);
    }
    struct listed many = {.fixture = fixture, .left = 1000};
    char after[16] = "";
    for (int i = 0; i < 300; i++) {
        many.text[0] = '\0';
        many.left = 1;
        assert_status_ok(fixture->store->ops->state_list(fixture->store, BYTES_LITERAL("many/"),
                                                         bytes_of_text(after), list_value, &many));
        (void)snprintf(after, sizeof after, "many/%03d", i);
        assert_int_equal(strncmp(many.text, after, 8), 0);
    }
    many.left = 1000;
    assert_status_ok(fixture->store->ops->state_list(fixture->store, BYTES_LITERAL("many/"), BYTES_NONE,
                                                     list_value, &many));
    assert_int_equal(many.left, 700);
}

/* ---- leases ---- */

static struct status take(struct suite_fixture *fixture, const char *name, const char *holder, int64_t ttl_ms,
                          struct lease *ret)
{
    return fixture->store->ops->lease(fixture->store, bytes_of_text(name), bytes_of_text(holder), ttl_ms,
                                      ret);
}

static int64_t taken_epoch(struct suite_fixture *fixture, const char *name, const char *holder)
{
    struct lease lease = {0};
    assert_status_ok(take(fixture, name, holder, MINUTE_MS, &lease));
    return lease.epoch;
}

static void pass(struct suite_fixture *fixture, int64_t ms)
{
    fixture->kind->pass_time(fixture->kind->context, ms);
}

static void test_a_lease_has_one_holder_and_refuses_others_by_name(void **state)
{
    struct suite_fixture *fixture = *state;
    struct lease first = {0};
    assert_status_ok(take(fixture, "relay", "holder-a", MINUTE_MS, &first));
    assert_int_equal(first.epoch, 1);
    pass(fixture, 20);
    struct lease untouched = {.epoch = 77};
    const struct status refused = take(fixture, "relay", "holder-b", MINUTE_MS, &untouched);
    assert_int_equal(refused.code, STATUS_ABORTED);
    assert_int_equal(untouched.epoch, 77);
    assert_non_null(strstr(refused.message, "\"relay\""));
    assert_non_null(strstr(refused.message, "\"holder-a\""));
    char end[TIME_TEXT_BYTES];
    time_format(first.ends_at_us, end);
    assert_non_null(strstr(refused.message, end));
    assert_in_range(refused.retry_after_ms, 1, MINUTE_MS - 19);
    assert_int_equal(taken_epoch(fixture, "projection", "holder-b"), 1); /* another lease */

    struct lease renewed = {0};
    assert_status_ok(take(fixture, "relay", "holder-a", MINUTE_MS, &renewed));
    assert_int_equal(renewed.epoch, 1);
    assert_true(renewed.ends_at_us >= first.ends_at_us + 20000);
}

static void test_an_epoch_grows_with_each_taking(void **state)
{
    struct suite_fixture *fixture = *state;
    struct lease lease = {0};
    assert_status_ok(take(fixture, "relay", "a", 10, &lease));
    assert_int_equal(lease.epoch, 1);
    pass(fixture, 11);
    assert_status_ok(take(fixture, "relay", "b", 10, &lease));
    assert_int_equal(lease.epoch, 2);
    pass(fixture, 11);
    assert_status_ok(take(fixture, "relay", "b", MINUTE_MS, &lease)); /* his own, but it had ended */
    assert_int_equal(lease.epoch, 3);
    assert_int_equal(taken_epoch(fixture, "relay", "b"), 3);
}

static void test_a_released_lease_is_free_and_its_epoch_used(void **state)
{
    struct suite_fixture *fixture = *state;
    struct event_store *store = fixture->store;
    const struct bytes relay = BYTES_LITERAL("relay");
    assert_status_ok(store->ops->lease_release(store, relay, BYTES_LITERAL("a"), 1)); /* never taken */
    assert_int_equal(taken_epoch(fixture, "relay", "a"), 1);
    /* A stranger and a former self release nothing. */
    assert_status_ok(store->ops->lease_release(store, relay, BYTES_LITERAL("b"), 1));
    assert_status_ok(store->ops->lease_release(store, relay, BYTES_LITERAL("a"), 0));
    struct lease lease;
    assert_status(take(fixture, "relay", "b", MINUTE_MS, &lease), STATUS_ABORTED);
    assert_status_ok(store->ops->lease_release(store, relay, BYTES_LITERAL("a"), 1));
    assert_int_equal(taken_epoch(fixture, "relay", "a"), 2);
    assert_status_ok(store->ops->lease_release(store, relay, BYTES_LITERAL("a"), 1)); /* late */
    assert_status(take(fixture, "relay", "b", MINUTE_MS, &lease), STATUS_ABORTED);
    assert_status_ok(store->ops->lease_release(store, relay, BYTES_LITERAL("a"), 2));
    assert_int_equal(taken_epoch(fixture, "relay", "b"), 3);
}

static void test_a_forgotten_lease_was_never_there(void **state)
{
    struct suite_fixture *fixture = *state;
    const struct event_store_ops *ops = fixture->store->ops;
    const struct bytes name = BYTES_LITERAL("operation/1");
    if (ops->lease_forget == NULL) {
        assert_true(fixture->store->pipelined); /* whose process takes no lease for what it does alone */
        return;
    }
    assert_int_equal(taken_epoch(fixture, "operation/1", "a"), 1);
    assert_status_ok(ops->lease_release(fixture->store, name, BYTES_LITERAL("a"), 1));
    assert_int_equal(taken_epoch(fixture, "operation/1", "a"), 2);
    /* Who is not the holder, or no longer, forgets nothing. */
    assert_status_ok(ops->lease_forget(fixture->store, name, BYTES_LITERAL("b"), 2));
    assert_status_ok(ops->lease_forget(fixture->store, name, BYTES_LITERAL("a"), 1));
    assert_int_equal(taken_epoch(fixture, "operation/1", "a"), 2);
    assert_status_ok(ops->lease_forget(fixture->store, name, BYTES_LITERAL("a"), 2));
    assert_int_equal(taken_epoch(fixture, "operation/1", "b"), 1);
    assert_status_ok(ops->lease_forget(fixture->store, BYTES_LITERAL("never"), BYTES_LITERAL("a"), 1));
}

static void test_a_bad_lease_is_refused(void **state)
{
    struct suite_fixture *fixture = *state;
    struct lease lease;
    char long_name[LEASE_NAME_MAX_BYTES + 2];
    memset(long_name, 'n', sizeof long_name);
    long_name[sizeof long_name - 1] = '\0';
    assert_status(take(fixture, "", "a", 1, &lease), STATUS_INVALID_ARGUMENT);
    assert_status(take(fixture, "relay", "", 1, &lease), STATUS_INVALID_ARGUMENT);
    assert_status(take(fixture, long_name, "a", 1, &lease), STATUS_INVALID_ARGUMENT);
    assert_status(take(fixture, "relay", long_name, 1, &lease), STATUS_INVALID_ARGUMENT);
    assert_status(take(fixture, "relay", "a", 0, &lease), STATUS_INVALID_ARGUMENT);
    assert_status(take(fixture, "relay", "a", LEASE_TTL_MAX_MS + 1, &lease), STATUS_INVALID_ARGUMENT);
    long_name[LEASE_NAME_MAX_BYTES] = '\0';
    assert_status_ok(take(fixture, long_name, long_name, LEASE_TTL_MAX_MS, &lease));
    assert_int_equal(lease.epoch, 1); /* a refusal used none */
}

/* ---- checkpoints ---- */

static void append_events(struct suite_fixture *fixture, int count)
{
    static int number; /* event ids must differ */
    for (int i = 0; i < count; i++) {
        struct append_event event = numbered_event(&fixture->driver, number++, "a", "changed", "custom");
        const struct append append = sample_append(&event, 1);
        assert_int_equal(store_driver_append(&fixture->driver, &append).kind, APPEND_ACCEPTED);
    }
}

static struct status put_at(struct suite_fixture *fixture, const char *name, int64_t position, int64_t epoch)
{
    return fixture->store->ops->checkpoint_put(fixture->store, bytes_of_text(name), position, epoch);
}

static void assert_checkpoint(struct suite_fixture *fixture, const char *name, int64_t position,
                              int64_t epoch)
{
    struct checkpoint checkpoint = {0};
    assert_status_ok(fixture->store->ops->checkpoint_get(fixture->store, bytes_of_text(name), &checkpoint));
    assert_int_equal(checkpoint.position, position);
    assert_int_equal(checkpoint.epoch, epoch);
    assert_true(checkpoint.put_at_us > 0);
}

static void test_a_checkpoint_is_got_as_it_was_put(void **state)
{
    struct suite_fixture *fixture = *state;
    struct event_store *store = fixture->store;
    append_events(fixture, 5);
    struct checkpoint untouched = {.position = 77};
    assert_status(store->ops->checkpoint_get(store, BYTES_LITERAL("mail"), &untouched), STATUS_NOT_FOUND);
    assert_int_equal(untouched.position, 77);
    assert_status_ok(put_at(fixture, "mail", 0, 0));
    assert_checkpoint(fixture, "mail", 0, 0);
    assert_status_ok(put_at(fixture, "mail", 3, 0));
    assert_status_ok(put_at(fixture, "mail", 3, 0)); /* again, as after a lost answer */
    assert_status_ok(put_at(fixture, "other", 5, 9));
    assert_checkpoint(fixture, "mail", 3, 0);
    assert_checkpoint(fixture, "other", 5, 9);
}

static void test_a_checkpoint_only_rises_within_an_epoch(void **state)
{
    struct suite_fixture *fixture = *state;
    struct event_store *store = fixture->store;
    append_events(fixture, 5);
    assert_status_ok(put_at(fixture, "mail", 4, 1));
    const struct status lower = put_at(fixture, "mail", 2, 1);
    assert_int_equal(lower.code, STATUS_OUT_OF_RANGE);
    assert_non_null(strstr(lower.message, "\"mail\" is at position 4 and 2 was sent"));
    assert_checkpoint(fixture, "mail", 4, 1);
    assert_status_ok(put_at(fixture, "mail", 2, 2)); /* on purpose */
    assert_checkpoint(fixture, "mail", 2, 2);

    assert_status_ok(put_at(fixture, "free", 4, 0));
    assert_status(put_at(fixture, "free", 2, 0), STATUS_OUT_OF_RANGE);
    assert_status_ok(store->ops->checkpoint_remove(store, BYTES_LITERAL("free")));
    struct checkpoint none;
    assert_status(store->ops->checkpoint_get(store, BYTES_LITERAL("free"), &none), STATUS_NOT_FOUND);
    assert_status_ok(store->ops->checkpoint_remove(store, BYTES_LITERAL("free"))); /* again: no error */
    assert_status_ok(put_at(fixture, "free", 2, 0));
}

static void test_an_older_epoch_is_refused(void **state)
{
    struct suite_fixture *fixture = *state;
    append_events(fixture, 5);
    assert_status_ok(put_at(fixture, "mail", 1, 7));
    const struct status older = put_at(fixture, "mail", 2, 6);
    assert_int_equal(older.code, STATUS_FAILED_PRECONDITION);
    assert_non_null(strstr(older.message, "\"mail\" was put at epoch 7 and epoch 6 was sent"));
    assert_checkpoint(fixture, "mail", 1, 7);

    /* The lease of the same name fences too: as soon as it is taken over, before its new holder has put anything. */
    assert_int_equal(taken_epoch(fixture, "relay", "a"), 1);
    assert_status_ok(put_at(fixture, "relay", 3, 1));
    assert_status_ok(
        fixture->store->ops->lease_release(fixture->store, BYTES_LITERAL("relay"), BYTES_LITERAL("a"), 1));
    assert_status_ok(put_at(fixture, "relay", 4, 1)); /* nobody took over */
    assert_int_equal(taken_epoch(fixture, "relay", "b"), 2);
    const struct status fenced = put_at(fixture, "relay", 5, 1);
    assert_int_equal(fenced.code, STATUS_FAILED_PRECONDITION);
    assert_non_null(strstr(fenced.message, "its lease is at epoch 2"));
    assert_checkpoint(fixture, "relay", 4, 1);
    assert_status_ok(put_at(fixture, "relay", 5, 2));
    /* A checkpoint that was removed does not open the door to the former holder. */
    assert_status_ok(fixture->store->ops->checkpoint_remove(fixture->store, BYTES_LITERAL("relay")));
    assert_status(put_at(fixture, "relay", 1, 1), STATUS_FAILED_PRECONDITION);
}

static void test_a_checkpoint_beyond_the_head_is_refused(void **state)
{
    struct suite_fixture *fixture = *state;
    append_events(fixture, 2);
    const struct status beyond = put_at(fixture, "mail", 3, 0);
    assert_int_equal(beyond.code, STATUS_OUT_OF_RANGE);
    assert_non_null(strstr(beyond.message, "position 3 and the last event is at 2"));
    assert_status(put_at(fixture, "mail", -1, 0), STATUS_INVALID_ARGUMENT);
    assert_status(put_at(fixture, "mail", 1, -1), STATUS_INVALID_ARGUMENT);
    assert_status(put_at(fixture, "", 1, 0), STATUS_INVALID_ARGUMENT);
    append_events(fixture, 1);
    assert_status_ok(put_at(fixture, "mail", 3, 0));
}

static bool list_checkpoint(void *context, struct bytes name, const struct checkpoint *checkpoint)
{
    struct listed *listed = context;
    const size_t used = strlen(listed->text);
    (void)snprintf(listed->text + used, sizeof listed->text - used, "%.*s=%d@%d ", BYTES_FORMAT(name),
                   (int)checkpoint->position, (int)checkpoint->epoch);
    struct checkpoint again;
    assert_status_ok(listed->fixture->store->ops->checkpoint_get(listed->fixture->store, name, &again));
    return --listed->left > 0;
}

static void test_checkpoints_are_listed_by_name(void **state)
{
    struct suite_fixture *fixture = *state;
    append_events(fixture, 3);
    assert_status_ok(put_at(fixture, "b", 2, 0));
    assert_status_ok(put_at(fixture, "c", 3, 5));
    assert_status_ok(put_at(fixture, "a", 1, 1));
    struct listed all = {.fixture = fixture, .left = 99};
    assert_status_ok(fixture->store->ops->checkpoints(fixture->store, list_checkpoint, &all));
    assert_string_equal(all.text, "a=1@1 b=2@0 c=3@5 ");
    struct listed two = {.fixture = fixture, .left = 2};
    assert_status_ok(fixture->store->ops->checkpoints(fixture->store, list_checkpoint, &two));
    assert_string_equal(two.text, "a=1@1 b=2@0 ");
}

/* ---- all of it ---- */

static void test_state_outlives_a_restart(void **state)
{
    struct suite_fixture *fixture = *state;
    if (fixture->kind->reopen == NULL)
        skip();
    append_events(fixture, 3);
    put_value(fixture, "key", BYTES_LITERAL("value"));
    put_value(fixture, "gone", BYTES_LITERAL("value"));
    assert_status_ok(fixture->store->ops->state_remove(fixture->store, BYTES_LITERAL("gone")));
    assert_int_equal(taken_epoch(fixture, "relay", "a"), 1);
    struct lease brief;
    assert_status_ok(take(fixture, "brief", "a", 10, &brief));
    assert_status_ok(put_at(fixture, "relay", 2, 1));
    suite_reopen_store(fixture);
    assert_value(fixture, "key", BYTES_LITERAL("value"));
    assert_no_value(fixture, "gone");
    assert_checkpoint(fixture, "relay", 2, 1);
    struct lease lease;
    const struct status held = take(fixture, "relay", "b", MINUTE_MS, &lease);
    assert_int_equal(held.code, STATUS_ABORTED);
    assert_non_null(strstr(held.message, "\"a\""));
    assert_int_equal(taken_epoch(fixture, "relay", "a"), 1);
    pass(fixture, 11);
    assert_int_equal(taken_epoch(fixture, "brief", "b"), 2); /* not 1 again */
    assert_status(put_at(fixture, "relay", 1, 1), STATUS_OUT_OF_RANGE);
}

#define CONTENDERS       6
#define CONTENDER_ROUNDS 30

/* Each takes, puts under its epoch, and lets go; whoever gets an epoch is the only one who ever had it. */
struct contender {
    struct event_store *store;
    int number;
    _Atomic int *epochs_seen; /* by epoch: how often it was given */
    int taken;
    int wrong;
};

static void hold_once(struct contender *contender, const char *holder)
{
    struct event_store *store = contender->store;
    struct lease lease = {0};
    const struct status status =
        store->ops->lease(store, BYTES_LITERAL("shared"), bytes_of_text(holder), MINUTE_MS, &lease);
    if (status.code != STATUS_OK) {
        contender->wrong += status.code != STATUS_ABORTED;
        return;
    }
    contender->taken++;
    const bool sound = lease.epoch >= 1 && lease.epoch <= CONTENDERS * CONTENDER_ROUNDS;
    contender->wrong += !sound || atomic_fetch_add(&contender->epochs_seen[lease.epoch], 1) != 0;
    const struct status put =
        store->ops->checkpoint_put(store, BYTES_LITERAL("shared"), lease.epoch % 3, lease.epoch);
    contender->wrong += put.code != STATUS_OK;
    const struct status released =
        store->ops->lease_release(store, BYTES_LITERAL("shared"), bytes_of_text(holder), lease.epoch);
    contender->wrong += released.code != STATUS_OK;
}

static void *contend(void *context)
{
    struct contender *contender = context;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    char name[32];
    (void)snprintf(name, sizeof name, "contender-%d", contender->number);
    for (int i = 0; i < CONTENDER_ROUNDS && arena != NULL; i++) {
        hold_once(contender, name);
        /* What is put by many at a time must be there for each as soon as the call returns. */
        uint8_t number[8];
        put_u64_le(number, (uint64_t)i);
        struct bytes value = BYTES_NONE;
        const struct status put = contender->store->ops->state_put(contender->store, bytes_of_text(name),
                                                                   bytes_of(number, sizeof number));
        const struct status got =
            contender->store->ops->state_get(contender->store, bytes_of_text(name), arena, &value);
        contender->wrong += put.code != STATUS_OK || got.code != STATUS_OK ||
                            !bytes_equal(value, bytes_of(number, sizeof number));
    }
    return NULL;
}

static void test_many_at_a_time_agree_on_the_holder(void **state)
{
    struct suite_fixture *fixture = *state;
    append_events(fixture, 3);
    _Atomic int epochs_seen[CONTENDERS * CONTENDER_ROUNDS + 1] = {0};
    struct contender contenders[CONTENDERS];
    pthread_t threads[CONTENDERS];
    for (int i = 0; i < CONTENDERS; i++) {
        contenders[i] = (struct contender){.store = fixture->store, .number = i, .epochs_seen = epochs_seen};
        assert_int_equal(pthread_create(&threads[i], NULL, contend, &contenders[i]), 0);
    }
    int taken = 0;
    for (int i = 0; i < CONTENDERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(contenders[i].wrong, 0);
        taken += contenders[i].taken;
    }
    assert_true(taken > 0);
    assert_int_equal(taken_epoch(fixture, "shared", "last"), taken + 1);
}

int event_store_state_run(const struct event_store_kind *kind)
{
    void *initial = (void *)(uintptr_t)kind; /* cmocka hands it on and writes nothing to it */
    const struct CMUnitTest tests[] = {
        SUITE_TEST(test_a_value_is_put_replaced_got_and_removed),
        SUITE_TEST(test_a_bad_key_is_refused),
        SUITE_TEST(test_a_value_is_swapped_by_who_knows_it),
        SUITE_TEST(test_values_are_listed_by_prefix_in_order),
        SUITE_TEST(test_a_lease_has_one_holder_and_refuses_others_by_name),
        SUITE_TEST(test_an_epoch_grows_with_each_taking),
        SUITE_TEST(test_a_released_lease_is_free_and_its_epoch_used),
        SUITE_TEST(test_a_forgotten_lease_was_never_there),
        SUITE_TEST(test_a_bad_lease_is_refused),
        SUITE_TEST(test_a_checkpoint_is_got_as_it_was_put),
        SUITE_TEST(test_a_checkpoint_only_rises_within_an_epoch),
        SUITE_TEST(test_an_older_epoch_is_refused),
        SUITE_TEST(test_a_checkpoint_beyond_the_head_is_refused),
        SUITE_TEST(test_checkpoints_are_listed_by_name),
        SUITE_TEST(test_state_outlives_a_restart),
        SUITE_TEST(test_many_at_a_time_agree_on_the_holder),
    };
    return cmocka_run_group_tests_name(kind->name, tests, NULL, NULL);
}
