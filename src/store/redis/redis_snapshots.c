/*
 * The snapshot store. Beside a key for each snapshot (redis_value.c) it keeps, each changed together by a script:
 *
 *   <prefix>:index:…              all members, sorted by bytes; a member is aggregate id ‖ 0x00 ‖ version, big-endian
 *   <prefix>:verified:…           those of VERIFIED ones
 *   <prefix>:type:…<type>         those of one aggregate type
 *   <prefix>:size:…               bytes of all values
 *   <prefix>:snapshot:…<member>   the value
 *
 * Ids hold no control characters, so members sort by id and then by version, and one id's members are a range.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "redis_internal.h"

#define LIST_PAGE    16
#define VERSION_SIZE 4U
#define MEMBER_BYTES (1 + ID_MAX_BYTES + 1 + VERSION_SIZE)

struct redis_snapshots {
    struct snapshot_store store; /* first: the engine is the store */
    struct redis *redis;
    struct buffer index; /* names of the keys; immutable after opening */
    struct buffer verified;
    struct buffer size;
    struct buffer types;  /* without the type */
    struct buffer values; /* without the member */
};

static struct redis_snapshots *of(struct snapshot_store *store)
{
    return (struct redis_snapshots *)store;
}

/* KEYS: index, verified, size, value. ARGV: member, beginning of a type's key, and to put: value, its type, "1" = VERIFIED. */
#define FORGET_TYPE                                                                                          \
    "local old = redis.call('GETRANGE', KEYS[4], 0, 260) "                                                   \
    "if #old > 6 then redis.call('ZREM', ARGV[2] .. string.sub(old, 7, 6 + string.byte(old, 6)), ARGV[1]) end "

/* The value first: a server that is full refuses there, and nothing has changed. */
static const char put_script[] = "local before = redis.call('STRLEN', KEYS[4]) "
                                 "local old = redis.call('GETRANGE', KEYS[4], 0, 260) "
                                 "redis.call('SET', KEYS[4], ARGV[3]) "
                                 "if #old > 6 then "
                                 "  local type = string.sub(old, 7, 6 + string.byte(old, 6)) "
                                 "  if type ~= ARGV[4] then redis.call('ZREM', ARGV[2] .. type, ARGV[1]) end "
                                 "end "
                                 "redis.call('INCRBY', KEYS[3], #ARGV[3] - before) "
                                 "redis.call('ZADD', KEYS[1], 0, ARGV[1]) "
                                 "redis.call('ZADD', ARGV[2] .. ARGV[4], 0, ARGV[1]) "
                                 "if ARGV[5] == '1' then redis.call('ZADD', KEYS[2], 0, ARGV[1]) "
                                 "else redis.call('ZREM', KEYS[2], ARGV[1]) end";

static const char remove_script[] =
    FORGET_TYPE "redis.call('DECRBY', KEYS[3], redis.call('STRLEN', KEYS[4])) "
                "redis.call('DEL', KEYS[4]) "
                "redis.call('ZREM', KEYS[1], ARGV[1]) "
                "redis.call('ZREM', KEYS[2], ARGV[1])";

/* The highest of a range whose value is there: a server that evicts may have taken one and left its member. */
static const char pick_script[] =
    "for at = 0, 15 do "
    "  local member = redis.call('ZREVRANGEBYLEX', KEYS[1], ARGV[2], ARGV[1], 'LIMIT', at, 1)[1] "
    "  if not member then return false end "
    "  local value = redis.call('GET', ARGV[3] .. member) "
    "  if value then return value end "
    "end "
    "return false";

/* Members and values in turn. */
static const char list_script[] =
    "local members = redis.call('ZRANGEBYLEX', KEYS[1], ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[4]) "
    "local page = {} "
    "for at = 1, #members do "
    "  page[2 * at - 1] = members[at] "
    "  page[2 * at] = redis.call('GET', ARGV[3] .. members[at]) "
    "end "
    "return page";

/* ---- names ---- */

struct member {
    uint8_t data[MEMBER_BYTES];
    size_t size_bytes;
};

