/* A query string into packed fields. */
#include <string.h>

#include "gateway/request_internal.h"
#include "gateway/transcode/transcode.h"

#define NESTED_MAX 4U

struct parameter {
    struct bytes name;  /* decoded; what is left of it below the messages entered so far */
    struct bytes whole; /* as given, decoded */
    struct bytes value; /* decoded */
    bool taken;
};

struct parameters {
    struct parameter *items;
    size_t count;
};

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "the request needs more memory than a call may use");
}

/* One "name=value"; false when an encoding is broken. */
static bool decode_parameter(struct arena *arena, struct bytes pair, struct parameter *ret)
{
    const uint8_t *equals = memchr(pair.data, '=', pair.size_bytes);
    const size_t name_size = equals == NULL ? pair.size_bytes : (size_t)(equals - pair.data);
    const size_t value_start = equals == NULL ? pair.size_bytes : name_size + 1;
    *ret = (struct parameter){.taken = false};
    if (!percent_decode(arena, bytes_of(pair.data, name_size), true, &ret->name) ||
        !percent_decode(arena, bytes_of(pair.data + value_start, pair.size_bytes - value_start), true,
                        &ret->value))
        return false;
    ret->whole = ret->name;
    return true;
}

static size_t count_pairs(struct bytes query)
{
    size_t count = 1;
    for (size_t i = 0; i < query.size_bytes; i++)
        count += query.data[i] == '&';
    return count;
}

static struct status split_query(struct request_faults *faults, struct bytes query, const char *skip,
                                 struct bytes *ret_skipped, struct parameters *ret)
{
    ret->count = 0;
    ret->items = arena_array(faults->arena, count_pairs(query), sizeof *ret->items);
    if (ret->items == NULL)
        return no_memory();
    for (size_t at = 0; at < query.size_bytes;) {
        const uint8_t *ampersand = memchr(query.data + at, '&', query.size_bytes - at);
        const size_t end = ampersand == NULL ? query.size_bytes : (size_t)(ampersand - query.data);
        const struct bytes pair = bytes_of(query.data + at, end - at);
        struct parameter *parameter = &ret->items[ret->count];
        at = end + 1;
        if (pair.size_bytes == 0)
            continue;
        if (!decode_parameter(faults->arena, pair, parameter))
            request_fault(faults, REASON_INVALID_FIELD, transcode_shown(faults->arena, pair),
                          "has a broken percent-encoding; write %25 for a percent sign");
        else if (skip != NULL && bytes_equal(parameter->name, bytes_of_text(skip)))
            *ret_skipped = parameter->value;
        else
            ret->count++;
    }
    return status_ok();
}

/* --- fields of one message --- */

/* One message of the request and what it has been given. */
struct level {
    struct request_faults *faults;
    const struct schema_message *message;
    uint64_t given; /* by place in the field table */
    size_t depth;
};

static struct bytes head_of(struct bytes name, bool *ret_dotted)
{
    const uint8_t *dot = name.size_bytes == 0 ? NULL : memchr(name.data, '.', name.size_bytes);
    *ret_dotted = dot != NULL;
    return bytes_of(name.data, dot == NULL ? name.size_bytes : (size_t)(dot - name.data));
}

/* The field that the beginning of a name means at this level, or NULL. */
static const struct schema_field *find(const struct level *level, struct bytes name, bool *ret_dotted)
{
    const struct schema_field *field = schema_field_by_name(level->message, head_of(name, ret_dotted));
    return field == NULL || (field->flags & (SCHEMA_INTERNAL | SCHEMA_MAP)) != 0 ? NULL : field;
}

static bool is_plain_message(const struct schema_field *field)
{
    return field->kind == SCHEMA_MESSAGE && field->message->special == SCHEMA_PLAIN;
}

/* Notes a field that is given twice, or beside another of its oneof. */
static void note_given(struct level *level, const struct schema_field *field, const char *name)
{
    const size_t place = (size_t)(field - level->message->fields);
    if ((field->flags & SCHEMA_REPEATED) == 0 && (level->given >> place & 1) != 0)
        request_fault(level->faults, REASON_INVALID_FIELD, name, "is given twice; keep one");
    for (size_t i = 0; field->oneof >= 0 && i < level->message->field_count; i++)
        if (i != place && level->message->fields[i].oneof == field->oneof && (level->given >> i & 1) != 0)
            request_fault(level->faults, REASON_INVALID_FIELD, name,
                          arena_printf(level->faults->arena, "cannot be given together with %s; keep one",
                                       level->message->fields[i].name));
    level->given |= UINT64_C(1) << place;
}

