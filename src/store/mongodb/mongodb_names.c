/*
 * Leases and checkpoints: those of one name share a document with a revision. A change reads it, decides by
 * state_rules.h and replaces it if the revision is still the same; else it begins anew. Every change is one that may be
 * repeated: a lease that was taken is renewed by the same holder, a checkpoint put again.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "mongodb_internal.h"
#include "store/state_rules.h"

#define LIST_PAGE       64
#define CHANGE_TIME_US  INT64_C(10000000)
#define CHANGE_PAUSE_US INT64_C(4000)
#define NAME_ID_BYTES   HEX_TEXT_BYTES(LEASE_NAME_MAX_BYTES)

/* One document. */
struct named {
    int64_t revision; /* 0 = there is none */
    struct lease_state lease;
    uint8_t holder[LEASE_NAME_MAX_BYTES];
    bool has_checkpoint;
    struct checkpoint checkpoint;
    bool gone; /* the document is removed instead of replaced */
};

static bool fits(struct bytes name)
{
    return name.size_bytes >= 1 && name.size_bytes <= LEASE_NAME_MAX_BYTES;
}

/* ---- the document ---- */

static struct status take_named(const bson_t *document, struct named *ret)
{
    const struct bytes holder = get_bytes(document, "holder");
    if (holder.size_bytes > sizeof ret->holder)
        return status_reason(REASON_DAMAGED, "the holder of a lease has a name of %zu bytes",
                             holder.size_bytes);
    if (holder.size_bytes > 0)
        memcpy(ret->holder, holder.data, holder.size_bytes);
    ret->revision = get_int(document, "rev");
    ret->lease = (struct lease_state){
        .holder = bytes_of(ret->holder, holder.size_bytes),
        .lease = {.epoch = get_int(document, "epoch"), .ends_at_us = get_int(document, "ends")},
        .ttl_us = get_int(document, "ttl"),
    };
    ret->has_checkpoint = bson_has_field(document, "pos");
    ret->checkpoint = (struct checkpoint){get_int(document, "pos"), get_int(document, "pos_epoch"),
                                          get_int(document, "pos_at")};
    return status_ok();
}

static void write_named(bson_t *document, const char *id, const struct named *named)
{
    put_text(document, "_id", bytes_of_text(id));
    put_int(document, "rev", named->revision + 1);
    put_binary(document, "holder", named->lease.holder);
    put_int(document, "epoch", named->lease.lease.epoch);
    put_int(document, "ends", named->lease.lease.ends_at_us);
    put_int(document, "ttl", named->lease.ttl_us);
    if (!named->has_checkpoint)
        return;
    put_int(document, "pos", named->checkpoint.position);
    put_int(document, "pos_epoch", named->checkpoint.epoch);
    put_int(document, "pos_at", named->checkpoint.put_at_us);
}

static struct status read_named(struct mongodb_store *store, mongoc_client_t *client, const char *id,
                                struct named *ret)
{
    struct mongodb_find find;
    *ret = (struct named){0};
    mongodb_find_init(&find, "names");
    put_text(&find.filter, "_id", bytes_of_text(id));
    mongodb_find_run(store, client, &find);
    struct status status = find.status;
    if (status.code == STATUS_OK && find.count > 0)
        status = take_named(find.documents[0], ret);
    mongodb_find_done(&find);
    return status;
}

static bool replace_or_remove(mongoc_collection_t *collection, const char *id, const struct named *named,
                              const bson_t *document, bson_t *ret_reply, bool *ret_written,
                              bson_error_t *ret_error)
{
    bson_t selector;
    bson_init(&selector);
    put_text(&selector, "_id", bytes_of_text(id));
    put_int(&selector, "rev", named->revision);
    const bool ok =
        named->gone
            ? mongoc_collection_delete_one(collection, &selector, NULL, ret_reply, ret_error)
            : mongoc_collection_replace_one(collection, &selector, document, NULL, ret_reply, ret_error);
    *ret_written = ok && get_int(ret_reply, named->gone ? "deletedCount" : "matchedCount") == 1;
    bson_destroy(&selector);
    return ok;
}

/* *ret_written false = somebody else changed it meanwhile, or may have. */
static struct status replace_named(struct mongodb_store *store, mongoc_client_t *client, const char *id,
                                   const struct named *named, bool *ret_written)
{
    bson_t document;
    bson_t reply;
    bson_error_t error;
    bool ok = false;
    bson_init(&document);
    write_named(&document, id, named);
    mongoc_collection_t *collection = mongodb_collection(store, client, "names");
    if (named->revision == 0) {
        ok = mongoc_collection_insert_one(collection, &document, NULL, &reply, &error);
        *ret_written = ok;
    } else {
        ok = replace_or_remove(collection, id, named, &document, &reply, ret_written, &error);
    }
    bson_destroy(&reply);
    bson_destroy(&document);
    mongoc_collection_destroy(collection);
    return ok || error.code == CODE_DUPLICATE_KEY || mongodb_is_lost(&error) ? status_ok()
                                                                             : mongodb_failed(store, &error);
}

