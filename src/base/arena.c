#include "base/arena.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_ALIGN       16U
#define ARENA_FIRST_BYTES 4096U
#define ARENA_SMALL_BYTES 400U
#define ARENA_BLOCK_MAX   ((size_t)256 * 1024)

struct block {
    struct block *next;
    size_t capacity_bytes;
    _Alignas(ARENA_ALIGN) uint8_t data[];
};

struct arena {
    struct block *blocks; /* newest first; the last one is the first block, kept by arena_reset */
    size_t offset_bytes;  /* into the newest block */
    size_t used_bytes;
    size_t budget_bytes;
};

static struct block *block_new(size_t capacity_bytes)
{
    struct block *block = malloc(sizeof *block + capacity_bytes);
    if (block != NULL) {
        block->next = NULL;
        block->capacity_bytes = capacity_bytes;
    }
    return block;
}

static struct arena *arena_make(size_t budget_bytes, size_t first_bytes)
{
    struct arena *arena = calloc(1, sizeof *arena);
    if (arena == NULL)
        return NULL;
    arena->budget_bytes = budget_bytes;
    arena->blocks = block_new(first_bytes);
    if (arena->blocks == NULL) {
        free(arena);
        return NULL;
    }
    return arena;
}

struct arena *arena_new(size_t budget_bytes)
{
    return arena_make(budget_bytes, ARENA_FIRST_BYTES);
}

struct arena *arena_new_small(size_t budget_bytes)
{
    return arena_make(budget_bytes, ARENA_SMALL_BYTES);
}

void arena_free(struct arena *arena)
{
    if (arena == NULL)
        return;
    for (struct block *block = arena->blocks; block != NULL;) {
        struct block *next = block->next;
        free(block);
        block = next;
    }
    free(arena);
}

void arena_reset(struct arena *arena)
{
    while (arena->blocks->next != NULL) {
        struct block *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
    arena->offset_bytes = 0;
    arena->used_bytes = 0;
}

static bool arena_add_block(struct arena *arena, size_t size_bytes)
{
    size_t capacity = arena->blocks->capacity_bytes * 2;
    if (capacity > ARENA_BLOCK_MAX)
        capacity = ARENA_BLOCK_MAX;
    if (capacity < size_bytes)
        capacity = size_bytes;
    struct block *block = block_new(capacity);
    if (block == NULL)
        return false;
    block->next = arena->blocks;
    arena->blocks = block;
    arena->offset_bytes = 0;
    return true;
}

void *arena_alloc(struct arena *arena, size_t size_bytes)
{
    if (size_bytes > SIZE_MAX / 2)
        return NULL;
    const size_t rounded =
        size_bytes == 0 ? ARENA_ALIGN : (size_bytes + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    if (arena->budget_bytes != 0 && rounded > arena->budget_bytes - arena->used_bytes)
        return NULL;
    if (rounded > arena->blocks->capacity_bytes - arena->offset_bytes && !arena_add_block(arena, rounded))
        return NULL;
    void *memory = arena->blocks->data + arena->offset_bytes;
    arena->offset_bytes += rounded;
    arena->used_bytes += rounded;
    assert(arena->offset_bytes <= arena->blocks->capacity_bytes);
    return memory;
}

void *arena_zalloc(struct arena *arena, size_t size_bytes)
{
    void *memory = arena_alloc(arena, size_bytes);
    if (memory != NULL)
        memset(memory, 0, size_bytes);
    return memory;
}

void *arena_array(struct arena *arena, size_t count, size_t item_bytes)
{
    size_t size_bytes = 0;
    if (__builtin_mul_overflow(count, item_bytes, &size_bytes))
        return NULL;
    return arena_zalloc(arena, size_bytes);
}

char *arena_text(struct arena *arena, struct bytes bytes)
{
    char *text = arena_alloc(arena, bytes.size_bytes + 1);
    if (text == NULL)
        return NULL;
    if (bytes.size_bytes > 0)
        memcpy(text, bytes.data, bytes.size_bytes);
    text[bytes.size_bytes] = '\0';
    return text;
}

struct bytes arena_bytes(struct arena *arena, struct bytes bytes)
{
    return (struct bytes){(const uint8_t *)arena_text(arena, bytes), bytes.size_bytes};
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    va_list again;
    va_copy(again, arguments);
    const int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    assert(length >= 0);
    char *text = arena_alloc(arena, (size_t)length + 1);
    if (text != NULL)
        (void)vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}

size_t arena_used_bytes(const struct arena *arena)
{
    return arena->used_bytes;
}
