#include "domain/domain_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

#define LISTED_MAX_BYTES 360U /* leaves a status room for the rest of its sentence */

static const char *const builtin_event_types[] = {
#define X(id, type, aggregate) type,
    EVENT_KIND_TABLE(X)
#undef X
        "custom",
};

static const char *const builtin_aggregate_types[] = {
#define X(id, type, prefix) type,
    AGGREGATE_KIND_TABLE(X)
#undef X
        "custom",
};

/* --- kinds --- */

struct kind_names {
    const char *type;
    const char *prefix;
};
static const struct kind_names kind_names[AGGREGATE_KIND_COUNT] = {
#define X(id, type, prefix) [AGGREGATE_##id] = {type, prefix},
    AGGREGATE_KIND_TABLE(X)
#undef X
};

struct event_name {
    const char *type;
    enum event_kind kind;
    enum aggregate_kind aggregate;
};
static const struct event_name event_names[] = {
#define X(id, type, aggregate) {type, EVENT_##id, AGGREGATE_##aggregate},
    EVENT_KIND_TABLE(X)
#undef X
};
static const struct event_name system_names[] = {
#define X(id, type) {type, EVENT_##id, AGGREGATE_CUSTOM},
    SYSTEM_EVENT_TABLE(X)
#undef X
};

static bool has_prefix(struct bytes text, const char *prefix, size_t prefix_bytes)
{
    return text.size_bytes >= prefix_bytes && memcmp(text.data, prefix, prefix_bytes) == 0;
}

static bool is_system(struct bytes type)
{
    return type.size_bytes > 0 && type.data[0] == '$';
}

enum aggregate_kind aggregate_kind_of(struct bytes aggregate_type)
{
    for (size_t i = AGGREGATE_CUSTOM + 1; i < AGGREGATE_KIND_COUNT; i++)
        if (bytes_equal(aggregate_type, bytes_of_text(kind_names[i].type)))
            return (enum aggregate_kind)i;
    return AGGREGATE_CUSTOM;
}

enum aggregate_kind aggregate_kind_of_event(struct bytes event_type)
{
    for (size_t i = AGGREGATE_CUSTOM + 1; i < AGGREGATE_KIND_COUNT; i++)
        if (has_prefix(event_type, kind_names[i].prefix, strlen(kind_names[i].prefix)))
            return (enum aggregate_kind)i;
    return AGGREGATE_CUSTOM;
}

enum event_kind event_kind_of(struct bytes event_type, enum aggregate_kind kind)
{
    if (is_system(event_type)) {
        for (size_t i = 0; i < ARRAY_COUNT(system_names); i++)
            if (bytes_equal(event_type, bytes_of_text(system_names[i].type)))
                return system_names[i].kind;
        return EVENT_SYSTEM_OTHER;
    }
    for (size_t i = 0; i < ARRAY_COUNT(event_names); i++)
        if (event_names[i].aggregate == kind && bytes_equal(event_type, bytes_of_text(event_names[i].type)))
            return event_names[i].kind;
    return EVENT_CUSTOM;
}

/* --- the registry --- */

static struct status check_entry(const char *key, size_t index, const char *entry)
{
    const struct bytes text = bytes_of_text(entry);
    const uint8_t *star = text.size_bytes == 0 ? NULL : memchr(text.data, '*', text.size_bytes);
    char field[64];
    snprintf(field, sizeof field, "%s[%zu]", key, index);
    STATUS_TRY(id_check(field, text, ID_REQUIRED));
    if (star != NULL && star != text.data + text.size_bytes - 1)
        return status_error(STATUS_INVALID_ARGUMENT, "%s is \"%s\"; a '*' may only stand at the end", field,
                            entry);
    if (memchr(text.data, '/', text.size_bytes) != NULL)
        return status_error(STATUS_INVALID_ARGUMENT, "%s is \"%s\"; a type has no '/'", field, entry);
    return status_ok();
}