static void note_unknown(const struct level *level, const struct parameter *parameter, bool suggest)
{
    struct arena *arena = level->faults->arena;
    const char *nearest = suggest ? transcode_nearest(level->message, parameter->name) : NULL;
    request_fault(level->faults, REASON_UNKNOWN_FIELD, transcode_shown(arena, parameter->whole),
                  nearest == NULL
                      ? "is no query parameter of this path; leave it out"
                      : arena_printf(arena, "is no query parameter of this path; did you mean %s?", nearest));
}

static void put_parameter(struct level *level, const struct schema_field *field,
                          const struct parameter *parameter, struct buffer *wire)
{
    struct arena *arena = level->faults->arena;
    const char *name = transcode_shown(arena, parameter->whole);
    const bool numeric = field->kind == SCHEMA_ENUM && parameter->value.size_bytes > 0 &&
                         parameter->value.data[0] >= '0' && parameter->value.data[0] <= '9';
    note_given(level, field, name);
    if (!transcode_put_text(arena, field, parameter->value, !numeric, wire))
        request_fault(level->faults, REASON_INVALID_FIELD, name,
                      arena_printf(arena, "is \"%s\"; it must be %s",
                                   transcode_shown(arena, parameter->value), transcode_wanted(arena, field)));
}

static struct status put_level(struct level *level, struct parameters given, struct buffer *wire);

/* All parameters that go into this message, at once: it may be written only once. */
static struct status put_message(struct level *level, const struct schema_field *field, struct parameters all,
                                 size_t first, struct buffer *wire)
{
    struct arena *arena = level->faults->arena;
    struct parameters inner = {arena_array(arena, all.count - first, sizeof *inner.items), 0};
    struct buffer content = buffer_in(arena, 0);
    if (inner.items == NULL)
        return no_memory();
    for (size_t i = first; i < all.count; i++) {
        bool dotted = false;
        if (all.items[i].taken || find(level, all.items[i].name, &dotted) != field || !dotted)
            continue;
        const size_t skipped = head_of(all.items[i].name, &dotted).size_bytes + 1;
        all.items[i].taken = true;
        inner.items[inner.count] = all.items[i];
        inner.items[inner.count].taken = false;
        inner.items[inner.count].name =
            bytes_of(all.items[i].name.data + skipped, all.items[i].name.size_bytes - skipped);
        inner.count++;
    }
    note_given(level, field, field->name);
    struct level below = {level->faults, field->message, 0, level->depth + 1};
    STATUS_TRY(put_level(&below, inner, &content));
    wire_put_bytes(wire, field->number, buffer_bytes(&content));
    return buffer_status(&content);
}

static struct status put_level(struct level *level, struct parameters given, struct buffer *wire)
{
    for (size_t i = 0; i < given.count; i++) {
        const struct parameter *parameter = &given.items[i];
        bool dotted = false;
        if (parameter->taken)
            continue;
        const struct schema_field *field = find(level, parameter->name, &dotted);
        const bool enters = dotted && field != NULL && is_plain_message(field) && level->depth < NESTED_MAX &&
                            (field->flags & SCHEMA_REPEATED) == 0;
        const bool fits =
            !dotted && field != NULL && !is_plain_message(field) && (field->flags & SCHEMA_RAW_JSON) == 0;
        if (enters)
            STATUS_TRY(put_message(level, field, given, i, wire));
        else if (fits)
            put_parameter(level, field, parameter, wire);
        else
            note_unknown(level, parameter, field == NULL && !dotted);
    }
    return status_ok();
}

struct status query_build(struct request_faults *faults, const struct schema_message *message,
                          struct bytes query, const char *skip, struct bytes *ret_skipped,
                          struct buffer *wire)
{
    struct parameters parameters;
    struct level level = {faults, message, 0, 0};
    STATUS_TRY(split_query(faults, query, skip, ret_skipped, &parameters));
    STATUS_TRY(put_level(&level, parameters, wire));
    return buffer_status(wire);
}
