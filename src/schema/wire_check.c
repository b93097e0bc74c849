/* What must hold before protobuf-c may unpack a request. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "schema/schema.h"
#include "schema/wire_internal.h"

#define PATH_MAX_BYTES 256U
#define NAME_MAX_BYTES 64 /* of one step of a path that is shown */

/*
 * How protobuf-c 1.4 allocates: fields of a message are first listed, 32 bytes each, 16 of
 * them on the stack and the others in slabs that double from 32 fields on; then come the
 * values, and 24 bytes beside each unknown field.
 */
#define LISTED_BYTES    32U
#define LISTED_ON_STACK 16U
#define LISTED_FIRST    32U
#define UNKNOWN_BYTES   24U
#define ELEMENT_BYTES   8U  /* of a repeated field's array: a pointer or a number */
#define ALIGNMENT_BYTES 16U /* every allocation is rounded up to it */
#define MESSAGE_BYTES   32U /* rounding of the message itself and of its array of unknown fields */

/* One check. A failure is written at once and ends it, so the way down carries no status. */
struct check {
    size_t left_bytes;      /* what protobuf-c may still allocate */
    struct status *failure; /* where it goes */
};

/* Where the check stands: one level a message. */
struct level {
    struct check *check;
    const struct level *outer;
    const struct schema_message *message;
    struct bytes wire;
    const struct schema_field *field; /* that is being looked at; NULL before the first */
    size_t at;                        /* behind that field */
};

/* How many of a repeated field stand before the one that ends at level->at: only asked when it is refused. */
static size_t index_of(const struct level *level)
{
    size_t count = 0;
    struct wire_field seen;
    for (size_t at = 0; at < level->at && wire_read_field(level->wire, &at, &seen);)
        if (at < level->at && seen.number == level->field->number)
            count++;
    return count;
}

static void write_path(const struct level *level, char ret[PATH_MAX_BYTES])
{
    char tail[PATH_MAX_BYTES];
    ret[0] = '\0';
    for (; level != NULL; level = level->outer) {
        if (level->field == NULL)
            continue;
        memcpy(tail, ret, sizeof tail);
        char step[NAME_MAX_BYTES + 32];
        if ((level->field->flags & SCHEMA_REPEATED) != 0)
            (void)snprintf(step, sizeof step, "%.*s[%zu]", NAME_MAX_BYTES, level->field->name,
                           index_of(level));
        else
            (void)snprintf(step, sizeof step, "%.*s", NAME_MAX_BYTES, level->field->name);
        /* A path that is cut at its end still says where to look. */
        (void)snprintf(ret, PATH_MAX_BYTES, "%s%s%.*s", step, tail[0] == '\0' ? "" : ".",
                       (int)(PATH_MAX_BYTES - sizeof step - 2), tail);
    }
}

