/* The store's own parts, for the files of this room. */
#pragma once

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

#include "mongodb_link_internal.h"
#include "store/hash_table.h"
#include "store/mongodb/mongodb_store.h"

#define POOL_MAX        64U
#define CREW_THREADS    4U
#define LENT_MOST       (POOL_MAX + CREW_THREADS + 1U) /* the writer's */
#define AV_TEXT_BYTES   280U                           /* an id, a separator, a version */
#define AV_SEPARATOR    0x1f                           /* never in an id */
#define PAGE_BYTES_MOST ((size_t)1024 * 1024)

/* ---- threads that ask at the same time (mongodb_crew.c) ---- */

struct mongodb_crew {
    struct mongodb_store *store;
    pthread_t threads[CREW_THREADS];
    size_t thread_count;
    pthread_mutex_t lock; /* guards all below; a leaf */
    pthread_cond_t work;
    pthread_cond_t finished;
    struct mongodb_find **finds; /* of the round that is under way */
    size_t count;
    size_t next;    /* the first that nobody has taken */
    size_t working; /* taken and not answered */
    bool stopping;
};

STATUS_MUST_CHECK struct status mongodb_crew_start(struct mongodb_crew *crew, struct mongodb_store *store);
void mongodb_crew_stop(struct mongodb_crew *crew);
/* Runs all of them, the caller's thread with its client among the others. */
void mongodb_crew_run(struct mongodb_crew *crew, mongoc_client_t **client, struct mongodb_find **finds,
                      size_t count);

/* ---- heads that are known (mongodb_cache.c) ---- */

struct mongodb_head {
    struct bytes id;
    struct bytes type;
    bool exists; /* false = it is known that there is none */
    int32_t version;
    int64_t first_position;
    int64_t position;
    int32_t event_count;
};

/* All as of `head`: documents never change, so what is behind it brings the rest up to date. The writer's thread only. */
struct mongodb_cache {
    bool known; /* head is */
    struct store_head head;
    int64_t newest; /* _id of the newest append; 0 = none */
    struct hash_table by_id;
    struct mongodb_head *heads;
    size_t count;
    size_t capacity;
    struct arena *texts;
};

STATUS_MUST_CHECK struct status mongodb_cache_init(struct mongodb_cache *cache, uint64_t seed);
void mongodb_cache_done(struct mongodb_cache *cache);
void mongodb_cache_forget(struct mongodb_cache *cache);
/* Forgets all heads unless so many more have room. */
void mongodb_cache_make_room(struct mongodb_cache *cache, size_t count);
struct mongodb_head *mongodb_cache_find(struct mongodb_cache *cache, struct bytes id); /* NULL = not known */
/* The one of this id, perhaps new (and then one that does not exist); NULL when out of memory. */
struct mongodb_head *mongodb_cache_enter(struct mongodb_cache *cache, struct bytes id);
/* Enters one element of "agg"; false when out of memory. */
bool mongodb_cache_take(struct mongodb_cache *cache, const bson_iter_t *entry);
/* Moves on to an append, with its aggregates as far as they are known. */
STATUS_MUST_CHECK struct status mongodb_cache_follow(struct mongodb_cache *cache, const bson_t *append);

/* ---- the driver's clients (mongodb_clients.c) ---- */

struct mongodb_driver;

struct mongodb_lent {
    mongoc_client_t *client;
    struct mongodb_driver *driver;
};

STATUS_MUST_CHECK struct status mongodb_clients_open(struct mongodb_store *store);
void mongodb_clients_close(struct mongodb_store *store); /* when none is lent */

/* For who keeps one; does not wait for others, and not for the server. */
mongoc_client_t *mongodb_client_lend(struct mongodb_store *store);
void mongodb_client_return(struct mongodb_store *store, mongoc_client_t *client);
/* Who keeps one calls this before each use: exchanges it if a new driver was made. */
void mongodb_client_refresh(struct mongodb_store *store, mongoc_client_t **client);

/* For one question: waits for one of pool_size that nobody uses, for connect_timeout at most, and for the server to be ready. */
STATUS_MUST_CHECK struct status mongodb_client_take(struct mongodb_store *store, mongoc_client_t **ret);
void mongodb_client_give(struct mongodb_store *store, mongoc_client_t *client);

