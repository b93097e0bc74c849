#include "mongodb_link_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "mongodb_internal.h"

/* Codes of the server. */
enum {
    CODE_HOST_UNREACHABLE = 6,
    CODE_HOST_NOT_FOUND = 7,
    CODE_UNAUTHORIZED = 13,
    CODE_AUTHENTICATION_FAILED = 18,
    CODE_MAX_TIME_EXPIRED = 50,
    CODE_WRITE_CONCERN_FAILED = 64,
    CODE_NETWORK_TIMEOUT = 89,
    CODE_SHUTDOWN_IN_PROGRESS = 91,
    CODE_PRIMARY_STEPPED_DOWN = 189,
    CODE_EXCEEDED_TIME_LIMIT = 262,
    CODE_SOCKET_EXCEPTION = 9001,
    CODE_NOT_WRITABLE_PRIMARY = 10107,
    CODE_INTERRUPTED_AT_SHUTDOWN = 11600,
    CODE_INTERRUPTED_BY_STEP_DOWN = 11602,
    CODE_NOT_PRIMARY_NO_SECONDARY_OK = 13435,
    CODE_NOT_PRIMARY_OR_SECONDARY = 13436,
};

/* ---- what went wrong ---- */

bool mongodb_is_lost(const bson_error_t *error)
{
    if (error->domain != MONGOC_ERROR_SERVER && error->domain != MONGOC_ERROR_WRITE_CONCERN)
        return error->domain == MONGOC_ERROR_STREAM || error->domain == MONGOC_ERROR_SERVER_SELECTION ||
               error->domain == MONGOC_ERROR_PROTOCOL;
    switch (error->code) {
    case CODE_HOST_UNREACHABLE:
    case CODE_HOST_NOT_FOUND:
    case CODE_MAX_TIME_EXPIRED:
    case CODE_WRITE_CONCERN_FAILED:
    case CODE_NETWORK_TIMEOUT:
    case CODE_SHUTDOWN_IN_PROGRESS:
    case CODE_PRIMARY_STEPPED_DOWN:
    case CODE_EXCEEDED_TIME_LIMIT:
    case CODE_SOCKET_EXCEPTION:
    case CODE_NOT_WRITABLE_PRIMARY:
    case CODE_INTERRUPTED_AT_SHUTDOWN:
    case CODE_INTERRUPTED_BY_STEP_DOWN:
    case CODE_NOT_PRIMARY_NO_SECONDARY_OK:
    case CODE_NOT_PRIMARY_OR_SECONDARY:
        return true;
    default:
        return false;
    }
}

static bool is_refused_user(const bson_error_t *error)
{
    return (error->domain == MONGOC_ERROR_CLIENT && error->code == MONGOC_ERROR_CLIENT_AUTHENTICATE) ||
           error->domain == MONGOC_ERROR_SASL || error->domain == MONGOC_ERROR_SCRAM ||
           (error->domain == MONGOC_ERROR_SERVER && error->code == CODE_AUTHENTICATION_FAILED);
}

bool mongodb_is_refusal(const bson_error_t *error)
{
    return (error->domain == MONGOC_ERROR_SERVER && !mongodb_is_lost(error)) ||
           error->domain == MONGOC_ERROR_SERVER_SELECTION || is_refused_user(error);
}

/* The driver has no codes for these. */
static const char *unreachable_remedy(const struct mongodb_settings *settings, const bson_error_t *error)
{
    if (strstr(error->message, "TLS") != NULL)
        return "check that it runs with TLS, and tls, tlsCAFile and the host names of database.mongodb.uri against its "
               "certificate";
    return mongoc_uri_get_tls(settings->uri)
               ? "check hosts, replicaSet and tls in database.mongodb.uri, and that it runs with TLS"
               : "check hosts and replicaSet in database.mongodb.uri, and that it runs";
}

bool mongodb_is_distrusted(const struct status *status)
{
    return strstr(status->message, "certificate verify failed") != NULL ||
           strstr(status->message, "Failed initialize TLS state") != NULL; /* no CA file */
}

