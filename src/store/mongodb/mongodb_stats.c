/* Counts by type: appends never change, so only those behind the last count are counted. */
#include <stdlib.h>
#include <string.h>

#include "mongodb_internal.h"

void mongodb_tallies_done(struct mongodb_tallies *tallies)
{
    for (size_t i = 0; i < tallies->count; i++)
        free((void *)(uintptr_t)tallies->items[i].type.data); /* malloc'd here */
    free(tallies->items);
}

static bool add_tally(struct mongodb_tallies *tallies, struct bytes type, int64_t count)
{
    for (size_t i = 0; i < tallies->count; i++)
        if (bytes_equal(tallies->items[i].type, type)) {
            tallies->items[i].count += count;
            return true;
        }
    if (tallies->count == tallies->capacity) {
        const size_t capacity = tallies->capacity == 0 ? 16 : tallies->capacity * 2;
        struct mongodb_tally *grown = realloc(tallies->items, capacity * sizeof *grown);
        if (grown == NULL)
            return false;
        tallies->items = grown;
        tallies->capacity = capacity;
    }
    uint8_t *copy = malloc(type.size_bytes + 1);
    if (copy == NULL)
        return false;
    if (type.size_bytes > 0)
        memcpy(copy, type.data, type.size_bytes);
    tallies->items[tallies->count++] = (struct mongodb_tally){bytes_of(copy, type.size_bytes), count};
    return true;
}

/* What is counted: the elements of a list in each append, by their "t". */
struct counting {
    const char *list;  /* "$cnt", "$born" */
    const char *key;   /* "$cnt.t", … */
    const char *count; /* "$cnt.n"; NULL = one each */
};

static bson_t *write_pipeline(const struct counting *counting, int64_t after, int64_t to)
{
    bson_t *pipeline =
        BCON_NEW("pipeline", "[", "{", "$match", "{", "last", "{", "$gt", BCON_INT64(after), "$lte",
                 BCON_INT64(to), "}", "}", "}", "{", "$unwind", BCON_UTF8(counting->list), "}", "]");
    bson_t *full = bson_new();
    bson_t stages;
    bson_t stage;
    bson_t group;
    bson_t sum;
    bson_iter_t at;
    (void)bson_append_array_begin(full, "pipeline", -1, &stages);
    (void)get_array(pipeline, "pipeline", &at);
    while (bson_iter_next(&at))
        (void)bson_append_iter(&stages, NULL, 0, &at);
    (void)bson_append_document_begin(&stages, "2", -1, &stage);
    (void)bson_append_document_begin(&stage, "$group", -1, &group);
    (void)bson_append_utf8(&group, "_id", -1, counting->key, -1);
    (void)bson_append_document_begin(&group, "n", -1, &sum);
    if (counting->count != NULL)
        (void)bson_append_utf8(&sum, "$sum", -1, counting->count, -1);
    else
        put_int(&sum, "$sum", 1);
    (void)bson_append_document_end(&group, &sum);
    (void)bson_append_document_end(&stage, &group);
    (void)bson_append_document_end(&stages, &stage);
    (void)bson_append_array_end(full, &stages);
    bson_destroy(pipeline);
    return full;
}

/* What is behind the last count, all of it or nothing into `tallies`. */
static struct status count_types(struct mongodb_store *store, mongoc_client_t *client,
                                 const struct counting *counting, int64_t to, struct mongodb_tallies *tallies)
{
    struct mongodb_tallies more = {0};
    const bson_t *counted = NULL;
    bson_error_t error;
    struct status status = status_ok();
    bson_t *pipeline = write_pipeline(counting, store->tallied_to, to);
    mongoc_collection_t *collection = mongodb_collection(store, client, "appends");
    mongoc_cursor_t *cursor =
        mongoc_collection_aggregate(collection, MONGOC_QUERY_NONE, pipeline, NULL, NULL);
    while (status.code == STATUS_OK && mongoc_cursor_next(cursor, &counted))
        if (!add_tally(&more, get_bytes(counted, "_id"), get_int(counted, "n")))
            status = mongodb_no_memory();
    if (status.code == STATUS_OK && mongoc_cursor_error(cursor, &error))
        status = mongodb_failed(store, &error);
    for (size_t i = 0; status.code == STATUS_OK && i < more.count; i++)
        if (!add_tally(tallies, more.items[i].type, more.items[i].count))
            status = mongodb_no_memory();
    mongodb_tallies_done(&more);
    mongoc_cursor_destroy(cursor);
    mongoc_collection_destroy(collection);
    bson_destroy(pipeline);
    return status;
}