__attribute__((format(printf, 2, 3), cold, noinline)) static bool refuse(const struct level *level,
                                                                         const char *format, ...)
{
    char path[PATH_MAX_BYTES];
    char what[PATH_MAX_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(what, sizeof what, format, arguments); /* our own short sentences */
    va_end(arguments);
    write_path(level, path);
    *level->check->failure =
        status_reason(REASON_INVALID_FIELD, "%s %s", path[0] == '\0' ? "the request" : path, what);
    return false;
}

static inline bool spend(const struct level *level, size_t bytes)
{
    if (bytes > level->check->left_bytes)
        return refuse(level,
                      "makes the request need more memory than its size allows; send fewer values in one "
                      "request");
    level->check->left_bytes -= bytes;
    return true;
}

static inline size_t rounded(size_t bytes)
{
    return (bytes + ALIGNMENT_BYTES - 1) & ~(size_t)(ALIGNMENT_BYTES - 1);
}

/* No byte of the word is NUL or beyond ASCII. */
static inline bool word_is_plain(uint64_t word)
{
    return ((word | (word - UINT64_C(0x0101010101010101))) & UINT64_C(0x8080808080808080)) == 0;
}

/* True for text of ASCII without NUL, which nearly all strings are; false says nothing. Ends overlap, so there
 * is no loop over single bytes. */
static inline bool is_plain(struct bytes text)
{
    const uint8_t *s = text.data;
    const size_t size = text.size_bytes;
    uint64_t word;
    if (size >= sizeof word) {
        for (size_t at = 0; at + sizeof word <= size; at += sizeof word) {
            memcpy(&word, s + at, sizeof word);
            if (!word_is_plain(word))
                return false;
        }
        memcpy(&word, s + size - sizeof word, sizeof word);
        return word_is_plain(word);
    }
    if (size >= sizeof(uint32_t)) {
        uint32_t first, last;
        memcpy(&first, s, sizeof first);
        memcpy(&last, s + size - sizeof last, sizeof last);
        return word_is_plain((uint64_t)first << 32 | last);
    }
    for (size_t at = 0; at < size; at++)
        if (s[at] == 0 || s[at] >= 0x80)
            return false;
    return true;
}

static bool check_string(const struct level *level, struct bytes text)
{
    if (is_plain(text))
        return true;
    assert(text.data != NULL); /* an empty text is plain */
    if (memchr(text.data, '\0', text.size_bytes) != NULL)
        return refuse(level, "holds a NUL character; leave it out");
    if (!utf8_is_valid(text))
        return refuse(level, "is not valid UTF-8; encode it as UTF-8");
    return true;
}

static bool check_number(const struct level *level, const struct schema_field *field, uint64_t value)
{
    if (field->kind != SCHEMA_INT32 && field->kind != SCHEMA_ENUM)
        return true;
    const int64_t number = (int64_t)value;
    if (number < INT32_MIN || number > INT32_MAX)
        return refuse(level, "is %lld; it must fit into 32 bits", (long long)number);
    if (field->kind == SCHEMA_ENUM && schema_enum_by_number(field->values, (int32_t)number) == NULL)
        return refuse(level, "is %lld, which is no value of %s", (long long)number, field->values->name);
    return true;
}

static inline enum wire_type wire_type_of(enum schema_kind kind)
{
    static const uint8_t types[] = {
        [SCHEMA_BOOL] = WIRE_VARINT, [SCHEMA_INT32] = WIRE_VARINT, [SCHEMA_INT64] = WIRE_VARINT,
        [SCHEMA_DOUBLE] = WIRE_I64,  [SCHEMA_STRING] = WIRE_LEN,   [SCHEMA_BYTES] = WIRE_LEN,
        [SCHEMA_ENUM] = WIRE_VARINT, [SCHEMA_MESSAGE] = WIRE_LEN,
    };
    return (enum wire_type)types[kind];
}

/* Repeated numbers may come as one run of bytes. */
static bool check_packed(const struct level *level, const struct schema_field *field, struct bytes packed)
{
    const bool fixed = wire_type_of(field->kind) == WIRE_I64;
    uint64_t value = 0;
    for (size_t at = 0; at < packed.size_bytes;) {
        if (!(fixed ? wire_read_fixed(packed, &at, 8, &value)
                    : wire_read_varint(packed, &at, WIRE_VARINT_MAX_BYTES, &value)))
            return refuse(level, "is cut off");
        if (!spend(level, ELEMENT_BYTES) || !check_number(level, field, value))
            return false;
    }
    return true;
}

static bool check_message(const struct level *outer, struct check *check,
                          const struct schema_message *message, struct bytes wire);

static bool check_field(const struct level *level, const struct schema_field *field,
                        const struct wire_field *seen)
{
    const enum wire_type wanted = wire_type_of(field->kind);
    const bool repeated = (field->flags & SCHEMA_REPEATED) != 0;
    if (repeated && !spend(level, ELEMENT_BYTES))
        return false;
    if (seen->type != wanted) {
        if (repeated && seen->type == WIRE_LEN)
            return check_packed(level, field, seen->bytes);
        return refuse(level,
                      "has another type on the wire than in the contract; use the published .proto files");
    }
    switch (field->kind) {
    case SCHEMA_STRING:
        return spend(level, rounded(seen->bytes.size_bytes + 1)) && check_string(level, seen->bytes);
    case SCHEMA_BYTES:
        return spend(level, rounded(seen->bytes.size_bytes));
    case SCHEMA_MESSAGE:
        return check_message(level, level->check, field->message, seen->bytes);
    case SCHEMA_INT32:
    case SCHEMA_ENUM:
        return check_number(level, field, seen->value);
    case SCHEMA_BOOL:
    case SCHEMA_INT64:
    case SCHEMA_DOUBLE:
        return true;
    }
    return true;
}

static bool check_message(const struct level *outer, struct check *check,
                          const struct schema_message *message, struct bytes wire)
{
    struct level level = {check, outer, message, wire, NULL, 0};
    uint64_t seen_once = 0; /* singular submessages by their place in the table, which has at most 64 */
    size_t listed = LISTED_ON_STACK;
    size_t slab = LISTED_FIRST;
    if (!spend(&level, message->unpacked_bytes + MESSAGE_BYTES))
        return false;
    for (size_t count = 1; level.at < wire.size_bytes; count++) {
        struct wire_field seen;
        level.field = NULL;
        if (!wire_read_field(wire, &level.at, &seen))
            return refuse(&level, "is not a well-formed %s; check the client's serialization", message->name);
        if (count > listed) {
            if (!spend(&level, LISTED_BYTES * slab))
                return false;
            listed += slab;
            slab *= 2;
        }
        const struct schema_field *field = schema_field_by_number(message, seen.number);
        if (field == NULL) { /* of a newer client: protobuf-c copies it */
            if (!spend(&level, UNKNOWN_BYTES + rounded(seen.bytes.size_bytes + WIRE_VARINT_MAX_BYTES)))
                return false;
            continue;
        }
        level.field = field;
        if (field->kind == SCHEMA_MESSAGE && (field->flags & SCHEMA_REPEATED) == 0) {
            /* protobuf-c 1.4 merges them and fails on some; who sends one message has no use for it. */
            const uint64_t bit = UINT64_C(1) << (field - message->fields);
            if ((seen_once & bit) != 0)
                return refuse(&level, "is there twice; send it once");
            seen_once |= bit;
        }
        if (!check_field(&level, field, &seen))
            return false;
    }
    return true;
}

struct status schema_wire_check(const struct schema_message *message, struct bytes wire)
{
    struct status status = status_ok();
    struct check check = {wire_unpacked_max_bytes(wire.size_bytes), &status};
    (void)check_message(NULL, &check, message, wire); /* a failure is in `status` */
    return status;
}
