#include "rpc/status_details.h"

#include <google/rpc/error_details.pb-c.h>
#include <google/rpc/status.pb-c.h>
#include <stdio.h>
#include <string.h>

#include "support/cmocka.h"

static Google__Rpc__Status *encode(const struct status *status, struct buffer *packed)
{
    *packed = buffer_make(0);
    status_details_encode(status, STATUS_DETAILS_MAX_BYTES, packed);
    assert_status_ok(buffer_status(packed));
    Google__Rpc__Status *message = google__rpc__status__unpack(NULL, packed->size_bytes, packed->data);
    assert_non_null(message);
    return message;
}

static const Google__Protobuf__Any *find_detail(const Google__Rpc__Status *message, const char *url)
{
    for (size_t i = 0; i < message->n_details; i++)
        if (strcmp(message->details[i]->type_url, url) == 0)
            return message->details[i];
    return NULL;
}

static void test_a_conflict_names_both_versions(void **state)
{
    (void)state;
    struct status conflict = status_reason(REASON_VERSION_CONFLICT, "at 7, not 3");
    conflict.expected_version = 3;
    conflict.current_version = 7;
    struct buffer packed;
    Google__Rpc__Status *message = encode(&conflict, &packed);
    assert_int_equal(message->code, 10);
    assert_string_equal(message->message, "at 7, not 3");
    const Google__Protobuf__Any *any = find_detail(message, "type.googleapis.com/google.rpc.ErrorInfo");
    assert_non_null(any);
    Google__Rpc__ErrorInfo *info = google__rpc__error_info__unpack(NULL, any->value.len, any->value.data);
    assert_string_equal(info->reason, "VERSION_CONFLICT");
    assert_string_equal(info->domain, "strata");
    assert_int_equal(info->n_metadata, 2);
    assert_string_equal(info->metadata[0]->key, "expected_version");
    assert_string_equal(info->metadata[0]->value, "3");
    assert_string_equal(info->metadata[1]->value, "7");
    google__rpc__error_info__free_unpacked(info, NULL);
    google__rpc__status__free_unpacked(message, NULL);
    buffer_done(&packed);
}

