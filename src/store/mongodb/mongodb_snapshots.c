/*
 * The snapshot store in the same database, over the event store's clients. A snapshot's _id is aggregate id, U+001F,
 * version in 8 hexadecimal digits: in order of ids, then of versions. Its texts are one value behind each other.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "mongodb_internal.h"

#define LIST_PAGE 16

struct mongodb_snapshots {
    struct snapshot_store store; /* first: the engine is the store */
    struct mongodb_store *mongodb;
};

static struct mongodb_store *of(struct snapshot_store *store)
{
    return ((struct mongodb_snapshots *)store)->mongodb;
}

/* ---- documents ---- */

static struct bytes id_text(struct bytes aggregate_id, int32_t version, char to[AV_TEXT_BYTES])
{
    mongodb_av_text(aggregate_id, version < 0 ? 0 : version, to);
    return bytes_of_text(to);
}

static struct status check_id(struct bytes aggregate_id)
{
    return aggregate_id.size_bytes <= 255
               ? status_ok()
               : status_error(STATUS_INVALID_ARGUMENT,
                              "an aggregate id has at most 255 bytes; %zu were given",
                              aggregate_id.size_bytes);
}

static void write_snapshot(bson_t *document, const struct snapshot *snapshot)
{
    put_text(document, "a", snapshot->aggregate_id);
    put_text(document, "t", snapshot->aggregate_type);
    put_int(document, "version", snapshot->version);
    put_int(document, "state", (int64_t)snapshot->state);
    put_int(document, "at", snapshot->created_at_us);
    put_int(document, "pos", snapshot->position);
    put_binary(document, "digest", snapshot->event_digest);
    put_int(document, "reducer", snapshot->reducer_version);
    put_int(document, "data", (int64_t)snapshot->data.size_bytes);
    put_int(document, "metadata", (int64_t)snapshot->metadata.size_bytes);
    put_int(document, "folded", (int64_t)snapshot->folded.size_bytes);
    put_int(
        document, "size",
        (int64_t)(snapshot->data.size_bytes + snapshot->metadata.size_bytes + snapshot->folded.size_bytes));
}

/* The next `size_bytes` of the texts. */
static bool cut(struct bytes *texts, int64_t size_bytes, struct bytes *ret)
{
    if (size_bytes < 0 || (size_t)size_bytes > texts->size_bytes)
        return false;
    *ret = size_bytes == 0 ? BYTES_NONE : bytes_of(texts->data, (size_t)size_bytes);
    if (size_bytes > 0)
        *texts = bytes_of(texts->data + size_bytes, texts->size_bytes - (size_t)size_bytes);
    return true;
}

static struct status take_snapshot(struct mongodb_store *store, const bson_t *document, struct arena *arena,
                                   struct snapshot *ret, bool *ret_whole)
{
    struct bytes texts = BYTES_NONE;
    STATUS_TRY(mongodb_value_read(store, document, arena, &texts, ret_whole));
    if (!*ret_whole)
        return status_ok();
    *ret = (struct snapshot){
        .aggregate_id = arena_bytes(arena, get_bytes(document, "a")),
        .aggregate_type = arena_bytes(arena, get_bytes(document, "t")),
        .version = (int32_t)get_int(document, "version"),
        .state = (enum snapshot_state)get_int(document, "state"),
        .created_at_us = get_int(document, "at"),
        .position = get_int(document, "pos"),
        .event_digest = arena_bytes(arena, get_bytes(document, "digest")),
        .reducer_version = (int32_t)get_int(document, "reducer"),
    };
    if (!cut(&texts, get_int(document, "data"), &ret->data) ||
        !cut(&texts, get_int(document, "metadata"), &ret->metadata) ||
        !cut(&texts, get_int(document, "folded"), &ret->folded))
        return status_reason(REASON_DAMAGED, "the snapshot of \"%.*s\" at version %" PRId32 " is cut short",
                             BYTES_FORMAT(ret->aggregate_id), ret->version);
    return ret->aggregate_id.data != NULL ? status_ok() : mongodb_no_memory();
}

/* ---- put ---- */

static struct status put(struct mongodb_store *store, mongoc_client_t *client,
                         const struct snapshot *snapshot, struct bytes texts)
{
    char id[AV_TEXT_BYTES];
    bson_t document;
    bson_init(&document);
    write_snapshot(&document, snapshot);
    struct status status = mongodb_value_write(store, client, texts, &document);
    if (status.code == STATUS_OK)
        status = mongodb_value_put(store, client, "snapshots",
                                   id_text(snapshot->aggregate_id, snapshot->version, id), &document);
    bson_destroy(&document);
    return status;
}

