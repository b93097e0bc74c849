#include "mysql_known_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define KNOWN_MOST       ((size_t)65536)
#define KNOWN_MOST_BYTES ((size_t)16 * 1024 * 1024)
#define KNOWN_FOR_US     INT64_C(1000000)

void mysql_known_init(struct mysql_known *known, uint64_t seed)
{
    *known = (struct mysql_known){.by_id = hash_table_make(seed)};
}

void mysql_known_done(struct mysql_known *known)
{
    arena_free(known->arena);
    hash_table_done(&known->by_id);
    free(known->heads);
}

void mysql_known_forget(struct mysql_known *known)
{
    if (known->count > 0) {
        arena_reset(known->arena);
        hash_table_clear(&known->by_id);
    }
    known->count = 0;
    known->position = 0;
}

void mysql_known_tidy(struct mysql_known *known, int64_t now_us)
{
    const bool too_much =
        known->count > KNOWN_MOST || (known->count > 0 && arena_used_bytes(known->arena) > KNOWN_MOST_BYTES);
    if (too_much || known->position == 0 || now_us - known->stood_at_us > KNOWN_FOR_US)
        mysql_known_forget(known);
}

struct known_head *mysql_known_find(const struct mysql_known *known, struct bytes id)
{
    if (known->count == 0)
        return NULL;
    const uint64_t hash = hash_table_hash(&known->by_id, id);
    size_t state = 0;
    uint32_t at = 0;
    while ((at = hash_table_next(&known->by_id, hash, &state)) != HASH_NONE)
        if (bytes_equal(known->heads[at].id, id))
            return &known->heads[at];
    return NULL;
}

static bool make_room(struct mysql_known *known)
{
    if (known->arena == NULL && (known->arena = arena_new(0)) == NULL)
        return false;
    if (known->count < known->capacity)
        return true;
    const size_t capacity = known->capacity == 0 ? 256 : known->capacity * 2;
    struct known_head *grown = realloc(known->heads, capacity * sizeof *grown);
    if (grown == NULL)
        return false;
    known->heads = grown;
    known->capacity = capacity;
    return true;
}

bool mysql_known_put(struct mysql_known *known, struct bytes id, struct bytes type, int32_t version)
{
    struct known_head *head = mysql_known_find(known, id);
    if (head != NULL) {
        head->version = version;
        return true;
    }
    if (!make_room(known))
        return false;
    const struct known_head added = {arena_bytes(known->arena, id), arena_bytes(known->arena, type), version};
    if (added.id.data == NULL || added.type.data == NULL ||
        !hash_table_add(&known->by_id, hash_table_hash(&known->by_id, id), (uint32_t)known->count))
        return false;
    known->heads[known->count++] = added;
    return true;
}

void mysql_known_stand(struct mysql_known *known, int64_t position, struct bytes record, int64_t now_us)
{
    assert(record.size_bytes >= KNOWN_TAIL_BYTES);
    known->position = position;
    memcpy(known->tail, record.data + record.size_bytes - KNOWN_TAIL_BYTES, KNOWN_TAIL_BYTES);
    known->stood_at_us = now_us;
}

bool mysql_known_is_tail(const struct mysql_known *known, struct bytes tail)
{
    return bytes_equal(tail, bytes_of(known->tail, KNOWN_TAIL_BYTES));
}
