/* What may follow what: every rule of docs/domain.md that refuses an event. */
#include "unit/domain/history.h"

#include <string.h>

/* One sequence: events that are accepted one after the other, then one that is refused. */
struct row {
    const char *why;
    const char *accepted[6][2];
    const char *refused[2];
    const char *message; /* NULL: the last one is accepted as well */
};

static void check_rows(const char *aggregate_type, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct history history = history_begin(aggregate_type);
        for (size_t k = 0; k < 6 && rows[i].accepted[k][0] != NULL; k++) {
            const struct status status =
                history_send(&history, rows[i].accepted[k][0], rows[i].accepted[k][1]);
            if (!status_is_ok(&status))
                fail_msg("%s: event %zu: %s", rows[i].why, k, status.message);
        }
        const struct status status = history_check(&history, rows[i].refused[0], rows[i].refused[1]);
        if (rows[i].message == NULL && !status_is_ok(&status))
            fail_msg("%s: %s", rows[i].why, status.message);
        if (rows[i].message != NULL) {
            assert_refused(status, REASON_TRANSITION_REFUSED, rows[i].message);
            assert_int_equal(status.code, STATUS_FAILED_PRECONDITION);
        }
        history_end(&history);
    }
}

#define JOHN "{\"email\":\"john@example.com\",\"role\":\"user\"}"
#define USER "{\"user_id\":\"u\",\"email\":\"john@example.com\"}"

static void test_users(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"the documented flow: created with a state, then user_created",
         {{TYPE_AGGREGATE_CREATED, JOHN}},
         {"user_created", USER},
         NULL},
        {"the initial state may hold the user's id",
         {{TYPE_AGGREGATE_CREATED, USER}},
         {"user_created", USER},
         NULL},
        {"metadata in between is no creation",
         {{TYPE_AGGREGATE_CREATED, JOHN}, {TYPE_METADATA_CHANGED, "{\"a\":1}"}},
         {"user_created", USER},
         NULL},
        {"an unknown id is created by its first event", {{0}}, {"user_created", USER}, NULL},
        {"a user is created once",
         {{"user_created", USER}},
         {"user_created", USER},
         "user \"x-1\" was created already and is at version 1; send user_updated to change it"},
        {"… also later",
         {{TYPE_AGGREGATE_CREATED, JOHN}, {"user_created", USER}, {"user_updated", "{\"email\":\"x\"}"}},
         {"user_created", USER},
         "user \"x-1\" was created already and is at version 2; send user_updated to change it"},
        {"updates may be the first thing that the store hears of a user",
         {{0}},
         {"user_updated", "{}"},
         NULL},
        {"deletion too", {{0}}, {"user_deleted", "{}"}, NULL},
        {"a deleted user is not updated",
         {{"user_created", USER}, {"user_deleted", "{}"}},
         {"user_updated", "{\"email\":\"x\"}"},
         "user \"x-1\" is deleted and cannot be updated; only custom events may follow"},
        {"… nor created again",
         {{"user_created", USER}, {"user_deleted", "{}"}},
         {"user_created", USER},
         "user \"x-1\" is deleted and cannot be created again; only custom events may follow"},
        {"… nor deleted again",
         {{"user_created", USER}, {"user_deleted", "{}"}},
         {"user_deleted", "{}"},
         "user \"x-1\" is deleted and cannot be deleted again; only custom events may follow"},
        {"… nor brought back by a whole new state",
         {{"user_created", USER}, {"user_deleted", "{}"}},
         {TYPE_STATE_REPLACED, JOHN},
         "user \"x-1\" is deleted and stays so; keep \"status\":\"deleted\" in the new state"},
        {"… also not by a null",
         {{"user_created", USER}, {"user_deleted", "{}"}},
         {TYPE_STATE_REPLACED, "{\"status\":null}"},
         "user \"x-1\" is deleted and stays so; keep \"status\":\"deleted\" in the new state"},
        {"… but its data may be taken away",
         {{"user_created", USER}, {"user_deleted", "{}"}},
         {TYPE_STATE_REPLACED, "{\"status\":\"deleted\"}"},
         NULL},
        {"custom events follow a deletion", {{"user_deleted", "{}"}}, {"custom", "{}"}, NULL},
        {"metadata follows a deletion", {{"user_deleted", "{}"}}, {TYPE_METADATA_CHANGED, "{}"}, NULL},
        {"the status decides, however it came there",
         {{TYPE_AGGREGATE_CREATED, "{\"status\":\"d\\u0065leted\"}"}},
         {"user_updated", "{}"},
         "user \"x-1\" is deleted and cannot be updated; only custom events may follow"},
        {"any other status is the application's own",
         {{TYPE_AGGREGATE_CREATED, "{\"status\":\"suspended\"}"}, {TYPE_STATE_REPLACED, "{\"status\":7}"}},
         {"user_updated", "{}"},
         NULL},
        {"an inactive user takes events: being active is for lists, not a rule",
         {{"user_created", USER}, {TYPE_DEACTIVATED, "{}"}},
         {"user_updated", "{}"},
         NULL},
        {"a whole new state may leave out everything",
         {{"user_created", USER}},
         {TYPE_STATE_REPLACED, "{}"},
         NULL},
    };
    check_rows("user", rows, ARRAY_SIZE(rows));
}

