/* What the files of the domain share: kinds, a fold's inside, and how a kind of aggregate checks and folds. */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "domain/domain.h"
#include "domain/tree_internal.h"
#include "domain/view_internal.h"

/* Identifier, aggregate type, and how the types of its events begin. Every other type is a custom one. */
#define AGGREGATE_KIND_TABLE(X)                                                                              \
    X(USER, "user", "user_")                                                                                 \
    X(ORDER, "order", "order_")                                                                              \
    X(PAYMENT, "payment", "payment_")

enum aggregate_kind {
    AGGREGATE_CUSTOM,
#define X(id, type, prefix) AGGREGATE_##id,
    AGGREGATE_KIND_TABLE(X)
#undef X
        AGGREGATE_KIND_COUNT
};

/* Identifier, event type, the kind of aggregate whose state it changes. */
#define EVENT_KIND_TABLE(X)                                                                                  \
    X(USER_CREATED, "user_created", USER)                                                                    \
    X(USER_UPDATED, "user_updated", USER)                                                                    \
    X(USER_DELETED, "user_deleted", USER)                                                                    \
    X(ORDER_CREATED, "order_created", ORDER)                                                                 \
    X(ORDER_STATUS_CHANGED, "order_status_changed", ORDER)                                                   \
    X(PAYMENT_PROCESSED, "payment_processed", PAYMENT)

#define SYSTEM_EVENT_TABLE(X)                                                                                \
    X(AGGREGATE_CREATED, TYPE_AGGREGATE_CREATED)                                                             \
    X(STATE_REPLACED, TYPE_STATE_REPLACED)                                                                   \
    X(METADATA_CHANGED, TYPE_METADATA_CHANGED)                                                               \
    X(ACTIVATED, TYPE_ACTIVATED)                                                                             \
    X(DEACTIVATED, TYPE_DEACTIVATED)

enum event_kind {
    EVENT_CUSTOM,
    EVENT_SYSTEM_OTHER, /* begins with '$' and says nothing about the aggregate's state */
#define X(id, type) EVENT_##id,
    SYSTEM_EVENT_TABLE(X)
#undef X
#define X(id, type, aggregate) EVENT_##id,
        EVENT_KIND_TABLE(X)
#undef X
            EVENT_KIND_COUNT
};

struct domain_names {
    const char **items;
    size_t count;
    const char *listed; /* "a, b, c", shortened, for messages */
};

struct domain {
    struct arena *arena; /* of everything here, the struct itself too */
    struct domain_names event_types;
    struct domain_names aggregate_types;
    bool validation_enabled;
    bool strict;
};

enum aggregate_kind aggregate_kind_of(struct bytes aggregate_type);
/* What an event of that type means in an aggregate of that kind: a type of another kind of aggregate is custom. */
enum event_kind event_kind_of(struct bytes event_type, enum aggregate_kind kind);
/* The kind of aggregate that an event type belongs to by its prefix; AGGREGATE_CUSTOM = any. */
enum aggregate_kind aggregate_kind_of_event(struct bytes event_type);

struct fold {
    struct arena *arena;
    struct tree tree;
    struct object *state;
    struct object *metadata;
    enum aggregate_kind kind;
    bool exists;
    bool active;
    struct bytes id;
    struct bytes type;
    int32_t version;
    int64_t created_at_us;
    int64_t updated_at_us;
    int64_t position;
    int32_t event_count;
};

/* One event about to follow a state. */
struct check {
    const struct fold *fold;
    struct bytes id;
    enum event_kind event;
    const struct view *data; /* without members when the data is unusable */
    struct arena *scratch;
};

/* The content of an event as a view: an empty one when there is no data, NULL when it is not a JSON object or
 * of another content type. */
STATUS_MUST_CHECK struct status event_data(struct arena *scratch, const struct event_fields *event,
                                           const struct view **ret);

STATUS_MUST_CHECK struct status user_check(const struct check *check);
STATUS_MUST_CHECK struct status order_check(const struct check *check);
STATUS_MUST_CHECK struct status payment_check(const struct check *check);

/* A failed allocation of the tree stays in it. */
STATUS_MUST_CHECK struct status user_fold(struct fold *fold, struct arena *scratch, enum event_kind event,
                                          const struct view *data);
STATUS_MUST_CHECK struct status order_fold(struct fold *fold, struct arena *scratch, enum event_kind event,
                                           const struct view *data);
STATUS_MUST_CHECK struct status payment_fold(struct fold *fold, struct arena *scratch, enum event_kind event,
                                             const struct view *data);
