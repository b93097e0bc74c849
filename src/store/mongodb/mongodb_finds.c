/* Questions with short answers: the head, aggregates, one id, one time. */
#include <stdlib.h>
#include <string.h>

#include "mongodb_internal.h"

#define LIST_FIRST 8
#define LIST_MOST  64

static struct status find_head(struct mongodb_store *store, int64_t known_head, struct store_head *ret)
{
    struct mongodb_find find;
    mongodb_newest(&find, known_head);
    struct status status = mongodb_ask(store, &find);
    *ret = (struct store_head){0};
    if (status.code == STATUS_OK && find.count > 0)
        status = mongodb_head_of(find.documents[0], ret);
    mongodb_find_done(&find);
    return status;
}

struct status mongodb_store_head(struct event_store *base, struct store_head *ret)
{
    struct mongodb_store *store = mongodb_of(base);
    const int64_t known_head = atomic_load(&store->known_head);
    struct store_head head;
    STATUS_TRY(find_head(store, known_head, &head));
    if (head.position < known_head) /* the database was set back */
        STATUS_TRY(find_head(store, 0, &head));
    mongodb_know_head(store, head.position);
    *ret = head;
    return status_ok();
}

struct status mongodb_store_find_id(struct event_store *store, struct bytes event_id, int64_t *ret_position)
{
    static const char *const fields[] = {"ids"};
    struct mongodb_find find;
    bson_iter_t id;
    int64_t position = 0;
    mongodb_find_init(&find, "appends");
    put_text(&find.filter, "ids", event_id);
    mongodb_find_options(&find, NULL, 0, 1, fields, 1);
    const struct status status = mongodb_ask(mongodb_of(store), &find);
    if (status.code == STATUS_OK && find.count > 0 && get_array(find.documents[0], "ids", &id))
        for (int64_t at = get_int(find.documents[0], "_id"); bson_iter_next(&id); at++)
            if (bytes_equal(iter_bytes(&id), event_id))
                position = at;
    mongodb_find_done(&find);
    STATUS_TRY(status);
    *ret_position = position;
    return status_ok();
}

struct status mongodb_store_find_time(struct event_store *store, int64_t time_us, int64_t *ret_position)
{
    static const char *const fields[] = {"last"};
    struct mongodb_find find;
    mongodb_find_init(&find, "appends");
    put_bound(&find.filter, "ts", "$lte", time_us);
    mongodb_find_options(&find, "ts", -1, 1, fields, 1); /* each append is later than the one before */
    const struct status status = mongodb_ask(mongodb_of(store), &find);
    const int64_t position =
        status.code == STATUS_OK && find.count > 0 ? get_int(find.documents[0], "last") : 0;
    mongodb_find_done(&find);
    STATUS_TRY(status);
    *ret_position = position;
    return status_ok();
}

/* ---- aggregates ---- */

/* The newest append that moves it says where it is; only its own entry is asked for. */
void mongodb_ask_aggregate(struct mongodb_find *find, struct bytes id)
{
    bson_t child;
    bson_t entry;
    bson_t match;
    mongodb_find_init(find, "appends");
    put_text(&find->filter, "agg.a", id);
    mongodb_find_options(find, "last", -1, 1, NULL, 0);
    (void)bson_append_document_begin(&find->options, "projection", -1, &child);
    (void)bson_append_document_begin(&child, "agg", -1, &entry);
    (void)bson_append_document_begin(&entry, "$elemMatch", -1, &match);
    put_text(&match, "a", id);
    (void)bson_append_document_end(&entry, &match);
    (void)bson_append_document_end(&child, &entry);
    (void)bson_append_document_end(&find->options, &child);
}