/* ---- a change ---- */

/* Changes `named` as it wants it; *ret_write false = nothing is to be written. */
typedef struct status (*decide_named)(void *context, struct named *named, bool *ret_write);

static struct status change_with(struct mongodb_store *store, mongoc_client_t *client, const char *id,
                                 decide_named decide_change, void *context)
{
    const int64_t until_us = clock_monotonic_us(store->clock) + CHANGE_TIME_US;
    bool done = false;
    do {
        struct named named;
        bool write = false;
        STATUS_TRY(read_named(store, client, id, &named));
        STATUS_TRY(decide_change(context, &named, &write));
        if (!write)
            return status_ok();
        STATUS_TRY(replace_named(store, client, id, &named, &done));
        if (!done)
            mongodb_pause(CHANGE_PAUSE_US);
    } while (!done && clock_monotonic_us(store->clock) < until_us);
    return done ? status_ok()
                : status_reason(REASON_STORE_UNREACHABLE,
                                "others change the same lease or checkpoint all the time; try again");
}

static struct status change(struct mongodb_store *store, struct bytes name, decide_named decide_change,
                            void *context)
{
    char id[NAME_ID_BYTES];
    mongoc_client_t *client = NULL;
    assert(fits(name));
    hex_text(name, id);
    STATUS_TRY(mongodb_client_take(store, &client));
    const struct status status = change_with(store, client, id, decide_change, context);
    mongodb_client_give(store, client);
    return status;
}

/* ---- leases ---- */

struct lease_call {
    const struct mongodb_store *store;
    struct bytes name;
    struct bytes holder;
    int64_t ttl_ms; /* take */
    int64_t epoch;  /* release */
    struct lease taken;
};

static struct status decide_take(void *context, struct named *named, bool *ret_write)
{
    struct lease_call *call = context;
    struct lease_state taken;
    STATUS_TRY(lease_take(&named->lease, call->name, call->holder, call->ttl_ms,
                          clock_now_us(call->store->clock), &taken));
    named->lease = taken;
    call->taken = taken.lease;
    *ret_write = true;
    return status_ok();
}

static struct status decide_release(void *context, struct named *named, bool *ret_write)
{
    const struct lease_call *call = context;
    *ret_write = lease_is_held(&named->lease, call->holder, call->epoch);
    named->lease.lease.ends_at_us = 0;
    return status_ok();
}

/* The rules are asked before the server is: what cannot be a lease is not looked for. */
static struct status check_lease(const struct lease_call *call)
{
    const struct lease_state never = {.holder = BYTES_NONE};
    struct lease_state taken;
    return lease_take(&never, call->name, call->holder, call->ttl_ms, 0, &taken);
}

struct status mongodb_store_lease(struct event_store *base, struct bytes name, struct bytes holder,
                                  int64_t ttl_ms, struct lease *ret)
{
    struct lease_call call = {.store = mongodb_of(base), .name = name, .holder = holder, .ttl_ms = ttl_ms};
    STATUS_TRY(check_lease(&call));
    STATUS_TRY(change(mongodb_of(base), name, decide_take, &call));
    *ret = call.taken;
    return status_ok();
}

struct status mongodb_store_lease_release(struct event_store *base, struct bytes name, struct bytes holder,
                                          int64_t epoch)
{
    struct lease_call call = {.store = mongodb_of(base), .name = name, .holder = holder, .epoch = epoch};
    return fits(name) ? change(mongodb_of(base), name, decide_release, &call) : status_ok();
}

static struct status decide_forget(void *context, struct named *named, bool *ret_write)
{
    STATUS_TRY(decide_release(context, named, ret_write));
    named->gone = !named->has_checkpoint; /* whose epochs those of the lease fence */
    return status_ok();
}

struct status mongodb_store_lease_forget(struct event_store *base, struct bytes name, struct bytes holder,
                                         int64_t epoch)
{
    struct lease_call call = {.store = mongodb_of(base), .name = name, .holder = holder, .epoch = epoch};
    return fits(name) ? change(mongodb_of(base), name, decide_forget, &call) : status_ok();
}

/* ---- checkpoints ---- */

