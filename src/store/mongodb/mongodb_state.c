/* Small values beside the events. Keys are stored as hexadecimal digits: any bytes, in their order. */
#include <stdlib.h>
#include <string.h>

#include "mongodb_internal.h"
#include "store/state_rules.h"

#define LIST_PAGE 64

static const char *const value_fields[] = {VALUE_FIELDS};

static struct status get_once(struct mongodb_store *store, struct bytes key, struct arena *arena,
                              struct bytes *ret, bool *ret_whole)
{
    char id[HEX_TEXT_BYTES(STATE_KEY_MAX_BYTES)];
    struct mongodb_find find;
    hex_text(key, id);
    mongodb_find_init(&find, "state");
    put_text(&find.filter, "_id", bytes_of_text(id));
    mongodb_find_options(&find, NULL, 0, 1, value_fields, 3);
    struct status status = mongodb_ask(store, &find);
    if (status.code == STATUS_OK && find.count == 0)
        status = status_error(STATUS_NOT_FOUND, "no value is stored under \"%.*s\"", BYTES_FORMAT(key));
    if (status.code == STATUS_OK)
        status = mongodb_value_read(store, find.documents[0], arena, ret, ret_whole);
    mongodb_find_done(&find);
    return status;
}

struct status mongodb_store_state_get(struct event_store *store, struct bytes key, struct arena *arena,
                                      struct bytes *ret)
{
    struct bytes value = BYTES_NONE;
    bool whole = false;
    if (key.size_bytes > STATE_KEY_MAX_BYTES)
        return status_error(STATUS_NOT_FOUND, "no value is stored under a key of %zu bytes", key.size_bytes);
    for (int attempt = 0; attempt < VALUE_ATTEMPTS && !whole; attempt++)
        STATUS_TRY(get_once(mongodb_of(store), key, arena, &value, &whole));
    if (!whole)
        return status_reason(REASON_DAMAGED, "parts of the value under \"%.*s\" are gone", BYTES_FORMAT(key));
    *ret = value;
    return status_ok();
}

static struct status put(struct mongodb_store *store, mongoc_client_t *client, struct bytes key,
                         struct bytes value)
{
    char id[HEX_TEXT_BYTES(STATE_KEY_MAX_BYTES)];
    bson_t document;
    bson_init(&document);
    hex_text(key, id);
    struct status status = mongodb_value_write(store, client, value, &document);
    if (status.code == STATUS_OK)
        status = mongodb_value_put(store, client, "state", bytes_of_text(id), &document);
    bson_destroy(&document);
    return status;
}

struct status mongodb_store_state_put(struct event_store *base, struct bytes key, struct bytes value)
{
    struct mongodb_store *store = mongodb_of(base);
    mongoc_client_t *client = NULL;
    STATUS_TRY(state_value_check(key, value));
    STATUS_TRY(mongodb_client_take(store, &client));
    const struct status status = put(store, client, key, value);
    mongodb_client_give(store, client);
    return status;
}

struct status mongodb_store_state_remove(struct event_store *store, struct bytes key)
{
    char id[HEX_TEXT_BYTES(STATE_KEY_MAX_BYTES)];
    if (key.size_bytes > STATE_KEY_MAX_BYTES)
        return status_ok();
    hex_text(key, id);
    return mongodb_value_remove(mongodb_of(store), "state", bytes_of_text(id));
}

/* One that somebody else put meanwhile, or that was put in parts, is not the expected one. */
static struct status swap(struct mongodb_store *store, mongoc_client_t *client, struct bytes id,
                          const struct bytes *expected, struct bytes value, bool *ret_put)
{
    bson_t document;
    bson_t selector;
    bson_t reply;
    bson_error_t error = {0};
    bool ok = false;
    bson_init(&document);
    bson_init(&selector);
    put_text(&document, "_id", id);
    put_binary(&document, "v", value);
    mongoc_collection_t *collection = mongodb_collection(store, client, "state");
    if (expected == NULL) {
        ok = mongoc_collection_insert_one(collection, &document, NULL, &reply, &error);
        *ret_put = ok;
    } else {
        put_text(&selector, "_id", id);
        put_binary(&selector, "v", *expected);
        ok = mongoc_collection_replace_one(collection, &selector, &document, NULL, &reply, &error);
        *ret_put = ok && get_int(&reply, "matchedCount") == 1;
    }
    mongoc_collection_destroy(collection);
    bson_destroy(&reply);
    bson_destroy(&selector);
    bson_destroy(&document);
    return ok || error.code == CODE_DUPLICATE_KEY ? status_ok() : mongodb_failed(store, &error);
}

