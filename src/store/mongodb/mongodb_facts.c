/*
 * What a batch is decided on: all as of one head, asked for at the same time.
 *
 * Documents never change. So the state at the head H is what is stored up to S, where this process has looked last, and
 * the appends behind S up to H, whatever is written meanwhile. Three kinds of questions go out together: the appends from
 * S on (they say what H is), the newest append up to S of each named aggregate whose head is not known, and the appends
 * that hold a named id. An append behind H makes the commit fail, since its _id is taken.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mongodb_internal.h"
#include "store/append.h"

/* More appends than this behind the last look are not followed: all heads are forgotten. */
#define FOLLOWED_MOST 256
#define LOOKS_MOST    5

static const char *const append_fields[] = {"n", "ts", "chain", "aggregates", "agg"};
static const char *const earlier_fields[] = {"last", "ids", "recs", "hb"};

/* ---- the head ---- */

struct status mongodb_head_of(const bson_t *append, struct store_head *ret)
{
    const struct bytes chain = get_bytes(append, "chain");
    const int64_t first = get_int(append, "_id");
    *ret = (struct store_head){
        .position = first + get_int(append, "n") - 1,
        .timestamp_us = get_int(append, "ts"),
        .aggregate_count = get_int(append, "aggregates"),
    };
    if (chain.size_bytes != sizeof ret->chain || ret->position < first)
        return status_reason(REASON_DAMAGED,
                             "the append at position %" PRId64 " has a chain of %zu bytes and %" PRId64
                             " events",
                             first, chain.size_bytes, get_int(append, "n"));
    memcpy(&ret->chain, chain.data, sizeof ret->chain);
    return status_ok();
}

void mongodb_newest(struct mongodb_find *find, int64_t known_head)
{
    mongodb_find_init(find, "appends");
    if (known_head > 0)
        put_bound(&find->filter, "last", "$gte", known_head);
    mongodb_find_options(find, "last", -1, 1, append_fields, 4);
}

/* The first look, and after more was written than is followed. */
static struct status look_at_newest(struct mongodb_store *store)
{
    struct mongodb_find find;
    struct store_head head = {0};
    mongodb_newest(&find, 0);
    mongodb_find_run(store, store->writer, &find);
    struct status status = find.status;
    if (status.code == STATUS_OK && find.count > 0)
        status = mongodb_head_of(find.documents[0], &head);
    mongodb_cache_forget(&store->cache);
    store->cache.known = status.code == STATUS_OK;
    store->cache.head = head;
    store->cache.newest = find.count > 0 ? get_int(find.documents[0], "_id") : 0;
    mongodb_find_done(&find);
    return status;
}

/* ---- the questions of one batch ---- */

struct asking {
    struct mongodb_store *store;
    const struct facts_request *request;
    struct arena *arena;
    struct facts *facts;
    struct hash_table ids; /* names to their place in the request */
    struct mongodb_find behind;
    struct mongodb_find earlier;
    int64_t earlier_after; /* only appends behind this _id */
};

static void ask_behind(struct asking *asking)
{
    mongodb_find_init(&asking->behind, "appends");
    put_bound(&asking->behind.filter, "last", "$gte", asking->store->cache.head.position);
    mongodb_find_options(&asking->behind, "last", 1, FOLLOWED_MOST + 1, append_fields,
                         sizeof append_fields / sizeof *append_fields);
}

static void ask_earlier(struct asking *asking)
{
    bson_t named;
    bson_t list;
    char place[16];
    mongodb_find_init(&asking->earlier, "appends");
    (void)bson_append_document_begin(&asking->earlier.filter, "ids", -1, &named);
    (void)bson_append_array_begin(&named, "$in", -1, &list);
    for (size_t i = 0; i < asking->request->event_id_count; i++) {
        (void)snprintf(place, sizeof place, "%" PRIu32, (uint32_t)i);
        put_text(&list, place, asking->request->event_ids[i]);
    }
    (void)bson_append_array_end(&named, &list);
    (void)bson_append_document_end(&asking->earlier.filter, &named);
    if (asking->earlier_after > 0)
        put_bound(&asking->earlier.filter, "_id", "$gt", asking->earlier_after);
    mongodb_find_options(&asking->earlier, NULL, 0, 0, earlier_fields,
                         sizeof earlier_fields / sizeof *earlier_fields);
}