static struct status take_aggregate(const struct mongodb_find *find, struct bytes id, struct arena *arena,
                                    struct aggregate_head *ret)
{
    bson_iter_t entry;
    *ret = (struct aggregate_head){0};
    if (find->count == 0 || !get_array(find->documents[0], "agg", &entry))
        return status_ok();
    while (bson_iter_next(&entry)) {
        if (!bytes_equal(iter_member_bytes(&entry, "a"), id))
            continue;
        *ret = (struct aggregate_head){
            .exists = true,
            .type = arena_bytes(arena, iter_member_bytes(&entry, "t")),
            .version = (int32_t)iter_member_int(&entry, "v"),
            .first_position = iter_member_int(&entry, "f"),
            .position = iter_member_int(&entry, "p"),
            .event_count = (int32_t)iter_member_int(&entry, "c"),
        };
        return ret->type.data != NULL ? status_ok() : mongodb_no_memory();
    }
    return status_ok();
}

struct status mongodb_store_aggregate(struct event_store *store, struct bytes id, struct arena *arena,
                                      struct aggregate_head *ret)
{
    struct mongodb_find find;
    struct aggregate_head head = {0};
    mongodb_ask_aggregate(&find, id);
    struct status status = mongodb_ask(mongodb_of(store), &find);
    if (status.code == STATUS_OK)
        status = take_aggregate(&find, id, arena, &head);
    mongodb_find_done(&find);
    STATUS_TRY(status);
    *ret = head;
    return status_ok();
}

/* ---- the list of aggregates ---- */

struct listing {
    struct mongodb_store *store;
    struct bytes type; /* empty = all */
    int64_t after;     /* first position */
    int64_t limit;
    struct arena *arena;
    aggregate_sink sink;
    void *context;
    bool stopped;
};

static void ask_born(struct mongodb_find *find, const struct listing *listing)
{
    static const char *const fields[] = {"born"};
    mongodb_find_init(find, "appends");
    if (listing->type.size_bytes > 0)
        put_text(&find->filter, "bts", listing->type);
    put_bound(&find->filter, "bl", "$gt", listing->after);
    mongodb_find_options(find, "bl", 1, listing->limit, fields, 1);
    find->bytes_most = PAGE_BYTES_MOST;
}

static struct status list_one(struct listing *listing, const bson_iter_t *born)
{
    struct aggregate_head head;
    const struct bytes id = iter_member_bytes(born, "a");
    const int64_t first_position = iter_member_int(born, "p");
    if (first_position <= listing->after ||
        (listing->type.size_bytes > 0 && !bytes_equal(iter_member_bytes(born, "t"), listing->type)))
        return status_ok();
    arena_reset(listing->arena);
    STATUS_TRY(mongodb_store_aggregate(&listing->store->store, id, listing->arena, &head));
    listing->after = first_position;
    listing->stopped = head.exists && !listing->sink(listing->context, id, &head);
    return status_ok();
}

static struct status list_page(struct listing *listing, const struct mongodb_find *page)
{
    bson_iter_t born;
    for (size_t i = 0; i < page->count; i++) {
        if (!get_array(page->documents[i], "born", &born))
            continue;
        while (!listing->stopped && bson_iter_next(&born))
            STATUS_TRY(list_one(listing, &born));
    }
    return status_ok();
}

static struct status list_pages(struct listing *listing)
{
    while (!listing->stopped) {
        struct mongodb_find page;
        ask_born(&page, listing);
        struct status status = mongodb_ask(listing->store, &page);
        const bool last = !page.cut && (int64_t)page.count < listing->limit;
        if (status.code == STATUS_OK)
            status = list_page(listing, &page);
        mongodb_find_done(&page);
        STATUS_TRY(status);
        listing->stopped = listing->stopped || last;
        listing->limit = listing->limit * 2 > LIST_MOST ? LIST_MOST : listing->limit * 2;
    }
    return status_ok();
}

struct status mongodb_store_aggregates(struct event_store *store, struct bytes type,
                                       int64_t after_first_position, aggregate_sink sink, void *context)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (arena == NULL)
        return mongodb_no_memory();
    struct listing listing = {.store = mongodb_of(store),
                              .type = type,
                              .after = after_first_position,
                              .limit = LIST_FIRST,
                              .arena = arena,
                              .sink = sink,
                              .context = context};
    return list_pages(&listing);
}
