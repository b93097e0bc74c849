/*
 * Borrowed byte ranges, and a buffer that grows.
 *
 * A buffer remembers a failed allocation instead of reporting each one: write freely, ask buffer_status() once.
 *
 * Ownership  `struct bytes` never owns; NULL with size 0 is the empty range. `struct buffer` owns its memory
 *            (malloc), until buffer_done(), or borrows an arena's.
 * Threads    One at a time for each buffer.
 * Blocking   Never.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/status.h"

struct arena;

struct bytes {
    const uint8_t *data;
    size_t size_bytes;
};

#define BYTES_LITERAL(text) ((struct bytes){(const uint8_t *)(text), sizeof(text) - 1})
#define BYTES_NONE          ((struct bytes){NULL, 0})
/* For printf's "%.*s". */
#define BYTES_FORMAT(range)                                                                                  \
    (int)(range).size_bytes, (const char *)((range).data ? (range).data : (const uint8_t *)"")

static inline struct bytes bytes_of(const void *data, size_t size_bytes)
{
    return (struct bytes){(const uint8_t *)data, size_bytes};
}

static inline struct bytes bytes_of_text(const char *text)
{
    return (struct bytes){(const uint8_t *)text, text == NULL ? 0 : strlen(text)};
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.size_bytes == b.size_bytes && (a.size_bytes == 0 || memcmp(a.data, b.data, a.size_bytes) == 0);
}

/* Order of unsigned bytes, a shorter prefix first. */
int bytes_compare(struct bytes a, struct bytes b);

struct buffer {
    uint8_t *data;
    size_t size_bytes;
    size_t capacity_bytes;
    size_t limit_bytes;  /* 0 = none; growth beyond it fails */
    struct arena *arena; /* NULL = malloc */
    bool failed;
};

/* malloc-backed; end it with buffer_done(). `limit_bytes` 0 = unlimited. */
struct buffer buffer_make(size_t limit_bytes);
/* Arena-backed: buffer_done() is not needed and does nothing. */
struct buffer buffer_in(struct arena *arena, size_t limit_bytes);
void buffer_done(struct buffer *buffer);
void buffer_clear(struct buffer *buffer); /* keeps the memory; forgets a failure */

/* Memory for exactly `size_bytes` more, for a buffer that lives long and will not grow; a failure shows when they are added. */
void buffer_reserve(struct buffer *buffer, size_t size_bytes);
/* Room for `size_bytes` more, to be filled by the caller and counted at once; NULL after a failure. */
uint8_t *buffer_extend(struct buffer *buffer, size_t size_bytes);
void buffer_add(struct buffer *buffer, const void *data, size_t size_bytes);
void buffer_add_bytes(struct buffer *buffer, struct bytes bytes);
void buffer_add_text(struct buffer *buffer, const char *text);
void buffer_add_byte(struct buffer *buffer, uint8_t byte);
__attribute__((format(printf, 2, 3))) void buffer_printf(struct buffer *buffer, const char *format, ...);

static inline struct bytes buffer_bytes(const struct buffer *buffer)
{
    return (struct bytes){buffer->data, buffer->size_bytes};
}

/* OK, or RESOURCE_EXHAUSTED when an allocation failed or the limit was passed. */
STATUS_MUST_CHECK struct status buffer_status(const struct buffer *buffer);