/* With the lock held. A count that fails half-way begins anew from the first event. */
static struct status count_up_to(struct mongodb_store *store, mongoc_client_t *client, int64_t to)
{
    static const struct counting events = {"$cnt", "$cnt.t", "$cnt.n"};
    static const struct counting aggregates = {"$born", "$born.t", NULL};
    if (to <= store->tallied_to)
        return status_ok();
    struct status status = count_types(store, client, &events, to, &store->events);
    if (status.code == STATUS_OK)
        status = count_types(store, client, &aggregates, to, &store->aggregates);
    if (status.code == STATUS_OK) {
        store->tallied_to = to;
        return status;
    }
    mongodb_tallies_done(&store->events);
    mongodb_tallies_done(&store->aggregates);
    store->events = store->aggregates = (struct mongodb_tallies){0};
    store->tallied_to = 0;
    return status;
}

static struct status copy_tallies(const struct mongodb_tallies *tallies, struct arena *arena,
                                  const struct type_count **ret, size_t *ret_count)
{
    struct type_count *copies = arena_array(arena, tallies->count, sizeof *copies);
    if (copies == NULL)
        return mongodb_no_memory();
    for (size_t i = 0; i < tallies->count; i++) {
        copies[i] = (struct type_count){arena_bytes(arena, tallies->items[i].type), tallies->items[i].count};
        if (copies[i].type.data == NULL)
            return mongodb_no_memory();
    }
    *ret = copies;
    *ret_count = tallies->count;
    return status_ok();
}

static int64_t size_on_disk(struct mongodb_store *store, mongoc_client_t *client)
{
    char full[128];
    bson_t reply;
    bson_error_t error;
    (void)snprintf(full, sizeof full, "%s.appends", store->settings.store_id);
    bson_t *command = BCON_NEW("collStats", BCON_UTF8(full));
    int64_t size_bytes = 0;
    if (mongoc_client_read_command_with_opts(client, store->settings.database, command, NULL, NULL, &reply,
                                             &error))
        size_bytes = get_int(&reply, "storageSize") + get_int(&reply, "totalIndexSize");
    bson_destroy(&reply); /* a user may lack the privilege: then the size is not known, which is no failure */
    bson_destroy(command);
    return size_bytes;
}

static struct status fill_stats(struct mongodb_store *store, mongoc_client_t *client, int64_t head,
                                struct arena *arena, struct event_store_stats *ret)
{
    ret->size_bytes = size_on_disk(store, client);
    pthread_mutex_lock(&store->tally_lock);
    struct status status = count_up_to(store, client, head);
    if (status.code == STATUS_OK)
        status = copy_tallies(&store->events, arena, &ret->events_by_type, &ret->event_type_count);
    if (status.code == STATUS_OK)
        status =
            copy_tallies(&store->aggregates, arena, &ret->aggregates_by_type, &ret->aggregate_type_count);
    pthread_mutex_unlock(&store->tally_lock);
    return status;
}

struct status mongodb_store_stats(struct event_store *base, struct arena *arena,
                                  struct event_store_stats *ret)
{
    struct mongodb_store *store = mongodb_of(base);
    struct store_head head;
    mongoc_client_t *client = NULL;
    *ret = (struct event_store_stats){.engine = "mongodb"};
    STATUS_TRY(mongodb_store_head(base, &head));
    STATUS_TRY(mongodb_client_take(store, &client));
    const struct status status = fill_stats(store, client, head.position, arena, ret);
    mongodb_client_give(store, client);
    STATUS_TRY(status);
    for (size_t i = 0; i < ret->event_type_count; i++) {
        const struct type_count *count = &ret->events_by_type[i];
        if (count->type.size_bytes > 0 && count->type.data[0] == '$')
            ret->system_event_count += count->count;
        else
            ret->event_count += count->count;
    }
    return status_ok();
}
