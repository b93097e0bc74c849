/*
 * Values of up to 16 MiB, where a document may have as many with all that is in it. A larger one is cut into parts:
 * documents "<generation>/<number>" of the collection "parts", written before the document that names the generation.
 * So a value is replaced at once, and a crash leaves at most parts that nobody names.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/entropy.h"
#include "mongodb_internal.h"

#define PART_BYTES       ((size_t)8 * 1024 * 1024)
#define GENERATION_BYTES 16U
#define ATTEMPTS_MOST    5
#define PART_TEXT_BYTES  (HEX_TEXT_BYTES(GENERATION_BYTES) + 16)

/* Not while nobody is there to be asked: each attempt would wait for somebody anew, and who waits here may be the bus. */
static bool may_repeat(struct mongodb_store *store, mongoc_client_t *client, const bson_error_t *error)
{
    return error->code == CODE_DUPLICATE_KEY ||
           (mongodb_is_lost(error) && mongodb_reach_may_try(store, client).code == STATUS_OK);
}

/* ---- parts ---- */

static struct status insert_part(struct mongodb_store *store, mongoc_client_t *client, const char *id,
                                 struct bytes part)
{
    bson_error_t error;
    bson_t document;
    bson_init(&document);
    put_text(&document, "_id", bytes_of_text(id));
    put_binary(&document, "v", part);
    mongoc_collection_t *collection = mongodb_collection(store, client, "parts");
    struct status status = status_ok();
    for (int attempt = 0; attempt < ATTEMPTS_MOST; attempt++) {
        const bool ok = mongoc_collection_insert_one(collection, &document, NULL, NULL, &error) ||
                        error.code == CODE_DUPLICATE_KEY; /* it came through, its answer did not */
        status = ok ? status_ok() : mongodb_failed(store, &error);
        if (ok || !may_repeat(store, client, &error))
            break;
    }
    mongoc_collection_destroy(collection);
    bson_destroy(&document);
    return status;
}

struct status mongodb_value_write(struct mongodb_store *store, mongoc_client_t *client, struct bytes value,
                                  bson_t *document)
{
    if (value.size_bytes <= PART_BYTES) {
        put_binary(document, "v", value);
        return status_ok();
    }
    uint8_t random[GENERATION_BYTES];
    char generation[HEX_TEXT_BYTES(GENERATION_BYTES)];
    char id[PART_TEXT_BYTES];
    int64_t parts = 0;
    entropy_fill(&system_entropy, random, sizeof random);
    hex_text(bytes_of(random, sizeof random), generation);
    for (size_t at = 0; at < value.size_bytes; at += PART_BYTES) {
        const size_t left = value.size_bytes - at;
        (void)snprintf(id, sizeof id, "%s/%04" PRIu16, generation, (uint16_t)parts++);
        STATUS_TRY(
            insert_part(store, client, id, bytes_of(value.data + at, left < PART_BYTES ? left : PART_BYTES)));
    }
    put_text(document, "gen", bytes_of_text(generation));
    put_int(document, "parts", parts);
    return status_ok();
}

/* {"_id": {"$gte": "<generation>/", "$lt": "<generation>0"}}: '0' is the character behind '/'. */
static void put_parts_of(bson_t *filter, struct bytes generation)
{
    char text[HEX_TEXT_BYTES(GENERATION_BYTES) + 1];
    bson_t bounds;
    (void)bson_append_document_begin(filter, "_id", -1, &bounds);
    (void)snprintf(text, sizeof text, "%.*s/", BYTES_FORMAT(generation));
    put_text(&bounds, "$gte", bytes_of_text(text));
    (void)snprintf(text, sizeof text, "%.*s0", BYTES_FORMAT(generation));
    put_text(&bounds, "$lt", bytes_of_text(text));
    (void)bson_append_document_end(filter, &bounds);
}

/* Parts that are not removed are only space. */
static void drop_parts(struct mongodb_store *store, mongoc_client_t *client, const bson_t *replaced)
{
    const struct bytes generation = get_bytes(replaced, "gen");
    bson_t filter;
    bson_error_t error;
    if (generation.size_bytes == 0)
        return;
    bson_init(&filter);
    put_parts_of(&filter, generation);
    mongoc_collection_t *collection = mongodb_collection(store, client, "parts");
    (void)mongoc_collection_delete_many(collection, &filter, NULL, NULL, &error);
    mongoc_collection_destroy(collection);
    bson_destroy(&filter);
}