/* `before`: "" for the member itself, "[" or "(" for an end of a range. */
static struct bytes member_of(struct member *to, const char *before, struct bytes id, int32_t version)
{
    const uint32_t sortable = (uint32_t)version ^ UINT32_C(0x80000000); /* negative ones first */
    uint8_t *at = to->data;
    assert(id.size_bytes <= ID_MAX_BYTES);
    memcpy(at, before, strlen(before));
    at += strlen(before);
    if (id.size_bytes > 0)
        memcpy(at, id.data, id.size_bytes);
    at += id.size_bytes;
    *at++ = 0;
    for (unsigned i = 0; i < VERSION_SIZE; i++)
        *at++ = (uint8_t)(sortable >> (24 - 8 * i));
    to->size_bytes = (size_t)(at - to->data);
    return bytes_of(to->data, to->size_bytes);
}

static struct status value_key(const struct redis_snapshots *snapshots, struct bytes member,
                               struct buffer *ret)
{
    *ret = buffer_make(0);
    buffer_add_bytes(ret, buffer_bytes(&snapshots->values));
    buffer_add_bytes(ret, member);
    return buffer_status(ret);
}

/* ---- put and remove ---- */

/* Runs a script over the keys of one snapshot. */
static struct status change(struct redis_snapshots *snapshots, const char *script, struct bytes id,
                            int32_t version, const struct bytes *more, size_t more_count)
{
    struct member member;
    const struct bytes name = member_of(&member, "", id, version);
    CLEANUP(buffer_done) struct buffer key;
    STATUS_TRY(value_key(snapshots, name, &key));
    struct bytes words[16] = {BYTES_LITERAL("EVAL"),
                              bytes_of_text(script),
                              BYTES_LITERAL("4"),
                              buffer_bytes(&snapshots->index),
                              buffer_bytes(&snapshots->verified),
                              buffer_bytes(&snapshots->size),
                              buffer_bytes(&key),
                              name,
                              buffer_bytes(&snapshots->types)};
    for (size_t i = 0; i < more_count; i++)
        words[9 + i] = more[i];
    CLEANUP(redis_reply_free_at) redisReply *reply = NULL;
    return redis_run_one(snapshots->redis, REDIS_WRITES, words, 9 + more_count, &reply);
}

static struct status snapshots_put(struct snapshot_store *store, const struct snapshot *snapshot)
{
    CLEANUP(buffer_done) struct buffer value = buffer_make(0);
    redis_value_write(&value, snapshot);
    STATUS_TRY(buffer_status(&value));
    const struct bytes more[] = {buffer_bytes(&value), snapshot->aggregate_type,
                                 snapshot->state == SNAPSHOT_VERIFIED ? BYTES_LITERAL("1")
                                                                      : BYTES_LITERAL("0")};
    return change(of(store), put_script, snapshot->aggregate_id, snapshot->version, more, ARRAY_COUNT(more));
}

static struct status snapshots_remove(struct snapshot_store *store, struct bytes aggregate_id,
                                      int32_t version)
{
    return change(of(store), remove_script, aggregate_id, version, NULL, 0);
}

/* ---- get ---- */

static struct status take_value(const redisReply *reply, struct bytes aggregate_id, struct arena *arena,
                                struct snapshot *ret, bool *ret_found)
{
    *ret_found = false;
    if (reply->type != REDIS_REPLY_STRING)
        return status_ok();
    STATUS_TRY(redis_value_read(redis_reply_bytes(reply), arena, ret));
    *ret_found = bytes_equal(ret->aggregate_id, aggregate_id);
    return status_ok();
}

static struct status get_exact(struct redis_snapshots *snapshots, struct bytes aggregate_id, int32_t version,
                               redisReply **ret)
{
    struct member member;
    CLEANUP(buffer_done) struct buffer key;
    STATUS_TRY(value_key(snapshots, member_of(&member, "", aggregate_id, version), &key));
    const struct bytes words[] = {BYTES_LITERAL("GET"), buffer_bytes(&key)};
    return redis_run_one(snapshots->redis, REDIS_READS, words, ARRAY_COUNT(words), ret);
}

static struct status get_highest(struct redis_snapshots *snapshots, const struct buffer *among,
                                 struct bytes aggregate_id, int32_t version, redisReply **ret)
{
    struct member least;
    struct member most;
    const struct bytes words[] = {BYTES_LITERAL("EVAL"),
                                  bytes_of_text(pick_script),
                                  BYTES_LITERAL("1"),
                                  buffer_bytes(among),
                                  member_of(&least, "[", aggregate_id, INT32_MIN),
                                  member_of(&most, "[", aggregate_id, version),
                                  buffer_bytes(&snapshots->values)};
    return redis_run_one(snapshots->redis, REDIS_READS, words, ARRAY_COUNT(words), ret);
}