static void ask_head(struct mongodb_find *find, struct bytes id, int64_t up_to)
{
    mongodb_ask_aggregate(find, id);
    put_bound(&find->filter, "last", "$lte", up_to);
}

/* ---- heads that are not known ---- */

/* The questions about them, one each; `names` are theirs. */
struct unknown {
    struct mongodb_find *finds;
    struct bytes *names;
    size_t count;
};

static struct status list_unknown(struct mongodb_store *store, const struct bytes *ids, size_t count,
                                  struct unknown *ret)
{
    *ret = (struct unknown){.finds = calloc(count + 1, sizeof *ret->finds),
                            .names = calloc(count + 1, sizeof *ret->names)};
    if (ret->finds == NULL || ret->names == NULL)
        return mongodb_no_memory();
    for (size_t i = 0; i < count; i++)
        if (mongodb_cache_find(&store->cache, ids[i]) == NULL) {
            ask_head(&ret->finds[ret->count], ids[i], store->cache.head.position);
            ret->names[ret->count++] = ids[i];
        }
    return status_ok();
}

static void unknown_done(struct unknown *unknown)
{
    for (size_t i = 0; i < unknown->count; i++)
        mongodb_find_done(&unknown->finds[i]);
    free(unknown->finds);
    free(unknown->names);
}

static struct status take_unknown(struct mongodb_cache *cache, struct bytes name,
                                  const struct mongodb_find *find)
{
    bson_iter_t entry;
    STATUS_TRY(find->status);
    if (mongodb_cache_enter(cache, name) == NULL)
        return mongodb_no_memory();
    if (find->count > 0 && get_array(find->documents[0], "agg", &entry))
        while (bson_iter_next(&entry))
            if (bytes_equal(iter_member_bytes(&entry, "a"), name) && !mongodb_cache_take(cache, &entry))
                return mongodb_no_memory();
    return status_ok();
}

/* Runs `others` too. */
static struct status run_unknown(struct mongodb_store *store, struct unknown *unknown,
                                 struct mongodb_find **others, size_t other_count)
{
    struct mongodb_find **all = calloc(unknown->count + other_count + 1, sizeof(*all));
    if (all == NULL)
        return mongodb_no_memory();
    size_t count = 0;
    for (size_t i = 0; i < other_count; i++)
        all[count++] = others[i];
    for (size_t i = 0; store->cache.newest > 0 && i < unknown->count; i++) /* else there is none */
        all[count++] = &unknown->finds[i];
    mongodb_crew_run(&store->crew, &store->writer, all, count);
    free(all);
    struct status status = status_ok();
    for (size_t i = 0; status.code == STATUS_OK && i < other_count; i++)
        status = others[i]->status;
    for (size_t i = 0; status.code == STATUS_OK && i < unknown->count; i++)
        status = take_unknown(&store->cache, unknown->names[i], &unknown->finds[i]);
    return status;
}

struct status mongodb_learn_heads(struct mongodb_store *store, const struct bytes *ids, size_t count)
{
    struct unknown unknown;
    struct status status = list_unknown(store, ids, count, &unknown);
    if (status.code == STATUS_OK && unknown.count > 0)
        status = run_unknown(store, &unknown, NULL, 0);
    unknown_done(&unknown);
    return status;
}

/* ---- the appends behind the last look ---- */

/* What was seen once is there for ever, unless the database was set back: nothing may be written behind a gap. */
static struct status check_seen(const struct mongodb_cache *cache, const struct mongodb_find *behind)
{
    struct store_head head = {0};
    if (cache->newest == 0)
        return status_ok();
    if (behind->count > 0 && get_int(behind->documents[0], "_id") == cache->newest)
        STATUS_TRY(mongodb_head_of(behind->documents[0], &head));
    if (memcmp(&head.chain, &cache->head.chain, sizeof head.chain) == 0)
        return status_ok();
    return status_reason(
        REASON_POSITION_MISSING,
        "the append at position %" PRId64
        ", which this service has seen stored, is gone or another: the database was set back; "
        "restore it, or start the service again to go on with what is there",
        cache->newest);
}