static struct status take_list(struct arena *arena, const char *key, const char *const *from, size_t count,
                               struct domain_names *ret)
{
    const struct status no_memory =
        status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the list of types");
    struct buffer listed = buffer_in(arena, 0);
    bool cut = false;
    ret->items = arena_array(arena, count, sizeof *ret->items);
    if (ret->items == NULL)
        return no_memory;
    for (size_t i = 0; i < count; i++) {
        STATUS_TRY(check_entry(key, i, from[i]));
        ret->items[i] = arena_text(arena, bytes_of_text(from[i]));
        if (ret->items[i] == NULL)
            return no_memory;
        if (cut)
            continue;
        cut = listed.size_bytes + strlen(from[i]) > LISTED_MAX_BYTES;
        buffer_printf(&listed, "%s%s", i == 0 ? "" : ", ", cut ? "…" : from[i]);
    }
    ret->count = count;
    ret->listed = arena_text(arena, buffer_bytes(&listed));
    return ret->listed == NULL ? no_memory : buffer_status(&listed);
}

struct status domain_new(const struct domain_options *options, struct domain **ret)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct domain *domain = arena == NULL ? NULL : arena_zalloc(arena, sizeof *domain);
    if (domain == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the list of types");
    domain->validation_enabled = options->validation_enabled;
    domain->strict = options->strict;
    const bool given_events = options->event_type_count > 0;
    STATUS_TRY(take_list(
        arena, "supported_event_types", given_events ? options->event_types : builtin_event_types,
        given_events ? options->event_type_count : ARRAY_COUNT(builtin_event_types), &domain->event_types));
    const bool given_aggregates = options->aggregate_type_count > 0;
    STATUS_TRY(
        take_list(arena, "supported_aggregate_types",
                  given_aggregates ? options->aggregate_types : builtin_aggregate_types,
                  given_aggregates ? options->aggregate_type_count : ARRAY_COUNT(builtin_aggregate_types),
                  &domain->aggregate_types));
    domain->arena = TAKE_PTR(arena);
    *ret = domain;
    return status_ok();
}

void domain_free(struct domain *domain)
{
    if (domain != NULL)
        arena_free(domain->arena);
}

const char *const *domain_event_types(const struct domain *domain, size_t *ret_count)
{
    *ret_count = domain->event_types.count;
    return domain->event_types.items;
}

const char *const *domain_aggregate_types(const struct domain *domain, size_t *ret_count)
{
    *ret_count = domain->aggregate_types.count;
    return domain->aggregate_types.items;
}

static bool allows(const struct domain_names *names, struct bytes type)
{
    for (size_t i = 0; i < names->count; i++) {
        const char *entry = names->items[i];
        const size_t entry_bytes = strlen(entry);
        const bool open_ended = entry[entry_bytes - 1] == '*';
        if (open_ended ? has_prefix(type, entry, entry_bytes - 1)
                       : bytes_equal(type, bytes_of(entry, entry_bytes)))
            return memchr(type.data, '/', type.size_bytes) == NULL && !is_system(type);
    }
    return false;
}

struct status domain_check_types(const struct domain *domain, struct bytes event_type,
                                 struct bytes aggregate_type)
{
    /* The system's own events are no client's to append: the rule for ids keeps those out before. */
    const bool event_named = event_type.size_bytes > 0 && !is_system(event_type);
    if (event_named && !allows(&domain->event_types, event_type))
        return status_reason(
            REASON_TYPE_NOT_ALLOWED,
            "type \"%.*s\" may not be appended; use one of %s, or add it to supported_event_types",
            BYTES_FORMAT(event_type), domain->event_types.listed);
    if (aggregate_type.size_bytes == 0)
        return status_ok();
    if (!allows(&domain->aggregate_types, aggregate_type))
        return status_reason(REASON_TYPE_NOT_ALLOWED,
                             "aggregate type \"%.*s\" may not be appended to; use one of %s, or add it to "
                             "supported_aggregate_types",
                             BYTES_FORMAT(aggregate_type), domain->aggregate_types.listed);
    const enum aggregate_kind wanted = aggregate_kind_of_event(event_type);
    if (!event_named || wanted == AGGREGATE_CUSTOM || wanted == aggregate_kind_of(aggregate_type))
        return status_ok();
    return status_reason(
        REASON_TYPE_MISMATCH,
        "type \"%.*s\" does not fit aggregate type \"%.*s\"; %s* events go to aggregates of type %s",
        BYTES_FORMAT(event_type), BYTES_FORMAT(aggregate_type), kind_names[wanted].prefix,
        kind_names[wanted].type);
}

struct bytes domain_fitting_type(struct bytes event_type)
{
    const enum aggregate_kind kind = aggregate_kind_of_event(event_type);
    return kind == AGGREGATE_CUSTOM ? BYTES_NONE : bytes_of_text(kind_names[kind].type);
}