struct status mongodb_failed(struct mongodb_store *store, const bson_error_t *error)
{
    const struct mongodb_settings *settings = &store->settings;
    const char *user = mongoc_uri_get_username(settings->uri);
    if (is_refused_user(error))
        return status_error(STATUS_PERMISSION_DENIED,
                            "the database server at %s refuses user \"%s\": %s; check user, password and "
                            "authSource in database.mongodb.uri",
                            settings->hosts, user == NULL ? "" : user, error->message);
    if (error->domain == MONGOC_ERROR_SERVER && error->code == CODE_UNAUTHORIZED)
        return status_error(
            STATUS_PERMISSION_DENIED,
            "user \"%s\" lacks a role in the database \"%s\" at %s: %s; grant it the role readWrite there, "
            "or name a user in database.mongodb.uri",
            user == NULL ? "" : user, settings->database, settings->hosts, error->message);
    if (error->domain == MONGOC_ERROR_SERVER_SELECTION || error->domain == MONGOC_ERROR_STREAM) {
        const struct status status =
            status_reason(REASON_STORE_UNREACHABLE, "the database server at %s cannot be reached: %s; %s",
                          settings->hosts, error->message, unreachable_remedy(settings, error));
        if (error->domain == MONGOC_ERROR_SERVER_SELECTION)
            mongodb_reach_failed(store, &status);
        else
            mongodb_reach_lost(store, &status);
        return status;
    }
    return status_reason(REASON_STORE_UNREACHABLE, "the database server at %s answers: %s (error %u)",
                         settings->hosts, error->message, error->code);
}

mongoc_collection_t *mongodb_collection(struct mongodb_store *store, mongoc_client_t *client,
                                        const char *name)
{
    char full[128];
    const int length = snprintf(full, sizeof full, "%s.%s", store->settings.store_id, name);
    assert(length > 0 && (size_t)length < sizeof full); /* store_id is bounded */
    return mongoc_client_get_collection(client, store->settings.database, full);
}

/* ---- one question ---- */

void mongodb_find_init(struct mongodb_find *find, const char *collection)
{
    *find = (struct mongodb_find){.collection = collection, .status = status_ok()};
    bson_init(&find->filter);
    bson_init(&find->options);
}

static void forget_documents(struct mongodb_find *find)
{
    for (size_t i = 0; i < find->count; i++)
        bson_destroy(find->documents[i]);
    find->count = 0;
    find->cut = false;
}

void mongodb_find_done(struct mongodb_find *find)
{
    forget_documents(find);
    free(find->documents);
    bson_destroy(&find->filter);
    bson_destroy(&find->options);
}

void mongodb_find_options(struct mongodb_find *find, const char *key, int direction, int64_t limit,
                          const char *const *fields, size_t field_count)
{
    bson_t child;
    bson_reinit(&find->options);
    if (key != NULL) {
        (void)bson_append_document_begin(&find->options, "sort", -1, &child);
        (void)bson_append_int32(&child, key, -1, direction);
        (void)bson_append_document_end(&find->options, &child);
    }
    if (limit > 0)
        put_int(&find->options, "limit", limit);
    if (field_count == 0)
        return;
    (void)bson_append_document_begin(&find->options, "projection", -1, &child);
    for (size_t i = 0; i < field_count; i++)
        (void)bson_append_int32(&child, fields[i], -1, 1);
    (void)bson_append_document_end(&find->options, &child);
}

static bool keep(struct mongodb_find *find, const bson_t *document)
{
    if (find->count == find->capacity) {
        const size_t capacity = find->capacity == 0 ? 4 : find->capacity * 2;
        bson_t **grown = realloc(find->documents, capacity * sizeof(*grown));
        if (grown == NULL)
            return false;
        find->documents = grown;
        find->capacity = capacity;
    }
    find->documents[find->count++] = bson_copy(document);
    return true;
}

static struct status take_documents(struct mongodb_store *store, mongoc_cursor_t *cursor,
                                    struct mongodb_find *find)
{
    const bson_t *document = NULL;
    bson_error_t error;
    size_t bytes = 0;
    while (mongoc_cursor_next(cursor, &document)) {
        if (find->bytes_most > 0 && bytes >= find->bytes_most) {
            find->cut = true;
            return status_ok();
        }
        bytes += document->len;
        if (!keep(find, document))
            return mongodb_no_memory();
    }
    if (mongoc_cursor_error(cursor, &error))
        return mongodb_failed(store, &error);
    mongodb_reach_succeeded(store);
    return status_ok();
}

static void read_locally(mongoc_collection_t *collection)
{
    mongoc_read_concern_t *concern = mongoc_read_concern_new();
    (void)mongoc_read_concern_set_level(concern, MONGOC_READ_CONCERN_LEVEL_LOCAL);
    mongoc_collection_set_read_concern(collection, concern);
    mongoc_read_concern_destroy(concern);
}

