/* What the server must be, the indexes, and the version of the documents. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "mongodb_internal.h"

#define FORMAT_VERSION 1
/* Each process stamps its events by its own clock. */
#define CLOCK_OFF_MOST_US INT64_C(2000000)

/* ---- the server ---- */

static struct status check_clock(struct mongodb_store *store, const bson_t *hello, int64_t before_us,
                                 int64_t after_us)
{
    bson_iter_t at;
    if (!bson_iter_init_find(&at, hello, "localTime") || !BSON_ITER_HOLDS_DATE_TIME(&at))
        return status_ok();
    const int64_t server_us = bson_iter_date_time(&at) * 1000;
    const int64_t behind_us = before_us - server_us;
    const int64_t ahead_us = server_us - after_us;
    const int64_t off_us = behind_us > ahead_us ? behind_us : ahead_us;
    if (off_us <= CLOCK_OFF_MOST_US)
        return status_ok();
    return status_error(STATUS_FAILED_PRECONDITION,
                        "the clock of this machine and that of the database server at %s are %" PRId64
                        " ms apart, and %" PRId64
                        " ms are allowed; let both follow the same time server (NTP)",
                        store->settings.hosts, off_us / 1000, CLOCK_OFF_MOST_US / 1000);
}

static struct status check_topology(struct mongodb_store *store, const bson_t *hello)
{
    const struct bytes message = get_bytes(hello, "msg");
    if (bson_has_field(hello, "setName") || bytes_equal(message, BYTES_LITERAL("isdbgrid")))
        return status_ok();
    return status_error(
        STATUS_FAILED_PRECONDITION,
        "the database server at %s is a standalone one, which cannot promise that a majority has what it "
        "acknowledged; start it as a replica set (one member will do: --replSet and rs.initiate()), or check "
        "database.mongodb.uri",
        store->settings.hosts);
}

struct status mongodb_check_server(struct mongodb_store *store, mongoc_client_t *client)
{
    bson_error_t error;
    bson_t hello;
    bson_t *command = BCON_NEW("hello", BCON_INT32(1));
    const int64_t before_us = clock_now_us(store->clock);
    const bool ok =
        mongoc_client_read_command_with_opts(client, "admin", command, NULL, NULL, &hello, &error);
    struct status status;
    if (!ok)
        status = mongodb_failed(store, &error);
    else {
        mongodb_reach_succeeded(store);
        status = check_topology(store, &hello);
        if (status.code == STATUS_OK)
            status = check_clock(store, &hello, before_us, clock_now_us(store->clock));
    }
    bson_destroy(command);
    bson_destroy(&hello);
    return status;
}

/* ---- indexes ---- */

/*
 * An append's place in an order is "last", the position of its last event: as good as "_id", and what a read behind a
 * position asks for. "ids" and "av" are belts: decide() is the guard.
 */
static const struct {
    const char *collection;
    const char *keys[2];
    bool unique;
    bool sparse;
} indexes[] = {
    {"appends", {"last", NULL}, true, false},      {"appends", {"ids", NULL}, true, false},
    {"appends", {"av", NULL}, true, false},        {"appends", {"ts", NULL}, false, false},
    {"appends", {"agg.a", "last"}, false, false},  {"appends", {"types", "last"}, false, false},
    {"appends", {"atypes", "last"}, false, false}, {"appends", {"corr", "last"}, false, true},
    {"appends", {"tags", "last"}, false, true},    {"appends", {"bl", NULL}, false, true},
    {"appends", {"bts", "bl"}, false, true},       {"snapshots", {"t", "_id"}, false, false},
};