struct status mongodb_store_state_swap(struct event_store *base, struct bytes key,
                                       const struct bytes *expected, struct bytes value, bool *ret_put)
{
    struct mongodb_store *store = mongodb_of(base);
    char id[HEX_TEXT_BYTES(STATE_KEY_MAX_BYTES)];
    mongoc_client_t *client = NULL;
    STATUS_TRY(state_swap_check(key, value));
    hex_text(key, id);
    STATUS_TRY(mongodb_client_take(store, &client));
    const struct status status = swap(store, client, bytes_of_text(id), expected, value, ret_put);
    mongodb_client_give(store, client);
    return status;
}

/* ---- the list ---- */

struct listing {
    struct mongodb_store *store;
    char from[HEX_TEXT_BYTES(STATE_KEY_MAX_BYTES)]; /* of the prefix */
    char to[HEX_TEXT_BYTES(STATE_KEY_MAX_BYTES)];
    char after[HEX_TEXT_BYTES(STATE_KEY_MAX_BYTES)];
    struct arena *arena;
    state_sink sink;
    void *context;
    bool stopped;
};

static void ask_values(struct mongodb_find *find, const struct listing *listing)
{
    bson_t bounds;
    const bool behind = strcmp(listing->after, listing->from) >= 0 && listing->after[0] != '\0';
    mongodb_find_init(find, "state");
    (void)bson_append_document_begin(&find->filter, "_id", -1, &bounds);
    put_text(&bounds, behind ? "$gt" : "$gte", bytes_of_text(behind ? listing->after : listing->from));
    put_text(&bounds, "$lt", bytes_of_text(listing->to));
    (void)bson_append_document_end(&find->filter, &bounds);
    mongodb_find_options(find, "_id", 1, LIST_PAGE, value_fields, 3);
    find->bytes_most = PAGE_BYTES_MOST;
}

static struct status deliver(struct listing *listing, const bson_t *document)
{
    uint8_t key[STATE_KEY_MAX_BYTES];
    size_t key_bytes = 0;
    struct bytes value = BYTES_NONE;
    bool whole = false;
    const struct bytes id = get_bytes(document, "_id");
    if (!hex_bytes(id, key, sizeof key, &key_bytes))
        return status_reason(REASON_DAMAGED, "a value is stored under \"%.*s\", which is no key",
                             BYTES_FORMAT(id));
    arena_reset(listing->arena);
    STATUS_TRY(mongodb_value_read(listing->store, document, listing->arena, &value, &whole));
    if (!whole) { /* it was replaced or removed since the page was read */
        const struct status status =
            mongodb_store_state_get(&listing->store->store, bytes_of(key, key_bytes), listing->arena, &value);
        if (status.code == STATUS_NOT_FOUND)
            return status_ok();
        STATUS_TRY(status);
    }
    memcpy(listing->after, id.data, id.size_bytes);
    listing->after[id.size_bytes] = '\0';
    listing->stopped = !listing->sink(listing->context, bytes_of(key, key_bytes), value);
    return status_ok();
}

static struct status list_page(struct listing *listing, bool *ret_last)
{
    struct mongodb_find page;
    ask_values(&page, listing);
    struct status status = mongodb_ask(listing->store, &page);
    for (size_t i = 0; status.code == STATUS_OK && i < page.count && !listing->stopped; i++)
        status = deliver(listing, page.documents[i]);
    *ret_last = !page.cut && page.count < LIST_PAGE;
    mongodb_find_done(&page);
    return status;
}

struct status mongodb_store_state_list(struct event_store *store, struct bytes prefix, struct bytes after_key,
                                       state_sink sink, void *context)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (arena == NULL)
        return mongodb_no_memory();
    struct listing listing = {.store = mongodb_of(store), .arena = arena, .sink = sink, .context = context};
    bool last = false;
    if (prefix.size_bytes > STATE_KEY_MAX_BYTES || after_key.size_bytes > STATE_KEY_MAX_BYTES)
        return status_error(STATUS_INVALID_ARGUMENT, "a key has at most %u bytes", STATE_KEY_MAX_BYTES);
    hex_text(prefix, listing.from);
    hex_text(prefix, listing.to);
    const size_t digits = strlen(listing.to);
    listing.to[digits] = 'g'; /* behind every hexadecimal digit; there is room for it */
    listing.to[digits + 1] = '\0';
    hex_text(after_key, listing.after);
    while (!last && !listing.stopped)
        STATUS_TRY(list_page(&listing, &last));
    return status_ok();
}