#define ORDER          "{\"order_id\":\"o\"}"
#define TO(status)     "{\"new_status\":\"" status "\"}"
#define ORDER_STATUSES "pending, confirmed, paid, shipped, delivered, cancelled or refunded"

static void test_orders(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"created with a state, then order_created",
         {{TYPE_AGGREGATE_CREATED, "{\"order_id\":\"o\",\"status\":\"pending\"}"}},
         {"order_created", "{\"order_id\":\"o\",\"status\":\"pending\"}"},
         NULL},
        {"order_created without a status keeps the one there is",
         {{TYPE_AGGREGATE_CREATED, "{\"status\":\"paid\"}"}},
         {"order_created", ORDER},
         NULL},
        {"order_created may move the initial state's status",
         {{TYPE_AGGREGATE_CREATED, "{\"status\":\"pending\"}"}},
         {"order_created", "{\"order_id\":\"o\",\"status\":\"confirmed\"}"},
         NULL},
        {"… as far as the table allows",
         {{TYPE_AGGREGATE_CREATED, "{\"status\":\"paid\"}"}},
         {"order_created", "{\"order_id\":\"o\",\"status\":\"pending\"}"},
         "order \"x-1\" is paid and cannot become pending; from paid it may become shipped or refunded"},
        {"an order from elsewhere may begin anywhere",
         {{0}},
         {"order_created", "{\"order_id\":\"o\",\"status\":\"delivered\"}"},
         NULL},
        {"but not with a status that is none",
         {{0}},
         {"order_created", "{\"order_id\":\"o\",\"status\":\"lost\"}"},
         "status is \"lost\", which is no status of order aggregates; choose " ORDER_STATUSES},
        {"an order is created once",
         {{"order_created", ORDER}},
         {"order_created", ORDER},
         "order \"x-1\" was created already and is at version 1; send order_status_changed to move it"},
        {"a status change needs an order",
         {{0}},
         {"order_status_changed", TO("confirmed")},
         "order \"x-1\" does not exist, so it has no status to change; send order_created first"},
        {"an order without a status counts as pending",
         {{TYPE_AGGREGATE_CREATED, "{}"}},
         {"order_status_changed", "{\"old_status\":\"pending\",\"new_status\":\"confirmed\"}"},
         NULL},
        {"… and makes no leap",
         {{TYPE_AGGREGATE_CREATED, "{}"}},
         {"order_status_changed", TO("shipped")},
         "order \"x-1\" is pending and cannot become shipped; from pending it may become confirmed or "
         "cancelled"},
        {"old_status must be the current one",
         {{"order_created", ORDER}, {"order_status_changed", TO("confirmed")}},
         {"order_status_changed", "{\"old_status\":\"pending\",\"new_status\":\"paid\"}"},
         "order \"x-1\" is confirmed and old_status is \"pending\"; read the order again, or leave "
         "old_status out"},
        {"a null old_status is absent",
         {{"order_created", ORDER}},
         {"order_status_changed", "{\"old_status\":null,\"new_status\":\"confirmed\"}"},
         NULL},
        {"an old_status that is no string fits nothing",
         {{"order_created", ORDER}},
         {"order_status_changed", "{\"old_status\":{},\"new_status\":\"confirmed\"}"},
         "order \"x-1\" is pending and old_status is an object; read the order again, or leave old_status "
         "out"},
        {"escapes make no difference",
         {{"order_created", ORDER}},
         {"order_status_changed", "{\"old_status\":\"p\\u0065nding\",\"new_status\":\"c\\u006fnfirmed\"}"},
         NULL},
        {"the same status is no change",
         {{"order_created", ORDER}},
         {"order_status_changed", TO("pending")},
         "order \"x-1\" is pending already; from pending it may become confirmed or cancelled"},
        {"a final status has no way out",
         {{"order_created", ORDER}, {"order_status_changed", TO("cancelled")}},
         {"order_status_changed", TO("pending")},
         "order \"x-1\" is cancelled and cannot become pending; cancelled is final"},
        {"… not even to itself",
         {{"order_created", ORDER}, {"order_status_changed", TO("cancelled")}},
         {"order_status_changed", TO("cancelled")},
         "order \"x-1\" is cancelled already; cancelled is final"},
        {"a new status that is none",
         {{"order_created", ORDER}},
         {"order_status_changed", TO("lost in the post, somewhere between here and thére, alas")},
         "new_status is \"lost in the post, somewhere between here and th…, which is no status of order "
         "aggregates; choose " ORDER_STATUSES},
        {"no new status at all",
         {{"order_created", ORDER}},
         {"order_status_changed", "{}"},
         "order \"x-1\": new_status is missing; choose " ORDER_STATUSES},
        {"data that cannot be read says nothing",
         {{"order_created", ORDER}},
         {"order_status_changed", "no JSON"},
         "order \"x-1\": new_status is missing; choose " ORDER_STATUSES},
        {"an initial status that is none",
         {{0}},
         {TYPE_AGGREGATE_CREATED, "{\"status\":1}"},
         "status is 1, which is no status of order aggregates; choose " ORDER_STATUSES},
        {"an initial state without one", {{0}}, {TYPE_AGGREGATE_CREATED, "{\"status\":null}"}, NULL},
        {"a new state may keep the status",
         {{"order_created", ORDER}},
         {TYPE_STATE_REPLACED, "{\"status\":\"pending\"}"},
         NULL},
        {"… or move it",
         {{"order_created", ORDER}},
         {TYPE_STATE_REPLACED, "{\"status\":\"confirmed\"}"},
         NULL},
        {"… but not leap",
         {{"order_created", ORDER}},
         {TYPE_STATE_REPLACED, "{\"status\":\"delivered\"}"},
         "order \"x-1\" is pending and cannot become delivered; from pending it may become confirmed or "
         "cancelled"},
        {"… nor forget it",
         {{"order_created", ORDER}},
         {TYPE_STATE_REPLACED, "{\"status\":null,\"order_id\":\"o\"}"},
         "order \"x-1\" is pending and the new state has no status; keep \"status\":\"pending\" in it"},
        {"a state without a status may be given any",
         {{TYPE_AGGREGATE_CREATED, "{}"}},
         {TYPE_STATE_REPLACED, "{\"status\":\"shipped\"}"},
         NULL},
        {"custom events follow everything",
         {{"order_created", ORDER}, {"order_status_changed", TO("cancelled")}},
         {"custom", "{\"status\":\"paid\"}"},
         NULL},
    };
    check_rows("order", rows, ARRAY_SIZE(rows));
}

