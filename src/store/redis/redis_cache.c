/*
 * The cache: a key for each aggregate, which the server itself ends when its time is over, and beside them
 *
 *   <prefix>:cached-at:…      ids, sorted by when they were put: those that go first when there are too many
 *   <prefix>:cached-names:…   ids, sorted by bytes, for lists
 *
 * A state is asked for by one GET; a server in trouble is as good as an empty one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "redis_internal.h"

#define LIST_PAGE 16

struct redis_cache {
    struct snapshot_store store; /* first: the engine is the store */
    struct redis *redis;
    struct redis_cache_bounds bounds;
    struct buffer times; /* names of the keys; immutable after opening */
    struct buffer names;
    struct buffer values; /* without the id */
};

static struct redis_cache *of(struct snapshot_store *store)
{
    return (struct redis_cache *)store;
}

/*
 * KEYS: value, times, names. ARGV: id, value, beginning of a value's key, now, ttl, most entries. Ends up to 64 that are
 * over or too many, so that no put takes long.
 */
static const char put_script[] =
    "local ttl = tonumber(ARGV[5]) "
    "if ttl > 0 then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[5]) "
    "else redis.call('SET', KEYS[1], ARGV[2]) end "
    "redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1]) "
    "redis.call('ZADD', KEYS[3], 0, ARGV[1]) "
    "local gone = {} "
    "if ttl > 0 then gone = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[4] - ttl, 'LIMIT', 0, 64) end "
    "local many = math.min(redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[6]), 64) "
    "if many > #gone then gone = redis.call('ZRANGE', KEYS[2], 0, many - 1) end "
    "for at = 1, #gone do "
    "  redis.call('UNLINK', ARGV[3] .. gone[at]) "
    "  redis.call('ZREM', KEYS[2], gone[at]) "
    "  redis.call('ZREM', KEYS[3], gone[at]) "
    "end";

/* ARGV: id, version as in the value. Another version stays: it was put meanwhile. */
static const char remove_script[] = "if redis.call('GETRANGE', KEYS[1], 1, 4) == ARGV[2] then "
                                    "  redis.call('UNLINK', KEYS[1]) "
                                    "  redis.call('ZREM', KEYS[2], ARGV[1]) "
                                    "  redis.call('ZREM', KEYS[3], ARGV[1]) "
                                    "end";

static const char list_script[] =
    "local ids = redis.call('ZRANGEBYLEX', KEYS[1], ARGV[1], '+', 'LIMIT', 0, ARGV[3]) "
    "local page = {} "
    "for at = 1, #ids do "
    "  page[2 * at - 1] = ids[at] "
    "  page[2 * at] = redis.call('GET', ARGV[2] .. ids[at]) "
    "end "
    "return page";

static struct status value_key(const struct redis_cache *cache, struct bytes id, struct buffer *ret)
{
    *ret = buffer_make(0);
    buffer_add_bytes(ret, buffer_bytes(&cache->values));
    buffer_add_bytes(ret, id);
    return buffer_status(ret);
}

/* ---- put, get, remove: whatever fails costs speed alone ---- */

static struct status put(struct redis_cache *cache, const struct snapshot *snapshot)
{
    char now[24];
    char ttl[24];
    char most[24];
    (void)snprintf(now, sizeof now, "%" PRId64, clock_now_us(cache->redis->clock) / 1000); /* these fit */
    (void)snprintf(ttl, sizeof ttl, "%" PRId64, cache->bounds.ttl_ms);
    (void)snprintf(most, sizeof most, "%" PRId64, cache->bounds.entries_max);
    CLEANUP(buffer_done) struct buffer value = buffer_make(0);
    CLEANUP(buffer_done) struct buffer key = buffer_make(0);
    redis_value_write(&value, snapshot);
    STATUS_TRY(buffer_status(&value));
    STATUS_TRY(value_key(cache, snapshot->aggregate_id, &key));
    const struct bytes words[] = {
        BYTES_LITERAL("EVAL"),  bytes_of_text(put_script),   BYTES_LITERAL("3"),
        buffer_bytes(&key),     buffer_bytes(&cache->times), buffer_bytes(&cache->names),
        snapshot->aggregate_id, buffer_bytes(&value),        buffer_bytes(&cache->values),
        bytes_of_text(now),     bytes_of_text(ttl),          bytes_of_text(most)};
    CLEANUP(redis_reply_free_at) redisReply *reply = NULL;
    return redis_run_one(cache->redis, REDIS_WRITES, words, ARRAY_COUNT(words), &reply);
}

