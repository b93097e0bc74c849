/*
 * Commands to the server, and BSON in this project's words.
 *
 * Threads   A client belongs to one thread at a time.
 * Blocking  As long as the time-outs allow.
 * Errors    What a person must mend (password, role) has its own code and names the remedy; all else is
 *           UNAVAILABLE/STORE_UNREACHABLE.
 */
#pragma once

#include <mongoc/mongoc.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/status.h"

struct mongodb_store;

#define CODE_DUPLICATE_KEY 11000

/* ---- one question ---- */

struct mongodb_find {
    const char *collection; /* "appends", …: behind the store's name */
    bson_t filter;
    bson_t options;
    size_t bytes_most; /* no further document is taken once those here have as many; 0 = all */
    bool local;        /* also what a majority of the servers has not yet */

    struct status status;
    bson_t **documents; /* copies */
    size_t count;
    size_t capacity;
    bool cut; /* there may be more: bytes_most was reached */
};

void mongodb_find_init(struct mongodb_find *find, const char *collection);
void mongodb_find_done(struct mongodb_find *find);
/* Asks; the answer is in it. What an earlier run has found is forgotten. */
void mongodb_find_run(struct mongodb_store *store, mongoc_client_t *client, struct mongodb_find *find);
/* Options: sorted by `key`, at most `limit`, with no other fields than those named ("" = all). */
void mongodb_find_options(struct mongodb_find *find, const char *key, int direction, int64_t limit,
                          const char *const *fields, size_t field_count);

/* Takes a client of the pool, runs it, gives the client back. */
STATUS_MUST_CHECK struct status mongodb_ask(struct mongodb_store *store, struct mongodb_find *find);

mongoc_collection_t *mongodb_collection(struct mongodb_store *store, mongoc_client_t *client,
                                        const char *name);

/* ---- what went wrong ---- */

STATUS_MUST_CHECK struct status mongodb_failed(struct mongodb_store *store, const bson_error_t *error);
/* Of a status of the former: the server is there, and its certificate not one that we trust. */
bool mongodb_is_distrusted(const struct status *status);
/* Nothing was executed, nor will be: the server said so, or it was not spoken to. */
bool mongodb_is_refusal(const bson_error_t *error);
/* The server may or may not have executed the command, or will take it when it is sent again. */
bool mongodb_is_lost(const bson_error_t *error);

/* ---- BSON ---- */

static inline void put_text(bson_t *to, const char *key, struct bytes text)
{
    (void)bson_append_utf8(to, key, -1, text.size_bytes == 0 ? "" : (const char *)text.data,
                           (int)text.size_bytes);
}

static inline void put_binary(bson_t *to, const char *key, struct bytes bytes)
{
    static const uint8_t nothing[1] = {0};
    (void)bson_append_binary(to, key, -1, BSON_SUBTYPE_BINARY, bytes.size_bytes == 0 ? nothing : bytes.data,
                             (uint32_t)bytes.size_bytes);
}

static inline void put_int(bson_t *to, const char *key, int64_t value)
{
    (void)bson_append_int64(to, key, -1, value);
}

/* {key: {operator: value}} */
void put_bound(bson_t *to, const char *key, const char *operator, int64_t value);

int64_t get_int(const bson_t *from, const char *key);        /* 0 = none */
struct bytes get_bytes(const bson_t *from, const char *key); /* a text or a binary; borrowed, empty = none */
struct bytes iter_bytes(const bson_iter_t *at);              /* the same of the element that it stands at */
bool get_array(const bson_t *from, const char *key, bson_iter_t *ret); /* its first element is the next */
int64_t iter_member_int(const bson_iter_t *at, const char *key);
struct bytes iter_member_bytes(const bson_iter_t *at, const char *key);

#define HEX_TEXT_BYTES(size) (2 * (size) + 2) /* with room for one more character and the NUL */
void hex_text(struct bytes bytes, char *to);
/* False when it is none, or longer than `room`. */
bool hex_bytes(struct bytes text, uint8_t *to, size_t room, size_t *ret_size);