static void write_index(bson_t *list, const char *place, size_t at)
{
    bson_t index;
    bson_t key;
    char name[64] = {0};
    (void)bson_append_document_begin(list, place, -1, &index);
    (void)bson_append_document_begin(&index, "key", -1, &key);
    for (size_t i = 0; i < 2 && indexes[at].keys[i] != NULL; i++) {
        (void)bson_append_int32(&key, indexes[at].keys[i], -1, 1);
        if (i > 0)
            strncat(name, "_", sizeof name - strlen(name) - 1);
        strncat(name, indexes[at].keys[i], sizeof name - strlen(name) - 1);
    }
    (void)bson_append_document_end(&index, &key);
    (void)bson_append_utf8(&index, "name", -1, name, -1);
    if (indexes[at].unique)
        (void)bson_append_bool(&index, "unique", -1, true);
    if (indexes[at].sparse)
        (void)bson_append_bool(&index, "sparse", -1, true);
    (void)bson_append_document_end(list, &index);
}

static struct status make_indexes(struct mongodb_store *store, mongoc_client_t *client,
                                  const char *collection)
{
    char full[128];
    char place[16];
    bson_t command;
    bson_t list;
    bson_error_t error;
    uint32_t count = 0;
    (void)snprintf(full, sizeof full, "%s.%s", store->settings.store_id, collection);
    bson_init(&command);
    (void)bson_append_utf8(&command, "createIndexes", -1, full, -1);
    (void)bson_append_array_begin(&command, "indexes", -1, &list);
    for (size_t i = 0; i < sizeof indexes / sizeof *indexes; i++)
        if (strcmp(indexes[i].collection, collection) == 0) {
            (void)snprintf(place, sizeof place, "%u", count++);
            write_index(&list, place, i);
        }
    (void)bson_append_array_end(&command, &list);
    const bool ok =
        mongoc_client_write_command_with_opts(client, store->settings.database, &command, NULL, NULL, &error);
    bson_destroy(&command);
    return ok ? status_ok() : mongodb_failed(store, &error);
}

/* ---- the version of the documents ---- */

static struct status check_format(struct mongodb_store *store, const bson_t *format)
{
    const int64_t version = get_int(format, "version");
    if (version <= FORMAT_VERSION)
        return status_ok();
    return status_error(
        STATUS_FAILED_PRECONDITION,
        "the store \"%s\" in the database \"%s\" was written by a later Strata (documents of version "
        "%" PRId64 ", this one knows %d); start that one",
        store->settings.store_id, store->settings.database, version, FORMAT_VERSION);
}

static struct status write_format(struct mongodb_store *store, mongoc_client_t *client)
{
    bson_error_t error;
    mongoc_collection_t *collection = mongodb_collection(store, client, "format");
    bson_t *document = BCON_NEW("_id", BCON_UTF8("format"), "version", BCON_INT32(FORMAT_VERSION));
    const bool ok = mongoc_collection_insert_one(collection, document, NULL, NULL, &error);
    bson_destroy(document);
    mongoc_collection_destroy(collection);
    return ok || error.code == CODE_DUPLICATE_KEY ? status_ok() : mongodb_failed(store, &error);
}

static struct status make_ready(struct mongodb_store *store, mongoc_client_t *client)
{
    struct mongodb_find find;
    STATUS_TRY(mongodb_check_server(store, client));
    mongodb_find_init(&find, "format");
    mongodb_find_run(store, client, &find);
    struct status status = find.status;
    const bool made = find.count > 0;
    if (status.code == STATUS_OK && made)
        status = check_format(store, find.documents[0]);
    mongodb_find_done(&find);
    STATUS_TRY(status);
    if (!made) {
        STATUS_TRY(make_indexes(store, client, "appends"));
        STATUS_TRY(make_indexes(store, client, "snapshots"));
        STATUS_TRY(write_format(store, client));
    }
    atomic_store(&store->ready, true);
    return status_ok();
}

struct status mongodb_store_ready(struct mongodb_store *store, mongoc_client_t *client)
{
    STATUS_TRY(mongodb_reach_may_try(store, client));
    if (atomic_load(&store->ready))
        return status_ok();
    pthread_mutex_lock(&store->ready_lock);
    struct status status = mongodb_reach_may_try(store, client); /* who held the lock may have found out */
    if (status.code == STATUS_OK && !atomic_load(&store->ready))
        status = make_ready(store, client);
    pthread_mutex_unlock(&store->ready_lock);
    return status;
}