/* Only a store that was written to without checks holds such a status; it must not lock the order for ever. */
static void test_a_status_of_unchecked_times_may_become_any(void **state)
{
    (void)state;
    struct history history = history_begin("order");
    history_store(&history, "order_created", "{\"order_id\":\"o\",\"status\":\"processing\"}");
    assert_status_ok(history_check(&history, "order_status_changed",
                                   "{\"old_status\":\"processing\",\"new_status\":\"shipped\"}"));
    assert_refused(history_check(&history, "order_status_changed",
                                 "{\"old_status\":\"pending\",\"new_status\":\"shipped\"}"),
                   REASON_TRANSITION_REFUSED,
                   "order \"x-1\" is \"processing\" and old_status is \"pending\"; read the order again, or "
                   "leave old_status out");
    assert_status_ok(history_check(&history, TYPE_STATE_REPLACED, "{}"));
    history_store(&history, TYPE_STATE_REPLACED, "{\"status\":[1]}");
    assert_refused(
        history_check(&history, "order_status_changed",
                      "{\"old_status\":\"pending\",\"new_status\":\"shipped\"}"),
        REASON_TRANSITION_REFUSED,
        "order \"x-1\" is [1] and old_status is \"pending\"; read the order again, or leave old_status out");
    history_end(&history);
}