static struct status cache_put(struct snapshot_store *store, const struct snapshot *snapshot)
{
    const struct status status = put(of(store), snapshot);
    (void)status; /* the breaker has told the log, and stats tell of it */
    return status_ok();
}

static struct status cache_get(struct snapshot_store *store, struct bytes aggregate_id,
                               enum snapshot_pick pick, int32_t version, struct arena *arena,
                               struct snapshot *ret, bool *ret_found)
{
    struct redis_cache *cache = of(store);
    CLEANUP(buffer_done) struct buffer key = buffer_make(0);
    CLEANUP(redis_reply_free_at) redisReply *reply = NULL;
    *ret_found = false;
    STATUS_TRY(value_key(cache, aggregate_id, &key));
    const struct bytes words[] = {BYTES_LITERAL("GET"), buffer_bytes(&key)};
    struct status status = redis_run_one(cache->redis, REDIS_READS, words, ARRAY_COUNT(words), &reply);
    if (status.code != STATUS_OK || reply->type != REDIS_REPLY_STRING)
        return status_ok();
    status = redis_value_read(redis_reply_bytes(reply), arena, ret);
    *ret_found = status.code == STATUS_OK && bytes_equal(ret->aggregate_id, aggregate_id) &&
                 (pick == SNAPSHOT_PICK_EXACT ? ret->version == version : ret->version <= version) &&
                 (pick != SNAPSHOT_PICK_BEST || ret->state == SNAPSHOT_VERIFIED);
    return status_ok();
}

static struct status remove_one(struct redis_cache *cache, struct bytes aggregate_id, int32_t version)
{
    const uint32_t bits = (uint32_t)version;
    const uint8_t little[] = {(uint8_t)bits, (uint8_t)(bits >> 8), (uint8_t)(bits >> 16),
                              (uint8_t)(bits >> 24)};
    CLEANUP(buffer_done) struct buffer key = buffer_make(0);
    STATUS_TRY(value_key(cache, aggregate_id, &key));
    const struct bytes words[] = {
        BYTES_LITERAL("EVAL"), bytes_of_text(remove_script),   BYTES_LITERAL("3"),
        buffer_bytes(&key),    buffer_bytes(&cache->times),    buffer_bytes(&cache->names),
        aggregate_id,          bytes_of(little, sizeof little)};
    CLEANUP(redis_reply_free_at) redisReply *reply = NULL;
    return redis_run_one(cache->redis, REDIS_WRITES, words, ARRAY_COUNT(words), &reply);
}

static struct status cache_remove(struct snapshot_store *store, struct bytes aggregate_id, int32_t version)
{
    const struct status status = remove_one(of(store), aggregate_id, version);
    (void)status; /* as for put; a state of another history is refuted again */
    return status_ok();
}

/* ---- list and counts: these say what fails ---- */

static struct status read_page(struct redis_cache *cache, struct bytes least, redisReply **ret)
{
    char page[8];
    (void)snprintf(page, sizeof page, "%d", LIST_PAGE); /* fits */
    const struct bytes words[] = {BYTES_LITERAL("EVAL"),
                                  bytes_of_text(list_script),
                                  BYTES_LITERAL("1"),
                                  buffer_bytes(&cache->names),
                                  least,
                                  buffer_bytes(&cache->values),
                                  bytes_of_text(page)};
    STATUS_TRY(redis_run_one(cache->redis, REDIS_READS, words, ARRAY_COUNT(words), ret));
    return status_ok();
}

struct wanted {
    struct bytes aggregate_id; /* empty = all */
    struct bytes aggregate_type;
    struct bytes after_id;
    int32_t after_version;
    snapshot_sink sink;
    void *context;
};

static bool is_wanted(const struct wanted *wanted, const struct snapshot *snapshot)
{
    const int order =
        wanted->after_id.size_bytes == 0 ? 1 : bytes_compare(snapshot->aggregate_id, wanted->after_id);
    return (wanted->aggregate_id.size_bytes == 0 ||
            bytes_equal(snapshot->aggregate_id, wanted->aggregate_id)) &&
           (wanted->aggregate_type.size_bytes == 0 ||
            bytes_equal(snapshot->aggregate_type, wanted->aggregate_type)) &&
           (order > 0 || (order == 0 && snapshot->version > wanted->after_version));
}