static struct status follow(struct mongodb_cache *cache, const struct mongodb_find *behind)
{
    STATUS_TRY(check_seen(cache, behind));
    for (size_t i = cache->newest == 0 ? 0 : 1; i < behind->count; i++)
        STATUS_TRY(mongodb_cache_follow(cache, behind->documents[i]));
    return status_ok();
}

/* ---- named ids ---- */

static uint32_t place_of(const struct asking *asking, struct bytes id)
{
    const uint64_t hash = hash_table_hash(&asking->ids, id);
    size_t state = 0;
    uint32_t at = 0;
    while ((at = hash_table_next(&asking->ids, hash, &state)) != HASH_NONE)
        if (bytes_equal(asking->request->event_ids[at], id))
            return at;
    return HASH_NONE;
}

static struct status enter_ids(struct asking *asking)
{
    const struct facts_request *request = asking->request;
    if (!hash_table_reserve(&asking->ids, request->event_id_count))
        return mongodb_no_memory();
    for (size_t i = 0; i < request->event_id_count; i++)
        if (!hash_table_add(&asking->ids, hash_table_hash(&asking->ids, request->event_ids[i]), (uint32_t)i))
            return mongodb_no_memory();
    return status_ok();
}

static struct status copy_records(struct arena *arena, const bson_t *append, struct earlier_append *ret)
{
    const int64_t events = get_int(append, "last") - get_int(append, "_id") + 1;
    const size_t room = events > 0 && events <= (int64_t)APPEND_EVENTS_MAX ? (size_t)events : 0;
    struct record *records = arena_array(arena, room + 1, sizeof *records);
    if (records == NULL)
        return mongodb_no_memory();
    STATUS_TRY(mongodb_records(append, records, room, &ret->count));
    for (size_t i = 0; i < ret->count; i++) {
        records[i].bytes = arena_bytes(arena, records[i].bytes);
        if (records[i].bytes.data == NULL)
            return mongodb_no_memory();
    }
    ret->records = records;
    return status_ok();
}

/* What is wrong with one earlier append refuses who named it, nobody else. */
static struct status take_earlier(struct asking *asking, const bson_t *append)
{
    struct earlier_append earlier = {0};
    bson_iter_t id;
    const struct status wrong = copy_records(asking->arena, append, &earlier);
    if (wrong.code == STATUS_RESOURCE_EXHAUSTED)
        return wrong;
    if (wrong.code != STATUS_OK) {
        struct status *kept = arena_alloc(asking->arena, sizeof *kept);
        if (kept == NULL)
            return mongodb_no_memory();
        *kept = wrong;
        earlier = (struct earlier_append){.unreadable = kept};
    }
    if (get_array(append, "ids", &id))
        while (bson_iter_next(&id)) {
            const uint32_t at = place_of(asking, iter_bytes(&id));
            if (at != HASH_NONE)
                asking->facts->earlier[at] = earlier;
        }
    return status_ok();
}

/* What is behind the head is not there yet, as for the heads. */
static struct status take_all_earlier(struct asking *asking)
{
    for (size_t i = 0; i < asking->earlier.count; i++)
        if (get_int(asking->earlier.documents[i], "last") <= asking->store->cache.head.position)
            STATUS_TRY(take_earlier(asking, asking->earlier.documents[i]));
    return status_ok();
}

/* The ids were asked for while appends came, which the answer may lack. */
static struct status ask_earlier_again(struct asking *asking, int64_t newest_before)
{
    asking->earlier_after = newest_before;
    mongodb_find_done(&asking->earlier);
    ask_earlier(asking);
    mongodb_find_run(asking->store, asking->store->writer, &asking->earlier);
    STATUS_TRY(asking->earlier.status);
    return take_all_earlier(asking);
}

/* ---- the whole ---- */