static struct status snapshots_put(struct snapshot_store *base, const struct snapshot *snapshot)
{
    struct mongodb_store *store = of(base);
    CLEANUP(buffer_done) struct buffer texts = buffer_make(0);
    mongoc_client_t *client = NULL;
    STATUS_TRY(check_id(snapshot->aggregate_id));
    buffer_add_bytes(&texts, snapshot->data);
    buffer_add_bytes(&texts, snapshot->metadata);
    buffer_add_bytes(&texts, snapshot->folded);
    STATUS_TRY(buffer_status(&texts));
    STATUS_TRY(mongodb_client_take(store, &client));
    const struct status status = put(store, client, snapshot, buffer_bytes(&texts));
    mongodb_client_give(store, client);
    return status;
}

/* ---- get and remove ---- */

static void ask_pick(struct mongodb_find *find, struct bytes aggregate_id, enum snapshot_pick pick,
                     int32_t version)
{
    char text[AV_TEXT_BYTES];
    bson_t bounds;
    mongodb_find_init(find, "snapshots");
    (void)bson_append_document_begin(&find->filter, "_id", -1, &bounds);
    put_text(&bounds, "$gte", id_text(aggregate_id, pick == SNAPSHOT_PICK_EXACT ? version : 0, text));
    put_text(&bounds, "$lte", id_text(aggregate_id, version, text));
    (void)bson_append_document_end(&find->filter, &bounds);
    if (pick == SNAPSHOT_PICK_BEST)
        put_int(&find->filter, "state", SNAPSHOT_VERIFIED);
    mongodb_find_options(find, "_id", -1, 1, NULL, 0);
}

static struct status snapshots_get(struct snapshot_store *base, struct bytes aggregate_id,
                                   enum snapshot_pick pick, int32_t version, struct arena *arena,
                                   struct snapshot *ret, bool *ret_found)
{
    struct mongodb_store *store = of(base);
    bool whole = false;
    *ret_found = false;
    if (version < 0 || aggregate_id.size_bytes > 255)
        return status_ok();
    for (int attempt = 0; attempt < VALUE_ATTEMPTS && !whole; attempt++) {
        struct mongodb_find find;
        ask_pick(&find, aggregate_id, pick, version);
        struct status status = mongodb_ask(store, &find);
        *ret_found = find.count > 0;
        whole = !*ret_found;
        if (status.code == STATUS_OK && *ret_found)
            status = take_snapshot(store, find.documents[0], arena, ret, &whole);
        mongodb_find_done(&find);
        STATUS_TRY(status);
    }
    return whole ? status_ok()
                 : status_reason(REASON_DAMAGED, "parts of a snapshot of \"%.*s\" are gone",
                                 BYTES_FORMAT(aggregate_id));
}

static struct status snapshots_remove(struct snapshot_store *store, struct bytes aggregate_id,
                                      int32_t version)
{
    char id[AV_TEXT_BYTES];
    STATUS_TRY(check_id(aggregate_id));
    return mongodb_value_remove(of(store), "snapshots", id_text(aggregate_id, version, id));
}

/* ---- list ---- */

struct listing {
    struct mongodb_store *store;
    struct bytes aggregate_id; /* empty = all */
    struct bytes aggregate_type;
    char after[AV_TEXT_BYTES]; /* empty = from the first */
    struct arena *arena;
    snapshot_sink sink;
    void *context;
    bool stopped;
};

static void ask_list(struct mongodb_find *find, const struct listing *listing)
{
    char from[AV_TEXT_BYTES];
    char to[AV_TEXT_BYTES];
    bson_t bounds;
    mongodb_find_init(find, "snapshots");
    (void)bson_append_document_begin(&find->filter, "_id", -1, &bounds);
    put_text(&bounds, "$gt", bytes_of_text(listing->after));
    if (listing->aggregate_id.size_bytes > 0) {
        put_text(&bounds, "$gte", id_text(listing->aggregate_id, 0, from));
        put_text(&bounds, "$lte", id_text(listing->aggregate_id, INT32_MAX, to));
    }
    (void)bson_append_document_end(&find->filter, &bounds);
    if (listing->aggregate_type.size_bytes > 0)
        put_text(&find->filter, "t", listing->aggregate_type);
    mongodb_find_options(find, "_id", 1, LIST_PAGE, NULL, 0);
    find->bytes_most = PAGE_BYTES_MOST;
}