#define PAYMENT(status)  "{\"payment_id\":\"p\",\"status\":\"" status "\"}"
#define PAYMENT_STATUSES "pending, authorized, completed, failed or refunded"

static void test_payments(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"the first event may report any status", {{0}}, {"payment_processed", PAYMENT("completed")}, NULL},
        {"… or none", {{0}}, {"payment_processed", "{\"payment_id\":\"p\"}"}, NULL},
        {"a payment without a status takes any",
         {{"payment_processed", "{\"payment_id\":\"p\"}"}},
         {"payment_processed", PAYMENT("refunded")},
         NULL},
        {"an open payment may be reported again",
         {{"payment_processed", PAYMENT("pending")},
          {"payment_processed", PAYMENT("pending")},
          {"payment_processed", PAYMENT("authorized")},
          {"payment_processed", PAYMENT("authorized")}},
         {"payment_processed", "{\"payment_id\":\"p\",\"processor\":\"x\"}"},
         NULL},
        {"no payment completes twice",
         {{"payment_processed", PAYMENT("authorized")}, {"payment_processed", PAYMENT("completed")}},
         {"payment_processed", PAYMENT("completed")},
         "payment \"x-1\" is completed already; from completed it may become refunded"},
        {"… and nothing of a completed one changes silently",
         {{"payment_processed", PAYMENT("completed")}},
         {"payment_processed", "{\"payment_id\":\"p\",\"amount\":1}"},
         "payment \"x-1\" is completed already; from completed it may become refunded"},
        {"a failed payment is over",
         {{"payment_processed", PAYMENT("failed")}},
         {"payment_processed", PAYMENT("completed")},
         "payment \"x-1\" is failed and cannot become completed; failed is final"},
        {"an authorized one does not become pending",
         {{"payment_processed", PAYMENT("authorized")}},
         {"payment_processed", PAYMENT("pending")},
         "payment \"x-1\" is authorized and cannot become pending; from authorized it may become completed "
         "or failed"},
        {"nothing is refunded that was not completed",
         {{"payment_processed", PAYMENT("pending")}},
         {"payment_processed", PAYMENT("refunded")},
         "payment \"x-1\" is pending and cannot become refunded; from pending it may become authorized, "
         "completed or failed"},
        {"a status that is none",
         {{"payment_processed", PAYMENT("pending")}},
         {"payment_processed", PAYMENT("paid")},
         "status is \"paid\", which is no status of payment aggregates; choose " PAYMENT_STATUSES},
        {"an initial status that is none",
         {{0}},
         {TYPE_AGGREGATE_CREATED, "{\"status\":{}}"},
         "status is an object, which is no status of payment aggregates; choose " PAYMENT_STATUSES},
        {"a new state keeps a final status",
         {{"payment_processed", PAYMENT("failed")}},
         {TYPE_STATE_REPLACED, "{\"payment_id\":\"p\",\"status\":\"failed\",\"note\":\"x\"}"},
         NULL},
        {"… and does not undo it",
         {{"payment_processed", PAYMENT("failed")}},
         {TYPE_STATE_REPLACED, PAYMENT("pending")},
         "payment \"x-1\" is failed and cannot become pending; failed is final"},
        {"… nor forget it",
         {{"payment_processed", PAYMENT("failed")}},
         {TYPE_STATE_REPLACED, "{}"},
         "payment \"x-1\" is failed and the new state has no status; keep \"status\":\"failed\" in it"},
    };
    check_rows("payment", rows, ARRAY_SIZE(rows));
}