static struct status take_answers(struct asking *asking)
{
    struct mongodb_cache *cache = &asking->store->cache;
    const int64_t newest_before = cache->newest;
    STATUS_TRY(follow(cache, &asking->behind));
    if (asking->request->event_id_count == 0)
        return status_ok();
    STATUS_TRY(take_all_earlier(asking));
    return cache->newest == newest_before ? status_ok() : ask_earlier_again(asking, newest_before);
}

/* *ret_looked false = too much was written since the last look. */
static struct status ask_all(struct asking *asking, bool *ret_looked)
{
    struct mongodb_store *store = asking->store;
    struct unknown unknown;
    struct mongodb_find *others[] = {&asking->behind, &asking->earlier};
    asking->earlier_after = 0;
    ask_behind(asking);
    ask_earlier(asking);
    struct status status =
        list_unknown(store, asking->request->aggregate_ids, asking->request->aggregate_count, &unknown);
    if (status.code == STATUS_OK)
        status = run_unknown(store, &unknown, others, asking->request->event_id_count > 0 ? 2 : 1);
    *ret_looked = asking->behind.count <= FOLLOWED_MOST;
    if (status.code == STATUS_OK && *ret_looked)
        status = take_answers(asking);
    unknown_done(&unknown);
    mongodb_find_done(&asking->behind);
    mongodb_find_done(&asking->earlier);
    return status;
}

static struct status look(struct asking *asking)
{
    struct mongodb_store *store = asking->store;
    bool looked = false;
    for (int i = 0; i < LOOKS_MOST && !looked; i++) {
        if (!store->cache.known)
            STATUS_TRY(look_at_newest(store));
        mongodb_cache_make_room(&store->cache, asking->request->aggregate_count);
        STATUS_TRY(ask_all(asking, &looked));
        if (!looked)
            mongodb_cache_forget(&store->cache);
    }
    return looked ? status_ok()
                  : status_reason(REASON_STORE_UNREACHABLE,
                                  "other services write faster than this one can follow; send it again");
}

/* Texts into the arena: the cache may forget them before the batch ends. */
static struct status give_heads(struct asking *asking)
{
    const struct facts_request *request = asking->request;
    for (size_t i = 0; i < request->aggregate_count; i++) {
        const struct mongodb_head *head =
            mongodb_cache_find(&asking->store->cache, request->aggregate_ids[i]);
        if (head == NULL || !head->exists)
            continue;
        asking->facts->heads[i] = (struct aggregate_head){
            .exists = true,
            .type = arena_bytes(asking->arena, head->type),
            .version = head->version,
            .position = head->position,
        };
        if (asking->facts->heads[i].type.data == NULL)
            return mongodb_no_memory();
    }
    return status_ok();
}

static struct status answer(struct asking *asking)
{
    const struct facts_request *request = asking->request;
    struct facts *facts = asking->facts;
    facts->now_us = 0; /* each process has its own clock; they are compared with the server's */
    facts->heads = arena_array(asking->arena, request->aggregate_count, sizeof *facts->heads);
    facts->earlier = arena_array(asking->arena, request->event_id_count, sizeof *facts->earlier);
    if (facts->heads == NULL || facts->earlier == NULL)
        return mongodb_no_memory();
    STATUS_TRY(enter_ids(asking));
    STATUS_TRY(look(asking));
    STATUS_TRY(give_heads(asking));
    facts->head = asking->store->cache.head;
    mongodb_know_head(asking->store, facts->head.position);
    return status_ok();
}

struct status mongodb_store_facts(struct event_store *base, const struct facts_request *request,
                                  struct arena *arena, struct facts *ret)
{
    struct mongodb_store *store = mongodb_of(base);
    mongodb_client_refresh(store, &store->writer);
    STATUS_TRY(mongodb_store_ready(store, store->writer));
    struct asking asking = {.store = store,
                            .request = request,
                            .arena = arena,
                            .facts = ret,
                            .ids = hash_table_make(store->seed)};
    const struct status status = answer(&asking);
    hash_table_done(&asking.ids);
    return status;
}