/* Whether the driver of this one, which is lent, has forgotten all servers; then a new one is made, once a second at most. */
bool mongodb_clients_forgotten(struct mongodb_store *store, const mongoc_client_t *client);

/* ---- the store ---- */

/* The options, copied and completed. */
struct mongodb_settings {
    mongoc_uri_t *uri;
    char *hosts; /* for messages: no password */
    char *database;
    char *store_id;
    unsigned pool_size;
    uint32_t connect_timeout_ms;
    uint32_t io_timeout_ms;
    uint32_t settle_timeout_ms;
};

/* How many events there are of each type, up to a position. */
struct mongodb_tally {
    struct bytes type; /* malloc'd */
    int64_t count;
};

struct mongodb_tallies {
    struct mongodb_tally *items;
    size_t count;
    size_t capacity;
};

struct mongodb_store {
    struct event_store store; /* first: the engine is the store */
    struct mongodb_settings settings;
    const struct clock *clock;
    struct log *log;
    uint64_t seed; /* of hash tables over names from outside */

    mongoc_client_t *writer; /* the writer's thread only, as all to the next blank line */
    struct mongodb_cache cache;
    struct mongodb_crew crew;
    unsigned overtaken_in_a_row;

    pthread_mutex_t reach_lock; /* guards all to the next blank line; a leaf */
    struct status failure;      /* OK, or why the server could not be reached last time */
    bool unreachable;           /* no primary was found then */
    bool forgotten;             /* the driver has lost all servers since then */

    pthread_mutex_t ready_lock; /* held while indexes are made; guards the next one */
    atomic_bool ready;

    pthread_mutex_t pool_lock; /* guards all to the next blank line; a leaf */
    pthread_cond_t pool_free;
    unsigned pool_taken;
    struct mongodb_driver *driver; /* the one in use */
    struct mongodb_lent lent[LENT_MOST];
    size_t lent_count;
    _Atomic unsigned retired; /* drivers beside that; changed under the lock */

    pthread_mutex_t tally_lock; /* held while the server counts; guards all to the next blank line */
    int64_t tallied_to;         /* position */
    struct mongodb_tallies events;
    struct mongodb_tallies aggregates;

    _Atomic int64_t known_head; /* a position that is known to be stored */
    _Atomic int64_t healthy_at_us;
};

static inline struct mongodb_store *mongodb_of(struct event_store *store)
{
    return (struct mongodb_store *)store;
}

struct status mongodb_no_memory(void);
void mongodb_know_head(struct mongodb_store *store, int64_t position);
void mongodb_pause(int64_t most_us); /* for a random part of it */

/* --- whether the server can be reached (mongodb_reach.c) --- */
/* OK = try; else the last failure, until the driver knows of a primary again. */
STATUS_MUST_CHECK struct status mongodb_reach_may_try(struct mongodb_store *store, mongoc_client_t *client);
void mongodb_reach_failed(struct mongodb_store *store, const struct status *why); /* no primary was found */
void mongodb_reach_lost(struct mongodb_store *store, const struct status *why);   /* a connection was */
void mongodb_reach_succeeded(struct mongodb_store *store);
STATUS_MUST_CHECK struct status mongodb_reach_status(struct mongodb_store *store);

/* --- the server and the indexes (mongodb_schema.c) --- */
/* The first call looks at the server and makes the indexes. */
STATUS_MUST_CHECK struct status mongodb_store_ready(struct mongodb_store *store, mongoc_client_t *client);
STATUS_MUST_CHECK struct status mongodb_check_server(struct mongodb_store *store, mongoc_client_t *client);

/* --- values of any size (mongodb_values.c) --- */

/*
 * A document's field "v", or, of a value that is too large for one document, parts beside it, written before the document
 * that names them.
 */
#define VALUE_FIELDS "v", "gen", "parts"

/* Adds the value to the document that is to be written; its parts are stored when this returns. */
STATUS_MUST_CHECK struct status mongodb_value_write(struct mongodb_store *store, mongoc_client_t *client,
                                                    struct bytes value, bson_t *document);
/* Puts it in place of the one with its _id; the parts of that go. */
STATUS_MUST_CHECK struct status mongodb_value_put(struct mongodb_store *store, mongoc_client_t *client,
                                                  const char *collection, struct bytes id,
                                                  const bson_t *document);