/* ---- the document ---- */

/* Replaces or (document NULL) removes it; the parts of what was there go. */
static bool change_once(struct mongodb_store *store, mongoc_client_t *client, const char *name,
                        struct bytes id, const bson_t *document, bson_error_t *ret_error)
{
    bson_t query;
    bson_t reply;
    bson_t old;
    bson_t *fields = BCON_NEW("gen", BCON_INT32(1));
    bson_iter_t at;
    const uint8_t *data = NULL;
    uint32_t size_bytes = 0;
    bson_init(&query);
    put_text(&query, "_id", id);
    mongoc_find_and_modify_opts_t *options = mongoc_find_and_modify_opts_new();
    (void)mongoc_find_and_modify_opts_set_fields(options, fields);
    if (document != NULL)
        (void)mongoc_find_and_modify_opts_set_update(options, document);
    (void)mongoc_find_and_modify_opts_set_flags(options, document != NULL ? MONGOC_FIND_AND_MODIFY_UPSERT
                                                                          : MONGOC_FIND_AND_MODIFY_REMOVE);
    mongoc_collection_t *collection = mongodb_collection(store, client, name);
    const bool ok =
        mongoc_collection_find_and_modify_with_opts(collection, &query, options, &reply, ret_error);
    if (ok && bson_iter_init_find(&at, &reply, "value") && BSON_ITER_HOLDS_DOCUMENT(&at)) {
        bson_iter_document(&at, &size_bytes, &data);
        if (bson_init_static(&old, data, size_bytes))
            drop_parts(store, client, &old);
    }
    bson_destroy(&reply);
    mongoc_collection_destroy(collection);
    mongoc_find_and_modify_opts_destroy(options);
    bson_destroy(fields);
    bson_destroy(&query);
    return ok;
}

/* Both may be repeated. Two who put a document that was not there may get in each other's way. */
static struct status change(struct mongodb_store *store, mongoc_client_t *client, const char *collection,
                            struct bytes id, const bson_t *document)
{
    bson_error_t error;
    struct status status = status_ok();
    for (int attempt = 0; attempt < ATTEMPTS_MOST; attempt++) {
        if (change_once(store, client, collection, id, document, &error))
            return status_ok();
        status = mongodb_failed(store, &error);
        if (!may_repeat(store, client, &error))
            break;
    }
    return status;
}

struct status mongodb_value_put(struct mongodb_store *store, mongoc_client_t *client, const char *collection,
                                struct bytes id, const bson_t *document)
{
    return change(store, client, collection, id, document);
}

struct status mongodb_value_remove(struct mongodb_store *store, const char *collection, struct bytes id)
{
    mongoc_client_t *client = NULL;
    STATUS_TRY(mongodb_client_take(store, &client));
    const struct status status = change(store, client, collection, id, NULL);
    mongodb_client_give(store, client);
    return status;
}

/* ---- reading ---- */

static struct status join_parts(const struct mongodb_find *find, struct arena *arena, struct bytes *ret)
{
    struct buffer joined = buffer_in(arena, 0);
    for (size_t i = 0; i < find->count; i++)
        buffer_add_bytes(&joined, get_bytes(find->documents[i], "v"));
    STATUS_TRY(buffer_status(&joined));
    *ret = buffer_bytes(&joined);
    return status_ok();
}

struct status mongodb_value_read(struct mongodb_store *store, const bson_t *document, struct arena *arena,
                                 struct bytes *ret, bool *ret_whole)
{
    const struct bytes generation = get_bytes(document, "gen");
    *ret_whole = true;
    if (generation.size_bytes == 0) {
        const struct bytes stored = get_bytes(document, "v");
        *ret = arena_bytes(arena, stored);
        return ret->data != NULL || stored.size_bytes == 0 ? status_ok() : mongodb_no_memory();
    }
    struct mongodb_find find;
    mongodb_find_init(&find, "parts");
    put_parts_of(&find.filter, generation);
    mongodb_find_options(&find, "_id", 1, 0, NULL, 0);
    struct status status = mongodb_ask(store, &find);
    *ret_whole = (int64_t)find.count == get_int(document, "parts");
    if (status.code == STATUS_OK && *ret_whole)
        status = join_parts(&find, arena, ret);
    mongodb_find_done(&find);
    return status;
}