static void test_a_limit_names_its_setting(void **state)
{
    (void)state;
    static const struct {
        enum status_reason reason;
        const char *subject;
    } limits[] = {
        {REASON_LIMIT_EVENTS, "max_events"},
        {REASON_LIMIT_AGGREGATES, "max_aggregates"},
        {REASON_LIMIT_AGGREGATE_EVENTS, "validation_rules.max_aggregate_events"},
        {REASON_RATE_LIMITED, "security.rate_limit_requests"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        const struct status status = status_reason(limits[i].reason, "full");
        struct buffer packed;
        Google__Rpc__Status *message = encode(&status, &packed);
        const Google__Protobuf__Any *any =
            find_detail(message, "type.googleapis.com/google.rpc.QuotaFailure");
        assert_non_null(any);
        Google__Rpc__QuotaFailure *failure =
            google__rpc__quota_failure__unpack(NULL, any->value.len, any->value.data);
        assert_string_equal(failure->violations[0]->subject, limits[i].subject);
        google__rpc__quota_failure__free_unpacked(failure, NULL);
        google__rpc__status__free_unpacked(message, NULL);
        buffer_done(&packed);
    }
}

/* What one edge packs, a client of another process reads. */
static void test_encoding_and_decoding_agree(void **state)
{
    (void)state;
    static const struct field_fault items[] = {{"events[0].id", "is empty"},
                                               {"events[1].type", "holds a \xc3\xbc"}};
    static const struct field_faults faults = {items, 2};
    struct status sent = status_reason(REASON_QUEUE_FULL, "the queue is full; retry");
    sent.retry_after_ms = 1250;
    sent.current_version = 0;
    sent.aggregate_id = "acct-1 and more";
    sent.aggregate_id_bytes = 6;
    sent.position = INT64_MAX;
    sent.faults = &faults;
    struct buffer packed = buffer_make(0);
    status_details_encode(&sent, STATUS_DETAILS_MAX_BYTES, &packed);
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct status got = status_ok();
    assert_status_ok(status_details_decode(buffer_bytes(&packed), arena, &got));
    assert_int_equal(got.code, STATUS_UNAVAILABLE);
    assert_int_equal(got.reason, REASON_QUEUE_FULL);
    assert_int_equal(got.retry_after_ms, 1250);
    assert_int_equal(got.expected_version, STATUS_VERSION_NONE);
    assert_int_equal(got.current_version, 0);
    assert_true(bytes_equal(bytes_of(got.aggregate_id, got.aggregate_id_bytes), BYTES_LITERAL("acct-1")));
    assert_true(got.position == INT64_MAX);
    assert_string_equal(got.message, sent.message);
    assert_int_equal(got.faults->count, 2);
    assert_string_equal(got.faults->items[1].field, "events[1].type");
    assert_string_equal(got.faults->items[1].message, items[1].message);
    buffer_done(&packed);
}

/* The details are one header of the answer: a thousand faults must not make the client refuse it. */
static void test_many_faults_are_counted_not_listed(void **state)
{
    (void)state;
    static struct field_fault items[1000];
    static char names[1000][600];
    for (size_t i = 0; i < ARRAY_SIZE(items); i++) {
        memset(names[i], 'n', sizeof names[i] - 1);
        items[i] = (struct field_fault){i == 0 ? "first" : names[i], "wrong"};
    }
    const struct field_faults faults = {items, ARRAY_SIZE(items)};
    struct status status = status_reason(REASON_INVALID_FIELD, "1000 faults");
    status.faults = &faults;
    struct buffer packed = buffer_make(0);
    status_details_encode(&status, STATUS_DETAILS_MAX_BYTES, &packed);
    assert_in_range(packed.size_bytes, 500, STATUS_DETAILS_MAX_BYTES + STATUS_MESSAGE_MAX_BYTES + 256);
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct status got = status_ok();
    assert_status_ok(status_details_decode(buffer_bytes(&packed), arena, &got));
    assert_true(got.faults->count > 2);
    assert_string_equal(got.faults->items[0].field, "first");
    char rest[64];
    (void)snprintf(rest, sizeof rest, "and %zu more faults, too many to list",
                   1000 - (got.faults->count - 1));
    assert_string_equal(got.faults->items[got.faults->count - 1].message, rest);
    buffer_done(&packed);
}

static void test_foreign_details_are_passed_over(void **state)
{
    (void)state;
    /* code 5, message "gone", one detail of an unknown type, one ErrorInfo of another domain */
    static const uint8_t packed[] = "\x08\x05\x12\x04gone\x1a\x0c\x0a\x06x.io/y\x12\x02\xff\xff"
                                    "\x1a\x36\x0a\x28type.googleapis.com/google.rpc.ErrorInfo\x12\x0a\x0a\x03"
                                    "ODD\x12\x03odd";
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct status got = status_ok();
    assert_status_ok(status_details_decode(bytes_of(packed, sizeof packed - 1), arena, &got));
    assert_int_equal(got.code, STATUS_NOT_FOUND);
    assert_int_equal(got.reason, STATUS_REASON_NONE);
    assert_string_equal(got.message, "gone");
}

static void test_damaged_details_are_data_loss(void **state)
{
    (void)state;
    static const struct bytes cases[] = {
        {NULL, 0},
        {(const uint8_t *)"\x08", 1},
        {(const uint8_t *)"\x08\x63", 2}, /* code 99 */
        {(const uint8_t *)"\x08\x05\x1a\x7f", 4},
    };
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct status got = status_ok();
        assert_status(status_details_decode(cases[i], arena, &got), STATUS_DATA_LOSS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_conflict_names_both_versions),
        cmocka_unit_test(test_a_limit_names_its_setting),
        cmocka_unit_test(test_encoding_and_decoding_agree),
        cmocka_unit_test(test_many_faults_are_counted_not_listed),
        cmocka_unit_test(test_foreign_details_are_passed_over),
        cmocka_unit_test(test_damaged_details_are_data_loss),
    };
    return cmocka_run_group_tests_name("status_details", tests, NULL, NULL);
}
