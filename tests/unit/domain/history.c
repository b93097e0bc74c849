#include "unit/domain/history.h"

#include <string.h>

struct domain *default_domain(void)
{
    struct domain *domain = NULL;
    assert_status_ok(domain_new(&(struct domain_options){.validation_enabled = true}, &domain));
    return domain;
}

struct history history_begin(const char *aggregate_type)
{
    struct history history = {
        .domain = default_domain(),
        .arena = arena_new(0),
        .aggregate_type = aggregate_type,
        .version = -1,
    };
    history.fold = fold_new(history.domain, history.arena, NULL);
    assert_non_null(history.fold);
    return history;
}

void history_end(struct history *history)
{
    arena_free(history->arena);
    domain_free(history->domain);
}

struct event_fields history_next(const struct history *history, const char *type, const char *data)
{
    const bool creation = history->version < 0 && strcmp(type, TYPE_AGGREGATE_CREATED) == 0;
    const int32_t version = creation ? 0 : history->version < 0 ? 1 : history->version + 1;
    return (struct event_fields){
        .type = bytes_of_text(type),
        .aggregate_id = BYTES_LITERAL("x-1"),
        .aggregate_type = bytes_of_text(history->aggregate_type),
        .version = version,
        .position = 10 * (int64_t)version + 1,
        .timestamp_us = 1000 * (int64_t)version,
        .data = bytes_of_text(data),
    };
}

void history_store_event(struct history *history, const struct event_fields *event)
{
    assert_status_ok(fold_apply(history->fold, event));
    history->version = event->version;
}

void history_store(struct history *history, const char *type, const char *data)
{
    const struct event_fields event = history_next(history, type, data);
    history_store_event(history, &event);
}

struct status history_check(const struct history *history, const char *type, const char *data)
{
    const struct event_fields event = history_next(history, type, data);
    return domain_check(history->domain, history->fold, &event);
}

struct status history_send(struct history *history, const char *type, const char *data)
{
    const struct status status = history_check(history, type, data);
    if (status_is_ok(&status))
        history_store(history, type, data);
    return status;
}

struct aggregate_state history_result(const struct history *history)
{
    struct aggregate_state state;
    assert_status_ok(fold_result(history->fold, &state));
    return state;
}

void history_expect_state(const char *file, int line, const struct history *history, const char *state)
{
    const struct bytes found = history_result(history).state;
    if (!bytes_equal(found, bytes_of_text(state)))
        fail_msg("%s:%d: the state is %.*s, wanted %s", file, line, BYTES_FORMAT(found), state);
}

void expect_refusal(const char *file, int line, struct status status, enum status_reason reason,
                    const char *message)
{
    if (status.reason != reason || strcmp(status.message, message) != 0)
        fail_msg("%s:%d: got %s \"%s\", wanted %s \"%s\"", file, line, status_reason_name(status.reason),
                 status.message, status_reason_name(reason), message);
}
