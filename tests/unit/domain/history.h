/* An aggregate's history in a test: events are sent (checked, then folded) or stored as they are. */
#pragma once

#include "support/cmocka.h"

#include "base/arena.h"
#include "domain/domain.h"

struct history {
    struct domain *domain;
    struct arena *arena;
    struct fold *fold;
    const char *aggregate_type;
    int32_t version; /* -1 = no event yet */
};

/* The built-in types, validated. */
struct domain *default_domain(void);

/* The aggregate is called "x-1". */
struct history history_begin(const char *aggregate_type);
void history_end(struct history *history);

/* The event that would come next: position 10 × version + 1, timestamp 1000 × version. */
struct event_fields history_next(const struct history *history, const char *type, const char *data);

/* Folds without a check. */
void history_store(struct history *history, const char *type, const char *data);
void history_store_event(struct history *history, const struct event_fields *event);
struct status history_check(const struct history *history, const char *type, const char *data);
/* Folds when the check allows it. */
struct status history_send(struct history *history, const char *type, const char *data);

struct aggregate_state history_result(const struct history *history);
void history_expect_state(const char *file, int line, const struct history *history, const char *state);
#define assert_state(history, state) history_expect_state(__FILE__, __LINE__, history, state)

void expect_refusal(const char *file, int line, struct status status, enum status_reason reason,
                    const char *message);
#define assert_refused(status, reason, message) expect_refusal(__FILE__, __LINE__, status, reason, message)