static struct status snapshots_get(struct snapshot_store *store, struct bytes aggregate_id,
                                   enum snapshot_pick pick, int32_t version, struct arena *arena,
                                   struct snapshot *ret, bool *ret_found)
{
    struct redis_snapshots *snapshots = of(store);
    CLEANUP(redis_reply_free_at) redisReply *reply = NULL;
    *ret_found = false;
    if (aggregate_id.size_bytes > ID_MAX_BYTES)
        return status_ok(); /* nothing has such an id */
    if (pick == SNAPSHOT_PICK_EXACT)
        STATUS_TRY(get_exact(snapshots, aggregate_id, version, &reply));
    else
        STATUS_TRY(get_highest(snapshots,
                               pick == SNAPSHOT_PICK_BEST ? &snapshots->verified : &snapshots->index,
                               aggregate_id, version, &reply));
    return take_value(reply, aggregate_id, arena, ret, ret_found);
}

/* ---- list ---- */

struct listing {
    struct bytes aggregate_id; /* empty = all */
    struct bytes among;        /* the sorted set */
    struct bytes least;        /* ends of the range that is left */
    struct bytes most;
};

static struct status read_page(struct redis_snapshots *snapshots, const struct listing *listing,
                               redisReply **ret)
{
    char page[8];
    (void)snprintf(page, sizeof page, "%d", LIST_PAGE); /* fits */
    const struct bytes words[] = {BYTES_LITERAL("EVAL"),
                                  bytes_of_text(list_script),
                                  BYTES_LITERAL("1"),
                                  listing->among,
                                  listing->least,
                                  listing->most,
                                  buffer_bytes(&snapshots->values),
                                  bytes_of_text(page)};
    STATUS_TRY(redis_run_one(snapshots->redis, REDIS_READS, words, ARRAY_COUNT(words), ret));
    return status_ok();
}

/* Hands on what a page holds; *ret_more false = that was all that is wanted. */
static struct status show_page(const redisReply *page, struct bytes type, struct arena *arena,
                               snapshot_sink sink, void *context, bool *ret_more)
{
    *ret_more = page->elements == 2 * LIST_PAGE;
    for (size_t i = 1; i < page->elements; i += 2) {
        struct snapshot snapshot;
        if (page->element[i]->type != REDIS_REPLY_STRING)
            continue; /* was evicted, or removed by another program */
        STATUS_TRY(redis_value_read(redis_reply_bytes(page->element[i]), arena, &snapshot));
        if (type.size_bytes > 0 && !bytes_equal(snapshot.aggregate_type, type))
            continue;
        if (!sink(context, &snapshot)) {
            *ret_more = false;
            return status_ok();
        }
    }
    return status_ok();
}

static struct status list_all(struct redis_snapshots *snapshots, struct listing *listing, struct bytes type,
                              snapshot_sink sink, void *context)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct buffer least = buffer_make(0);
    struct status status = arena == NULL ? redis_no_memory() : status_ok();
    for (bool more = true; more && status.code == STATUS_OK;) {
        redisReply *page = NULL;
        arena_reset(arena);
        status = read_page(snapshots, listing, &page);
        if (status.code != STATUS_OK)
            break;
        status = show_page(page, type, arena, sink, context, &more);
        if (page->elements > 0) {
            buffer_clear(&least);
            buffer_add_byte(&least, '(');
            buffer_add_bytes(&least, redis_reply_bytes(page->element[page->elements - 2]));
            listing->least = buffer_bytes(&least);
        }
        freeReplyObject(page);
        if (status.code == STATUS_OK)
            status = buffer_status(&least);
    }
    buffer_done(&least);
    return status;
}

