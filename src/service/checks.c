#include "service/checks_internal.h"

#include <stdio.h>
#include <string.h>

#define QUERY_ENTRIES_MAX 64U /* of one list; the contract says so too */
#define NANOS_OF_A_MICRO  1000

/* --- faults --- */

static void add_item(struct faults *faults, const char *field, const char *message)
{
    if (faults->count < FAULTS_MAX) {
        struct field_fault *item = &faults->items[faults->count];
        item->field = arena_text(faults->arena, bytes_of_text(field));
        item->message = arena_text(faults->arena, bytes_of_text(message));
        if (item->field == NULL || item->message == NULL)
            return;
    }
    faults->count++;
}

void faults_add(struct faults *faults, const char *field, struct status status)
{
    if (status_is_ok(&status))
        return;
    if (faults->count == 0)
        faults->first = status;
    faults->statuses++;
    if (status.faults == NULL || status.faults->count == 0) {
        add_item(faults, field, status.message);
        return;
    }
    for (size_t i = 0; i < status.faults->count; i++)
        add_item(faults, status.faults->items[i].field, status.faults->items[i].message);
}

struct status faults_status(const struct faults *faults)
{
    if (faults->count == 0)
        return status_ok();
    struct status status = faults->first;
    const size_t listed = faults->count < FAULTS_MAX ? faults->count : FAULTS_MAX;
    struct field_faults *all = arena_alloc(faults->arena, sizeof *all);
    struct field_fault *items = arena_array(faults->arena, listed, sizeof *items);
    if (all != NULL && items != NULL) {
        memcpy(items, faults->items, listed * sizeof *items);
        *all = (struct field_faults){items, listed};
        status.faults = all;
    }
    /* One that lists several says itself how many. */
    return faults->statuses == 1 ? status
                                 : status_prefix(status, "%zu fields are faulty; the first", faults->count);
}

struct status status_in_field(struct arena *arena, const char *field, const struct status *status)
{
    struct faults faults;
    faults_init(&faults, arena);
    faults_add(&faults, field, *status);
    return faults_status(&faults);
}

/* --- single fields --- */

struct status time_check(const char *field, const Google__Protobuf__Timestamp *time, int64_t *ret_us)
{
    if (time->nanos < 0 || time->nanos > 999999999 || time->seconds < TIME_MIN_US / 1000000 ||
        time->seconds > TIME_MAX_US / 1000000)
        return status_reason(REASON_INVALID_FIELD,
                             "%s has %lld seconds and %d nanos; give a time between the years 1 and 9999",
                             field, (long long)time->seconds, time->nanos);
    if (time->nanos % NANOS_OF_A_MICRO != 0)
        return status_reason(
            REASON_INVALID_FIELD,
            "%s has %d nanoseconds; times are kept to the microsecond, give at most six digits", field,
            time->nanos);
    *ret_us = time->seconds * 1000000 + time->nanos / NANOS_OF_A_MICRO;
    return status_ok();
}

struct status position_check(const char *field, int64_t position)
{
    if (position < 0)
        return status_reason(REASON_INVALID_FIELD, "%s is %lld; positions begin at 1", field,
                             (long long)position);
    return status_ok();
}

struct status page_size_check(int32_t given, size_t *ret)
{
    if (given < 0)
        return status_reason(REASON_INVALID_FIELD, "page_size is %d; give 1 to %d, or leave it out for %d",
                             given, PAGE_SIZE_MAX, PAGE_SIZE_DEFAULT);
    *ret = given == 0 ? PAGE_SIZE_DEFAULT : given > PAGE_SIZE_MAX ? PAGE_SIZE_MAX : (size_t)given;
    return status_ok();
}

struct status type_check(const char *field, struct bytes type, enum id_rule rule)
{
    STATUS_TRY(id_check(field, type, rule));
    if (type.size_bytes > 0 && memchr(type.data, '/', type.size_bytes) != NULL)
        return status_reason(REASON_INVALID_ID, "%s is \"%.*s\"; type names have no '/'", field,
                             BYTES_FORMAT(type));
    return status_ok();
}

/* --- queries --- */

static struct status prefix_check(const char *field, struct bytes prefix, enum id_rule rule)
{
    (void)rule;
    if (prefix.size_bytes >= 1 && prefix.size_bytes <= ID_MAX_BYTES)
        return status_ok();
    return status_reason(REASON_INVALID_ID, "%s has %zu bytes; give 1 to %u", field, prefix.size_bytes,
                         ID_MAX_BYTES);
}