void mongodb_find_run(struct mongodb_store *store, mongoc_client_t *client, struct mongodb_find *find)
{
    forget_documents(find);
    find->status = mongodb_reach_may_try(store, client);
    if (find->status.code != STATUS_OK)
        return;
    mongoc_collection_t *collection = mongodb_collection(store, client, find->collection);
    if (find->local)
        read_locally(collection);
    mongoc_cursor_t *cursor =
        mongoc_collection_find_with_opts(collection, &find->filter, &find->options, NULL);
    find->status = take_documents(store, cursor, find);
    mongoc_cursor_destroy(cursor);
    mongoc_collection_destroy(collection);
}

struct status mongodb_ask(struct mongodb_store *store, struct mongodb_find *find)
{
    mongoc_client_t *client = NULL;
    STATUS_TRY(mongodb_client_take(store, &client));
    mongodb_find_run(store, client, find);
    mongodb_client_give(store, client);
    return find->status;
}

/* ---- BSON ---- */

void put_bound(bson_t *to, const char *key, const char *operator, int64_t value)
{
    bson_t child;
    (void)bson_append_document_begin(to, key, -1, &child);
    put_int(&child, operator, value);
    (void)bson_append_document_end(to, &child);
}

struct bytes iter_bytes(const bson_iter_t *at)
{
    uint32_t size_bytes = 0;
    if (BSON_ITER_HOLDS_UTF8(at)) {
        const char *text = bson_iter_utf8(at, &size_bytes);
        return bytes_of(text, size_bytes);
    }
    if (BSON_ITER_HOLDS_BINARY(at)) {
        const uint8_t *data = NULL;
        bson_subtype_t subtype = BSON_SUBTYPE_BINARY;
        bson_iter_binary(at, &subtype, &size_bytes, &data);
        return bytes_of(data, size_bytes);
    }
    return BYTES_NONE;
}

int64_t get_int(const bson_t *from, const char *key)
{
    bson_iter_t at;
    return bson_iter_init_find(&at, from, key) ? bson_iter_as_int64(&at) : 0;
}

struct bytes get_bytes(const bson_t *from, const char *key)
{
    bson_iter_t at;
    return bson_iter_init_find(&at, from, key) ? iter_bytes(&at) : BYTES_NONE;
}

bool get_array(const bson_t *from, const char *key, bson_iter_t *ret)
{
    bson_iter_t at;
    return bson_iter_init_find(&at, from, key) && BSON_ITER_HOLDS_ARRAY(&at) && bson_iter_recurse(&at, ret);
}

static bool find_member(const bson_iter_t *at, const char *key, bson_iter_t *ret)
{
    return BSON_ITER_HOLDS_DOCUMENT(at) && bson_iter_recurse(at, ret) && bson_iter_find(ret, key);
}

int64_t iter_member_int(const bson_iter_t *at, const char *key)
{
    bson_iter_t member;
    return find_member(at, key, &member) ? bson_iter_as_int64(&member) : 0;
}

struct bytes iter_member_bytes(const bson_iter_t *at, const char *key)
{
    bson_iter_t member;
    return find_member(at, key, &member) ? iter_bytes(&member) : BYTES_NONE;
}

static const char digits[] = "0123456789abcdef";

void hex_text(struct bytes bytes, char *to)
{
    for (size_t i = 0; i < bytes.size_bytes; i++) {
        *to++ = digits[bytes.data[i] >> 4];
        *to++ = digits[bytes.data[i] & 15];
    }
    *to = '\0';
}

/* -1 = none. */
static int digit_of(uint8_t letter)
{
    const char *at = letter == '\0' ? NULL : strchr(digits, letter);
    return at == NULL ? -1 : (int)(at - digits);
}

bool hex_bytes(struct bytes text, uint8_t *to, size_t room, size_t *ret_size)
{
    if (text.size_bytes % 2 != 0 || text.size_bytes / 2 > room)
        return false;
    for (size_t i = 0; i < text.size_bytes; i += 2) {
        const int high = digit_of(text.data[i]);
        const int low = digit_of(text.data[i + 1]);
        if (high < 0 || low < 0)
            return false;
        to[i / 2] = (uint8_t)(high * 16 + low);
    }
    *ret_size = text.size_bytes / 2;
    return true;
}
