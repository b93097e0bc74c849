#include "base/json_pointer.h"

#include <string.h>

#define SHOWN_BYTES 100 /* of a text that is no pointer, in messages */

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for a JSON pointer");
}

/* --- finding --- */

/* "~1" and "~0" undone; false when a '~' is neither. `ret` has room for the step. */
static bool step_unescape(struct bytes step, struct buffer *ret)
{
    for (size_t i = 0; i < step.size_bytes; i++) {
        if (step.data[i] != '~') {
            buffer_add_byte(ret, step.data[i]);
            continue;
        }
        i++;
        if (i == step.size_bytes || (step.data[i] != '0' && step.data[i] != '1'))
            return false;
        buffer_add_byte(ret, step.data[i] == '0' ? '~' : '/');
    }
    return true;
}

static struct json_value *element_at(const struct json_value *array, struct bytes step)
{
    const bool zero_led = step.size_bytes > 1 && step.data[0] == '0';
    size_t index = 0;
    if (step.size_bytes == 0 || zero_led)
        return NULL;
    for (size_t i = 0; i < step.size_bytes; i++) {
        if (step.data[i] < '0' || step.data[i] > '9' || index >= array->count)
            return NULL; /* and no index beyond the count can come back below it */
        index = index * 10 + (size_t)(step.data[i] - '0');
    }
    return index < array->count ? array->elements[index] : NULL;
}

static struct json_value *step_into(struct json_value *value, struct bytes step)
{
    if (value == NULL)
        return NULL;
    if (value->kind == JSON_OBJECT_BEGIN)
        return json_member(value, step);
    return value->kind == JSON_ARRAY_BEGIN ? element_at(value, step) : NULL;
}

static struct status not_a_pointer(struct bytes pointer)
{
    const int shown = pointer.size_bytes < SHOWN_BYTES ? (int)pointer.size_bytes : SHOWN_BYTES;
    return status_reason(REASON_INVALID_FIELD,
                         "\"%.*s\" is no JSON pointer: it begins with '/' unless it is empty, and '~' is "
                         "written ~0 and '/' within a name ~1",
                         shown, (const char *)pointer.data);
}

struct status json_pointer_find(struct arena *arena, struct json_value *root, struct bytes pointer,
                                struct json_value **ret)
{
    struct json_value *value = root;
    size_t at = 0;
    while (at < pointer.size_bytes) {
        if (pointer.data[at] != '/')
            return not_a_pointer(pointer);
        at++;
        const uint8_t *slash = memchr(pointer.data + at, '/', pointer.size_bytes - at);
        const size_t end = slash == NULL ? pointer.size_bytes : (size_t)(slash - pointer.data);
        struct buffer step = buffer_in(arena, 0);
        if (!step_unescape(bytes_of(pointer.data + at, end - at), &step))
            return not_a_pointer(pointer);
        if (step.failed)
            return no_memory();
        value = step_into(value, buffer_bytes(&step)); /* once NULL, only the syntax is still looked at */
        at = end;
    }
    *ret = value;
    return status_ok();
}

/* --- writing --- */

void json_pointer_add_name(struct buffer *pointer, struct bytes name)
{
    buffer_add_byte(pointer, '/');
    for (size_t i = 0; i < name.size_bytes; i++) {
        if (name.data[i] == '~')
            buffer_add_text(pointer, "~0");
        else if (name.data[i] == '/')
            buffer_add_text(pointer, "~1");
        else
            buffer_add_byte(pointer, name.data[i]);
    }
}

void json_pointer_add_index(struct buffer *pointer, size_t index)
{
    buffer_printf(pointer, "/%zu", index);
}

/* RFC 3986 3.5: what a fragment may hold as it is. */
static bool stands_in_fragment(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
           (byte != 0 && strchr("-._~!$&'()*+,;=:@/?", byte) != NULL);
}

void json_pointer_add_fragment(struct buffer *to, struct bytes pointer)
{
    buffer_add_byte(to, '#');
    for (size_t i = 0; i < pointer.size_bytes; i++) {
        if (stands_in_fragment(pointer.data[i]))
            buffer_add_byte(to, pointer.data[i]);
        else
            buffer_printf(to, "%%%02X", pointer.data[i]);
    }
}

static int hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

struct status json_pointer_of_fragment(struct arena *arena, struct bytes fragment, struct bytes *ret)
{
    if (fragment.size_bytes == 0 || fragment.data[0] != '#')
        return status_reason(REASON_INVALID_FIELD, "a JSON pointer in a URI begins with '#'");
    struct buffer pointer = buffer_in(arena, 0);
    for (size_t i = 1; i < fragment.size_bytes; i++) {
        if (fragment.data[i] != '%') {
            buffer_add_byte(&pointer, fragment.data[i]);
            continue;
        }
        const int high = i + 2 < fragment.size_bytes ? hex_digit(fragment.data[i + 1]) : -1;
        const int low = i + 2 < fragment.size_bytes ? hex_digit(fragment.data[i + 2]) : -1;
        if (high < 0 || low < 0)
            return status_reason(
                REASON_INVALID_FIELD,
                "a JSON pointer in a URI has a '%%' without two hexadecimal digits at byte %zu", i);
        buffer_add_byte(&pointer, (uint8_t)(high << 4 | low));
        i += 2;
    }
    *ret = buffer_bytes(&pointer);
    return pointer.failed ? no_memory() : status_ok();
}