static void list_build(struct faults *faults, const char *prefix, const char *name, char **texts,
                       size_t count,
                       struct status (*check)(const char *field, struct bytes text, enum id_rule rule),
                       struct bytes_list *ret)
{
    *ret = (struct bytes_list){NULL, 0};
    if (count == 0)
        return;
    struct bytes *items =
        count <= QUERY_ENTRIES_MAX ? arena_array(faults->arena, count, sizeof *items) : NULL;
    if (items == NULL) {
        char field[128];
        snprintf(field, sizeof field, "%s%s", prefix, name);
        faults_add(faults, field,
                   status_reason(REASON_INVALID_FIELD, "%s has %zu entries; give at most %u", field, count,
                                 QUERY_ENTRIES_MAX));
        return;
    }
    for (size_t i = 0; i < count; i++) {
        items[i] = bytes_of_text(texts[i]);
        struct status status = check(name, items[i], ID_SYSTEM_ALLOWED);
        if (!status_is_ok(&status)) {
            char field[128];
            snprintf(field, sizeof field, "%s%s[%zu]", prefix, name, i);
            faults_add(faults, field, status);
        }
    }
    *ret = (struct bytes_list){items, count};
}

void event_query_item_build(struct faults *faults, const char *prefix, const struct flat_query *from,
                            struct query_item *ret)
{
    list_build(faults, prefix, "types", from->types, from->type_count, id_check, &ret->types);
    list_build(faults, prefix, "tags", from->tags, from->tag_count, id_check, &ret->tags);
    list_build(faults, prefix, "aggregate_types", from->aggregate_types, from->aggregate_type_count, id_check,
               &ret->aggregate_types);
    list_build(faults, prefix, "aggregate_ids", from->aggregate_ids, from->aggregate_id_count, id_check,
               &ret->aggregate_ids);
    list_build(faults, prefix, "aggregate_id_prefixes", from->aggregate_id_prefixes,
               from->aggregate_id_prefix_count, prefix_check, &ret->aggregate_id_prefixes);
    ret->correlation_id = bytes_of_text(from->correlation_id);
    struct status status = id_check("correlation_id", ret->correlation_id, ID_OPTIONAL | ID_SYSTEM_ALLOWED);
    if (!status_is_ok(&status)) {
        char field[128];
        snprintf(field, sizeof field, "%scorrelation_id", prefix);
        faults_add(faults, field, status);
    }
}

void event_query_build(struct faults *faults, const char *field, const Strata__V1__EventQuery *from,
                       bool prefixes_allowed, struct event_query *ret)
{
    *ret = (struct event_query){NULL, 0};
    if (from == NULL || from->n_items == 0)
        return;
    struct query_item *items =
        from->n_items <= QUERY_ITEMS_MAX ? arena_array(faults->arena, from->n_items, sizeof *items) : NULL;
    if (items == NULL) {
        faults_add(faults, field,
                   status_reason(REASON_INVALID_FIELD, "%s has %zu items; give at most %u", field,
                                 from->n_items, QUERY_ITEMS_MAX));
        return;
    }
    for (size_t i = 0; i < from->n_items; i++) {
        const Strata__V1__QueryItem *item = from->items[i];
        char prefix[64];
        snprintf(prefix, sizeof prefix, "%s.items[%zu].", field, i);
        const struct flat_query flat = {
            .types = item->types,
            .type_count = item->n_types,
            .tags = item->tags,
            .tag_count = item->n_tags,
            .aggregate_types = item->aggregate_types,
            .aggregate_type_count = item->n_aggregate_types,
            .aggregate_ids = item->aggregate_ids,
            .aggregate_id_count = item->n_aggregate_ids,
            .aggregate_id_prefixes = item->aggregate_id_prefixes,
            .aggregate_id_prefix_count = item->n_aggregate_id_prefixes,
            .correlation_id = item->correlation_id,
        };
        event_query_item_build(faults, prefix, &flat, &items[i]);
        if (!prefixes_allowed && item->n_aggregate_id_prefixes > 0) {
            char path[128];
            snprintf(path, sizeof path, "%saggregate_id_prefixes", prefix);
            faults_add(
                faults, path,
                status_reason(REASON_INVALID_FIELD,
                              "%s cannot be checked at an append; name the aggregates, or give them a tag",
                              path));
        }
    }
    *ret = (struct event_query){items, from->n_items};
}
