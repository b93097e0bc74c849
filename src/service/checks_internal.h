/* Checks of requests: what is wrong with which field, all of it at once. */
#pragma once

#include "base/arena.h"
#include "base/text.h"
#include "record/query.h"
#include "service/service_internal.h"

#define FAULTS_MAX 32U /* named in one refusal */

/* Collects the faulty fields of a request. */
struct faults {
    struct arena *arena;
    size_t count;
    size_t statuses;     /* that brought them: one may list several */
    struct status first; /* set when count > 0 */
    struct field_fault items[FAULTS_MAX];
};

static inline void faults_init(struct faults *faults, struct arena *arena)
{
    faults->arena = arena; /* the items stay unset: a good request must cost nothing */
    faults->count = 0;
    faults->statuses = 0;
}
/* Does nothing when `status` is OK. `field` is copied; a status that lists faults itself adds these. */
void faults_add(struct faults *faults, const char *field, struct status status);
/* OK when there are none, else the first with all of them listed. */
STATUS_MUST_CHECK struct status faults_status(const struct faults *faults);

/* The failure `status` with `field` as its faulty field, if it names none: for a check that refuses alone. */
STATUS_MUST_CHECK struct status status_in_field(struct arena *arena, const char *field,
                                                const struct status *status);

/* STATUS_TRY for a check of one field. */
#define FIELD_TRY(arena, field, expression)                                                                  \
    do {                                                                                                     \
        const struct status field_try_ = (expression);                                                       \
        if (!status_is_ok(&field_try_))                                                                      \
            return status_in_field(arena, field, &field_try_);                                               \
    } while (0)

static inline struct bytes bytes_of_blob(ProtobufCBinaryData blob)
{
    return bytes_of(blob.data, blob.len);
}

/* INVALID_FIELD when out of range or finer than a microsecond. */
STATUS_MUST_CHECK struct status time_check(const char *field, const Google__Protobuf__Timestamp *time,
                                           int64_t *ret_us);

/* INVALID_FIELD when it is negative; 0 stands for none. */
STATUS_MUST_CHECK struct status position_check(const char *field, int64_t position);

/* INVALID_FIELD for a negative size; 0 = the default; more than the most is lowered. */
STATUS_MUST_CHECK struct status page_size_check(int32_t given, size_t *ret);

/* A query of at most QUERY_ITEMS_MAX items; NULL = everything. Texts are borrowed. */
void event_query_build(struct faults *faults, const char *field, const Strata__V1__EventQuery *from,
                       bool prefixes_allowed, struct event_query *ret);
/* One item from flat fields. */
struct flat_query {
    char **types, **tags, **aggregate_types, **aggregate_ids, **aggregate_id_prefixes;
    size_t type_count, tag_count, aggregate_type_count, aggregate_id_count, aggregate_id_prefix_count;
    const char *correlation_id;
};
void event_query_item_build(struct faults *faults, const char *prefix, const struct flat_query *from,
                            struct query_item *ret);

/* Type names have no '/': they stand in paths as they are. */
STATUS_MUST_CHECK struct status type_check(const char *field, struct bytes type, enum id_rule rule);