static struct status snapshots_list(struct snapshot_store *store, struct bytes aggregate_id,
                                    struct bytes aggregate_type, struct bytes after_id, int32_t after_version,
                                    snapshot_sink sink, void *context)
{
    struct redis_snapshots *snapshots = of(store);
    struct member first;
    struct member after;
    struct member last;
    struct listing listing = {aggregate_id, BYTES_NONE, BYTES_LITERAL("-"), BYTES_LITERAL("+")};
    if (aggregate_id.size_bytes > ID_MAX_BYTES || after_id.size_bytes > ID_MAX_BYTES)
        return status_ok();
    if (aggregate_id.size_bytes > 0) {
        listing.least = member_of(&first, "[", aggregate_id, INT32_MIN);
        listing.most = member_of(&last, "[", aggregate_id, INT32_MAX);
    }
    if (after_id.size_bytes > 0) {
        const struct bytes behind = member_of(&after, "(", after_id, after_version);
        const bool further = aggregate_id.size_bytes == 0 || bytes_compare(after_id, aggregate_id) >= 0;
        listing.least = further ? behind : listing.least;
    }
    CLEANUP(buffer_done) struct buffer among = buffer_make(0);
    buffer_add_bytes(&among,
                     buffer_bytes(aggregate_type.size_bytes > 0 ? &snapshots->types : &snapshots->index));
    buffer_add_bytes(&among, aggregate_type);
    STATUS_TRY(buffer_status(&among));
    listing.among = buffer_bytes(&among);
    return list_all(snapshots, &listing, aggregate_type, sink, context);
}

/* ---- counts ---- */

static struct status snapshots_stats(struct snapshot_store *store, struct snapshot_store_stats *ret)
{
    struct redis_snapshots *snapshots = of(store);
    const struct bytes count[] = {BYTES_LITERAL("ZCARD"), buffer_bytes(&snapshots->index)};
    const struct bytes size[] = {BYTES_LITERAL("GET"), buffer_bytes(&snapshots->size)};
    const struct redis_command commands[] = {{count, 2}, {size, 2}};
    redisReply *replies[2];
    STATUS_TRY(redis_run(snapshots->redis, REDIS_READS, commands, 2, replies));
    *ret = (struct snapshot_store_stats){
        .engine = "redis",
        .snapshot_count = replies[0]->type == REDIS_REPLY_INTEGER ? replies[0]->integer : 0,
        .size_bytes = replies[1]->type == REDIS_REPLY_STRING ? strtoll(replies[1]->str, NULL, 10) : 0,
    };
    freeReplyObject(replies[0]);
    freeReplyObject(replies[1]);
    return redis_health(snapshots->redis);
}

/* ---- open and close ---- */

static void snapshots_close(struct snapshot_store *store)
{
    struct redis_snapshots *snapshots = of(store);
    redis_free(snapshots->redis);
    buffer_done(&snapshots->index);
    buffer_done(&snapshots->verified);
    buffer_done(&snapshots->size);
    buffer_done(&snapshots->types);
    buffer_done(&snapshots->values);
    free(snapshots);
}

static const struct snapshot_store_ops snapshots_ops = {
    .put = snapshots_put,
    .get = snapshots_get,
    .list = snapshots_list,
    .remove = snapshots_remove,
    .stats = snapshots_stats,
    .close = snapshots_close,
};

static struct status name_keys(struct redis_snapshots *snapshots)
{
    const struct redis *redis = snapshots->redis;
    STATUS_TRY(redis_key(redis, "index", BYTES_NONE, &snapshots->index));
    STATUS_TRY(redis_key(redis, "verified", BYTES_NONE, &snapshots->verified));
    STATUS_TRY(redis_key(redis, "size", BYTES_NONE, &snapshots->size));
    STATUS_TRY(redis_key(redis, "type", BYTES_NONE, &snapshots->types));
    return redis_key(redis, "snapshot", BYTES_NONE, &snapshots->values);
}

struct status redis_snapshots_open(const struct redis_options *options, const struct clock *clock,
                                   struct log *log, struct snapshot_store **ret)
{
    struct redis_snapshots *snapshots = calloc(1, sizeof *snapshots);
    if (snapshots == NULL)
        return redis_no_memory();
    snapshots->store.ops = &snapshots_ops;
    struct status status = redis_new(options, "snapshots", clock, log, &snapshots->redis);
    if (status.code == STATUS_OK)
        status = name_keys(snapshots);
    if (status.code != STATUS_OK) {
        snapshots_close(&snapshots->store);
        return status;
    }
    redis_try(snapshots->redis);
    *ret = &snapshots->store;
    return status_ok();
}