static bool show_page(const redisReply *page, const struct wanted *wanted, struct arena *arena)
{
    for (size_t i = 1; i < page->elements; i += 2) {
        struct snapshot snapshot;
        if (page->element[i]->type != REDIS_REPLY_STRING)
            continue; /* its time is over */
        const struct status status = redis_value_read(redis_reply_bytes(page->element[i]), arena, &snapshot);
        if (status.code == STATUS_OK && is_wanted(wanted, &snapshot) &&
            !wanted->sink(wanted->context, &snapshot))
            return false;
    }
    return page->elements == 2 * LIST_PAGE;
}

static struct status list_all(struct redis_cache *cache, const struct wanted *wanted, struct arena *arena,
                              struct buffer *least)
{
    for (bool more = true; more;) {
        redisReply *page = NULL;
        arena_reset(arena);
        STATUS_TRY(buffer_status(least));
        STATUS_TRY(read_page(cache, buffer_bytes(least), &page));
        more = show_page(page, wanted, arena);
        if (more) {
            buffer_clear(least);
            buffer_add_byte(least, '(');
            buffer_add_bytes(least, redis_reply_bytes(page->element[page->elements - 2]));
        }
        freeReplyObject(page);
    }
    return status_ok();
}

static struct status cache_list(struct snapshot_store *store, struct bytes aggregate_id,
                                struct bytes aggregate_type, struct bytes after_id, int32_t after_version,
                                snapshot_sink sink, void *context)
{
    const struct wanted wanted = {aggregate_id, aggregate_type, after_id, after_version, sink, context};
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    CLEANUP(buffer_done) struct buffer least = buffer_make(0);
    if (arena == NULL)
        return redis_no_memory();
    buffer_add_text(&least, after_id.size_bytes > 0 ? "[" : "-");
    buffer_add_bytes(&least, after_id);
    return list_all(of(store), &wanted, arena, &least);
}

static struct status cache_stats(struct snapshot_store *store, struct snapshot_store_stats *ret)
{
    struct redis_cache *cache = of(store);
    const struct bytes words[] = {BYTES_LITERAL("ZCARD"), buffer_bytes(&cache->times)};
    CLEANUP(redis_reply_free_at) redisReply *reply = NULL;
    STATUS_TRY(redis_run_one(cache->redis, REDIS_READS, words, ARRAY_COUNT(words), &reply));
    *ret = (struct snapshot_store_stats){
        .engine = "redis",
        .snapshot_count = reply->type == REDIS_REPLY_INTEGER ? reply->integer : 0,
    };
    return redis_health(cache->redis);
}

/* ---- open and close ---- */

static void cache_close(struct snapshot_store *store)
{
    struct redis_cache *cache = of(store);
    redis_free(cache->redis);
    buffer_done(&cache->times);
    buffer_done(&cache->names);
    buffer_done(&cache->values);
    free(cache);
}

static const struct snapshot_store_ops cache_ops = {
    .put = cache_put,
    .get = cache_get,
    .list = cache_list,
    .remove = cache_remove,
    .stats = cache_stats,
    .close = cache_close,
};

struct status redis_cache_open(const struct redis_options *options, const struct redis_cache_bounds *bounds,
                               const struct clock *clock, struct log *log, struct snapshot_store **ret)
{
    struct redis_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL)
        return redis_no_memory();
    cache->store.ops = &cache_ops;
    cache->bounds = *bounds;
    struct status status = redis_new(options, "cache", clock, log, &cache->redis);
    if (status.code == STATUS_OK)
        status = redis_key(cache->redis, "cached-at", BYTES_NONE, &cache->times);
    if (status.code == STATUS_OK)
        status = redis_key(cache->redis, "cached-names", BYTES_NONE, &cache->names);
    if (status.code == STATUS_OK)
        status = redis_key(cache->redis, "cached", BYTES_NONE, &cache->values);
    if (status.code != STATUS_OK) {
        cache_close(&cache->store);
        return status;
    }
    redis_try(cache->redis);
    *ret = &cache->store;
    return status_ok();
}