/* The tables of docs/domain.md, cell by cell: 1 = allowed. */
static const char *const order_statuses[] = {"pending",   "confirmed", "paid",    "shipped",
                                             "delivered", "cancelled", "refunded"};
static const char *const order_moves[] = {"0100010", "0010010", "0001001", "0000101",
                                          "0000001", "0000000", "0000000"};
static const char *const payment_statuses[] = {"pending", "authorized", "completed", "failed", "refunded"};
static const char *const payment_moves[] = {"11110", "01110", "00001", "00000", "00000"};

static void check_table(const char *aggregate_type, const char *type, const char *member,
                        const char *const *statuses, const char *const *moves, size_t count)
{
    for (size_t from = 0; from < count; from++)
        for (size_t to = 0; to < count; to++) {
            struct history history = history_begin(aggregate_type);
            history_store(&history, TYPE_AGGREGATE_CREATED,
                          arena_printf(history.arena, "{\"status\":\"%s\"}", statuses[from]));
            const struct status status = history_check(
                &history, type, arena_printf(history.arena, "{\"%s\":\"%s\"}", member, statuses[to]));
            if (status_is_ok(&status) != (moves[from][to] == '1'))
                fail_msg("%s: from %s to %s: %s", aggregate_type, statuses[from], statuses[to],
                         status.message);
            history_end(&history);
        }
}

static void test_every_move_is_allowed_or_refused_as_the_tables_say(void **state)
{
    (void)state;
    check_table("order", "order_status_changed", "new_status", order_statuses, order_moves,
                ARRAY_SIZE(order_statuses));
    check_table("payment", "payment_processed", "status", payment_statuses, payment_moves,
                ARRAY_SIZE(payment_statuses));
}

static void test_other_aggregates_refuse_nothing(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"custom events",
         {{"custom", "{\"status\":\"cancelled\"}"}},
         {"custom", "{\"status\":\"pending\"}"},
         NULL},
        {"a new state", {{"custom", "{\"status\":\"deleted\"}"}}, {TYPE_STATE_REPLACED, "{}"}, NULL},
        {"an event of another kind of aggregate is custom",
         {{"user_deleted", "{}"}, {"user_deleted", "{}"}},
         {"user_created", "{}"},
         NULL},
    };
    check_rows("custom", rows, ARRAY_SIZE(rows));
    check_rows("ledger", rows, ARRAY_SIZE(rows));
}

static void test_checks_are_off_when_validation_is(void **state)
{
    (void)state;
    struct history history = history_begin("user");
    history_store(&history, "user_deleted", "{}");
    CLEANUP(domain_free_at) struct domain *unchecked = NULL;
    assert_status_ok(domain_new(&(struct domain_options){.validation_enabled = false}, &unchecked));
    const struct event_fields event = history_next(&history, "user_updated", "{}");
    assert_reason(domain_check(history.domain, history.fold, &event), REASON_TRANSITION_REFUSED);
    assert_status_ok(domain_check(unchecked, history.fold, &event));
    history_end(&history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_users),
        cmocka_unit_test(test_orders),
        cmocka_unit_test(test_a_status_of_unchecked_times_may_become_any),
        cmocka_unit_test(test_payments),
        cmocka_unit_test(test_every_move_is_allowed_or_refused_as_the_tables_say),
        cmocka_unit_test(test_other_aggregates_refuse_nothing),
        cmocka_unit_test(test_checks_are_off_when_validation_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