STATUS_MUST_CHECK struct status mongodb_value_remove(struct mongodb_store *store, const char *collection,
                                                     struct bytes id);
/* The value into `arena`. *ret_whole false = its parts are gone: the document was replaced, read it again. */
STATUS_MUST_CHECK struct status mongodb_value_read(struct mongodb_store *store, const bson_t *document,
                                                   struct arena *arena, struct bytes *ret, bool *ret_whole);
/* So often is a document read again whose parts are gone. */
#define VALUE_ATTEMPTS 10

/* --- operations --- */
STATUS_MUST_CHECK struct status mongodb_head_of(const bson_t *append, struct store_head *ret);
/* Asks for the newest append, without its records; not below a head that is known (0 = none is). */
void mongodb_newest(struct mongodb_find *find, int64_t known_head);
/* The newest append that moves the aggregate, of which only the aggregate's own entry is asked for. */
void mongodb_ask_aggregate(struct mongodb_find *find, struct bytes id);
void mongodb_av_text(struct bytes aggregate_id, int64_t version, char to[AV_TEXT_BYTES]);

struct status mongodb_store_facts(struct event_store *store, const struct facts_request *request,
                                  struct arena *arena, struct facts *ret);
/* The heads of these aggregates into the cache, as of its head. */
STATUS_MUST_CHECK struct status mongodb_learn_heads(struct mongodb_store *store, const struct bytes *ids,
                                                    size_t count);
void mongodb_store_commit(struct event_store *store, const struct commit_batch *batch, commit_done done,
                          void *context);

/* The documents of a batch; each is the caller's, to be freed by bson_destroy(), also after a failure. */
STATUS_MUST_CHECK struct status mongodb_write_batch(struct mongodb_store *store,
                                                    const struct commit_batch *batch, bson_t **documents);

struct status mongodb_store_read(struct event_store *store, const struct read_query *query, record_sink sink,
                                 void *context);
/* The records of an append, borrowed from it; `room` for as many as an append may have. */
STATUS_MUST_CHECK struct status mongodb_records(const bson_t *append, struct record *records, size_t room,
                                                size_t *ret_count);
struct status mongodb_store_head(struct event_store *store, struct store_head *ret);
struct status mongodb_store_aggregate(struct event_store *store, struct bytes id, struct arena *arena,
                                      struct aggregate_head *ret);
struct status mongodb_store_aggregates(struct event_store *store, struct bytes type,
                                       int64_t after_first_position, aggregate_sink sink, void *context);
struct status mongodb_store_find_id(struct event_store *store, struct bytes event_id, int64_t *ret_position);
struct status mongodb_store_find_time(struct event_store *store, int64_t time_us, int64_t *ret_position);
struct status mongodb_store_stats(struct event_store *store, struct arena *arena,
                                  struct event_store_stats *ret);
void mongodb_tallies_done(struct mongodb_tallies *tallies);

struct status mongodb_store_state_get(struct event_store *store, struct bytes key, struct arena *arena,
                                      struct bytes *ret);
struct status mongodb_store_state_put(struct event_store *store, struct bytes key, struct bytes value);
struct status mongodb_store_state_swap(struct event_store *store, struct bytes key,
                                       const struct bytes *expected, struct bytes value, bool *ret_put);
struct status mongodb_store_state_remove(struct event_store *store, struct bytes key);
struct status mongodb_store_state_list(struct event_store *store, struct bytes prefix, struct bytes after_key,
                                       state_sink sink, void *context);
struct status mongodb_store_lease(struct event_store *store, struct bytes name, struct bytes holder,
                                  int64_t ttl_ms, struct lease *ret);
struct status mongodb_store_lease_forget(struct event_store *store, struct bytes name, struct bytes holder,
                                         int64_t epoch);
struct status mongodb_store_lease_release(struct event_store *store, struct bytes name, struct bytes holder,
                                          int64_t epoch);
struct status mongodb_store_checkpoint_put(struct event_store *store, struct bytes name, int64_t position,
                                           int64_t epoch);
struct status mongodb_store_checkpoint_get(struct event_store *store, struct bytes name,
                                           struct checkpoint *ret);
struct status mongodb_store_checkpoint_remove(struct event_store *store, struct bytes name);
struct status mongodb_store_checkpoints(struct event_store *store, checkpoint_sink sink, void *context);