struct checkpoint_call {
    const struct mongodb_store *store;
    struct checkpoint_request request;
};

static struct status decide_put(void *context, struct named *named, bool *ret_write)
{
    struct checkpoint_call *call = context;
    call->request.lease_epoch = named->lease.lease.epoch;
    STATUS_TRY(checkpoint_check(named->has_checkpoint ? &named->checkpoint : NULL, &call->request));
    named->has_checkpoint = true;
    named->checkpoint =
        (struct checkpoint){call->request.position, call->request.epoch, clock_now_us(call->store->clock)};
    *ret_write = true;
    return status_ok();
}

static struct status decide_remove(void *context, struct named *named, bool *ret_write)
{
    (void)context;
    *ret_write = named->has_checkpoint;
    named->has_checkpoint = false;
    return status_ok();
}

struct status mongodb_store_checkpoint_put(struct event_store *base, struct bytes name, int64_t position,
                                           int64_t epoch)
{
    struct mongodb_store *store = mongodb_of(base);
    struct checkpoint_call call = {
        .store = store,
        .request = {.name = name, .position = position, .epoch = epoch, .head_position = INT64_MAX}};
    struct store_head head = {.position = atomic_load(&store->known_head)};
    STATUS_TRY(checkpoint_check(NULL, &call.request));
    if (position > head.position)
        STATUS_TRY(mongodb_store_head(base, &head));
    call.request.head_position = head.position;
    return change(store, name, decide_put, &call);
}

struct status mongodb_store_checkpoint_get(struct event_store *base, struct bytes name,
                                           struct checkpoint *ret)
{
    struct mongodb_store *store = mongodb_of(base);
    char id[NAME_ID_BYTES];
    struct named named = {0};
    mongoc_client_t *client = NULL;
    if (fits(name)) {
        hex_text(name, id);
        STATUS_TRY(mongodb_client_take(store, &client));
        const struct status status = read_named(store, client, id, &named);
        mongodb_client_give(store, client);
        STATUS_TRY(status);
    }
    if (!named.has_checkpoint)
        return status_error(STATUS_NOT_FOUND, "no checkpoint \"%.*s\" is stored", BYTES_FORMAT(name));
    *ret = named.checkpoint;
    return status_ok();
}

struct status mongodb_store_checkpoint_remove(struct event_store *base, struct bytes name)
{
    return fits(name) ? change(mongodb_of(base), name, decide_remove, NULL) : status_ok();
}

/* ---- the list of checkpoints ---- */

struct listing {
    char after[NAME_ID_BYTES];
    checkpoint_sink sink;
    void *context;
    bool stopped;
};

static struct status deliver(struct listing *listing, const bson_t *document)
{
    uint8_t name[LEASE_NAME_MAX_BYTES];
    size_t name_bytes = 0;
    struct named named;
    const struct bytes id = get_bytes(document, "_id");
    if (!hex_bytes(id, name, sizeof name, &name_bytes))
        return status_reason(REASON_DAMAGED, "a checkpoint is stored under \"%.*s\", which is no name",
                             BYTES_FORMAT(id));
    STATUS_TRY(take_named(document, &named));
    memcpy(listing->after, id.data, id.size_bytes);
    listing->after[id.size_bytes] = '\0';
    listing->stopped = !listing->sink(listing->context, bytes_of(name, name_bytes), &named.checkpoint);
    return status_ok();
}

static struct status list_page(struct mongodb_store *store, struct listing *listing, bool *ret_last)
{
    struct mongodb_find page;
    bson_t bounds;
    mongodb_find_init(&page, "names");
    (void)bson_append_document_begin(&page.filter, "_id", -1, &bounds);
    put_text(&bounds, "$gt", bytes_of_text(listing->after));
    (void)bson_append_document_end(&page.filter, &bounds);
    put_bound(&page.filter, "pos", "$gte", 0);
    mongodb_find_options(&page, "_id", 1, LIST_PAGE, NULL, 0);
    struct status status = mongodb_ask(store, &page);
    for (size_t i = 0; status.code == STATUS_OK && i < page.count && !listing->stopped; i++)
        status = deliver(listing, page.documents[i]);
    *ret_last = page.count < LIST_PAGE;
    mongodb_find_done(&page);
    return status;
}

struct status mongodb_store_checkpoints(struct event_store *base, checkpoint_sink sink, void *context)
{
    struct listing listing = {.sink = sink, .context = context};
    bool last = false;
    while (!last && !listing.stopped)
        STATUS_TRY(list_page(mongodb_of(base), &listing, &last));
    return status_ok();
}