static struct status deliver(struct listing *listing, const bson_t *document)
{
    struct snapshot snapshot = {0};
    bool whole = false;
    const struct bytes id = get_bytes(document, "_id");
    if (id.size_bytes >= sizeof listing->after)
        return status_reason(REASON_DAMAGED, "a snapshot is stored under a name of %zu bytes", id.size_bytes);
    memcpy(listing->after, id.data, id.size_bytes);
    listing->after[id.size_bytes] = '\0';
    arena_reset(listing->arena);
    STATUS_TRY(take_snapshot(listing->store, document, listing->arena, &snapshot, &whole));
    if (whole) /* else it was replaced or removed meanwhile */
        listing->stopped = !listing->sink(listing->context, &snapshot);
    return status_ok();
}

static struct status list_page(struct listing *listing, bool *ret_last)
{
    struct mongodb_find page;
    ask_list(&page, listing);
    struct status status = mongodb_ask(listing->store, &page);
    for (size_t i = 0; status.code == STATUS_OK && i < page.count && !listing->stopped; i++)
        status = deliver(listing, page.documents[i]);
    *ret_last = !page.cut && page.count < LIST_PAGE;
    mongodb_find_done(&page);
    return status;
}

static struct status snapshots_list(struct snapshot_store *store, struct bytes aggregate_id,
                                    struct bytes aggregate_type, struct bytes after_id, int32_t after_version,
                                    snapshot_sink sink, void *context)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (arena == NULL)
        return mongodb_no_memory();
    struct listing listing = {.store = of(store),
                              .aggregate_id = aggregate_id,
                              .aggregate_type = aggregate_type,
                              .arena = arena,
                              .sink = sink,
                              .context = context};
    bool last = false;
    STATUS_TRY(check_id(aggregate_id));
    STATUS_TRY(check_id(after_id));
    if (after_id.size_bytes > 0)
        (void)id_text(after_id, after_version, listing.after);
    while (!last && !listing.stopped)
        STATUS_TRY(list_page(&listing, &last));
    return status_ok();
}

/* ---- counts ---- */

static struct status count_all(struct mongodb_store *store, mongoc_client_t *client,
                               struct snapshot_store_stats *ret)
{
    const bson_t *counted = NULL;
    bson_error_t error;
    struct status status = status_ok();
    bson_t *pipeline = BCON_NEW("pipeline", "[", "{", "$group", "{", "_id", BCON_NULL, "n", "{", "$sum",
                                BCON_INT64(1), "}", "size", "{", "$sum", "$size", "}", "}", "}", "]");
    mongoc_collection_t *collection = mongodb_collection(store, client, "snapshots");
    mongoc_cursor_t *cursor =
        mongoc_collection_aggregate(collection, MONGOC_QUERY_NONE, pipeline, NULL, NULL);
    *ret = (struct snapshot_store_stats){.engine = "mongodb"};
    while (mongoc_cursor_next(cursor, &counted)) {
        ret->snapshot_count = get_int(counted, "n");
        ret->size_bytes = get_int(counted, "size");
    }
    if (mongoc_cursor_error(cursor, &error))
        status = mongodb_failed(store, &error);
    mongoc_cursor_destroy(cursor);
    mongoc_collection_destroy(collection);
    bson_destroy(pipeline);
    return status;
}

static struct status snapshots_stats(struct snapshot_store *store, struct snapshot_store_stats *ret)
{
    mongoc_client_t *client = NULL;
    STATUS_TRY(mongodb_client_take(of(store), &client));
    const struct status status = count_all(of(store), client, ret);
    mongodb_client_give(of(store), client);
    return status;
}

static void snapshots_close(struct snapshot_store *store)
{
    free(store);
}

static const struct snapshot_store_ops snapshots_ops = {
    .put = snapshots_put,
    .get = snapshots_get,
    .list = snapshots_list,
    .remove = snapshots_remove,
    .stats = snapshots_stats,
    .close = snapshots_close,
};

struct status mongodb_store_snapshots(struct event_store *store, struct snapshot_store **ret)
{
    struct mongodb_snapshots *snapshots = calloc(1, sizeof *snapshots);
    if (snapshots == NULL)
        return mongodb_no_memory();
    snapshots->store.ops = &snapshots_ops;
    snapshots->mongodb = mongodb_of(store);
    *ret = &snapshots->store;
    return status_ok();
}
