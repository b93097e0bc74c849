#include "base/bytes.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"

#define BUFFER_FIRST_BYTES 256U

int bytes_compare(struct bytes a, struct bytes b)
{
    const size_t common = a.size_bytes < b.size_bytes ? a.size_bytes : b.size_bytes;
    const int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    if (order != 0)
        return order;
    return a.size_bytes < b.size_bytes ? -1 : a.size_bytes > b.size_bytes;
}

struct buffer buffer_make(size_t limit_bytes)
{
    return (struct buffer){.limit_bytes = limit_bytes};
}

struct buffer buffer_in(struct arena *arena, size_t limit_bytes)
{
    assert(arena != NULL);
    return (struct buffer){.limit_bytes = limit_bytes, .arena = arena};
}

void buffer_done(struct buffer *buffer)
{
    if (buffer->arena == NULL)
        free(buffer->data);
    buffer->data = NULL;
    buffer->size_bytes = 0;
    buffer->capacity_bytes = 0;
}

void buffer_clear(struct buffer *buffer)
{
    buffer->size_bytes = 0;
    buffer->failed = false;
}

static bool buffer_move(struct buffer *buffer, size_t capacity_bytes)
{
    uint8_t *data = NULL;
    if (buffer->arena != NULL) {
        data = arena_alloc(buffer->arena, capacity_bytes);
        if (data != NULL && buffer->size_bytes > 0)
            memcpy(data, buffer->data, buffer->size_bytes);
    } else {
        data = realloc(buffer->data, capacity_bytes);
    }
    if (data == NULL)
        return false;
    buffer->data = data;
    buffer->capacity_bytes = capacity_bytes;
    return true;
}

static bool buffer_grow(struct buffer *buffer, size_t needed_bytes)
{
    if (needed_bytes > SIZE_MAX / 2)
        return false; /* doubling would overflow */
    size_t capacity =
        buffer->capacity_bytes < BUFFER_FIRST_BYTES ? BUFFER_FIRST_BYTES : buffer->capacity_bytes;
    while (capacity < needed_bytes)
        capacity *= 2;
    return buffer_move(buffer, capacity);
}

void buffer_reserve(struct buffer *buffer, size_t size_bytes)
{
    const size_t needed_bytes = buffer->size_bytes + size_bytes;
    if (needed_bytes >= size_bytes && needed_bytes > buffer->capacity_bytes)
        (void)buffer_move(buffer, needed_bytes);
}

uint8_t *buffer_extend(struct buffer *buffer, size_t size_bytes)
{
    if (buffer->failed)
        return NULL;
    const size_t needed_bytes = buffer->size_bytes + size_bytes;
    const bool over =
        needed_bytes < size_bytes || (buffer->limit_bytes != 0 && needed_bytes > buffer->limit_bytes);
    if (over || (needed_bytes > buffer->capacity_bytes && !buffer_grow(buffer, needed_bytes))) {
        buffer->failed = true;
        return NULL;
    }
    uint8_t *room = buffer->data == NULL ? NULL : buffer->data + buffer->size_bytes;
    buffer->size_bytes = needed_bytes;
    return room;
}

void buffer_add(struct buffer *buffer, const void *data, size_t size_bytes)
{
    if (size_bytes == 0)
        return;
    uint8_t *room = buffer_extend(buffer, size_bytes);
    if (room != NULL)
        memcpy(room, data, size_bytes);
}

void buffer_add_bytes(struct buffer *buffer, struct bytes bytes)
{
    buffer_add(buffer, bytes.data, bytes.size_bytes);
}

void buffer_add_text(struct buffer *buffer, const char *text)
{
    buffer_add(buffer, text, strlen(text));
}

void buffer_add_byte(struct buffer *buffer, uint8_t byte)
{
    buffer_add(buffer, &byte, 1);
}

void buffer_printf(struct buffer *buffer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    va_list again;
    va_copy(again, arguments);
    const int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    assert(length >= 0);
    /* vsnprintf wants a byte for its NUL; it is taken back afterwards. */
    uint8_t *room = buffer_extend(buffer, (size_t)length + 1);
    if (room != NULL) {
        (void)vsnprintf((char *)room, (size_t)length + 1, format, again);
        buffer->size_bytes--;
    }
    va_end(again);
}

struct status buffer_status(const struct buffer *buffer)
{
    if (!buffer->failed)
        return status_ok();
    return status_error(STATUS_RESOURCE_EXHAUSTED, "a buffer could not grow past %zu bytes (limit %zu)",
                        buffer->size_bytes, buffer->limit_bytes);
}
