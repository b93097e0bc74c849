/* Records by position, aggregate, type and other keys: page by page, so that no client waits for a slow reader. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "mongodb_internal.h"
#include "store/append.h"

#define PAGE_APPENDS_FIRST 32
#define PAGE_APPENDS_MOST  256
#define WINDOW_FIRST       32 /* versions: an append rarely moves one aggregate so far */

struct walk {
    const struct read_query *query;
    int64_t after; /* exclusive, in the order of positions, whatever the direction */
    int64_t to;    /* inclusive */
    int64_t limit;
    int64_t window; /* READ_BY_POSITION: only appends that end in so many positions */
    struct mongodb_find find;
    struct record records[APPEND_EVENTS_MAX];
    bool stopped; /* by the sink, or nothing more can come */
};

/* ---- records of a document ---- */

struct status mongodb_records(const bson_t *append, struct record *records, size_t room, size_t *ret_count)
{
    bson_iter_t record;
    bson_iter_t header_bytes;
    size_t count = 0;
    const int64_t first = get_int(append, "_id");
    const int64_t last = get_int(append, "last");
    if (get_array(append, "recs", &record) && get_array(append, "hb", &header_bytes))
        for (; count < room && bson_iter_next(&record) && bson_iter_next(&header_bytes); count++) {
            records[count] = (struct record){iter_bytes(&record), (size_t)bson_iter_as_int64(&header_bytes)};
            if (records[count].header_bytes > records[count].bytes.size_bytes)
                return status_reason(
                    REASON_DAMAGED, "the event at position %" PRId64 " has %zu bytes and a header of %zu",
                    first + (int64_t)count, records[count].bytes.size_bytes, records[count].header_bytes);
        }
    if (count == 0 || (int64_t)count != last - first + 1)
        return status_reason(REASON_DAMAGED,
                             "the append at position %" PRId64 " holds %zu events and was of %" PRId64, first,
                             count, last - first + 1);
    *ret_count = count;
    return status_ok();
}

static bool has_tag(const struct event_fields *fields, struct bytes tag)
{
    for (size_t i = 0; i < fields->tag_count; i++)
        if (bytes_equal(fields->tags[i], tag))
            return true;
    return false;
}

static bool matches(const struct read_query *query, const struct event_fields *fields)
{
    switch (query->by) {
    case READ_BY_POSITION:
        return true;
    case READ_BY_AGGREGATE:
        return bytes_equal(fields->aggregate_id, query->key) && fields->version >= query->from_version &&
               fields->version <= query->to_version;
    case READ_BY_TYPE:
        return bytes_equal(fields->type, query->key);
    case READ_BY_AGGREGATE_TYPE:
        return bytes_equal(fields->aggregate_type, query->key);
    case READ_BY_CORRELATION:
        return bytes_equal(fields->correlation_id, query->key);
    case READ_BY_TAG:
        return has_tag(fields, query->key);
    }
    return false;
}

static struct status is_wanted(const struct walk *walk, int64_t position, struct record record, bool *ret)
{
    struct event_fields fields;
    *ret = position > walk->query->after_position && position <= walk->to;
    if (!*ret || walk->query->by == READ_BY_POSITION)
        return status_ok();
    STATUS_TRY(record_decode_header(record, &fields));
    *ret = matches(walk->query, &fields);
    return status_ok();
}

static struct status deliver_append(struct walk *walk, const bson_t *append, record_sink sink, void *context)
{
    size_t count = 0;
    const int64_t first = get_int(append, "_id");
    STATUS_TRY(mongodb_records(append, walk->records, APPEND_EVENTS_MAX, &count));
    for (size_t i = 0; i < count && !walk->stopped; i++) {
        const size_t at = walk->query->backward ? count - 1 - i : i;
        bool wanted = false;
        STATUS_TRY(is_wanted(walk, first + (int64_t)at, walk->records[at], &wanted));
        if (wanted)
            walk->stopped = !sink(context, first + (int64_t)at, walk->records[at]);
    }
    return status_ok();
}

/* ---- the question ---- */

static const char *key_field(enum read_by by)
{
    switch (by) {
    case READ_BY_AGGREGATE:
        return "agg.a";
    case READ_BY_TYPE:
        return "types";
    case READ_BY_AGGREGATE_TYPE:
        return "atypes";
    case READ_BY_CORRELATION:
        return "corr";
    case READ_BY_TAG:
        return "tags";
    case READ_BY_POSITION:
        break;
    }
    return NULL;
}

/* The bounds are narrow, though a limit is given too: not every server stops reading where it could. */
static int64_t window_after(const struct walk *walk)
{
    const bool narrow = walk->query->by == READ_BY_POSITION && walk->query->backward;
    return narrow && walk->to - walk->window > walk->after ? walk->to - walk->window : walk->after;
}

static int64_t window_to(const struct walk *walk)
{
    const bool narrow = walk->query->by == READ_BY_POSITION && !walk->query->backward;
    const int64_t most =
        walk->to + (int64_t)APPEND_EVENTS_MAX - 1; /* the append that holds `to` ends here at last */
    return narrow && walk->after + walk->window < most ? walk->after + walk->window : most;
}

static void ask_page(struct walk *walk)
{
    static const char *const fields[] = {"last", "recs", "hb"};
    bson_t bounds;
    bson_t *filter = &walk->find.filter;
    const int64_t events = walk->to - walk->after; /* appends are not more */
    bson_reinit(filter);
    if (walk->query->by != READ_BY_POSITION)
        put_text(filter, key_field(walk->query->by), walk->query->key);
    (void)bson_append_document_begin(filter, "last", -1, &bounds);
    put_int(&bounds, "$gt", window_after(walk));
    put_int(&bounds, "$lte", window_to(walk));
    (void)bson_append_document_end(filter, &bounds);
    put_bound(filter, "_id", "$lte", walk->to);
    mongodb_find_options(&walk->find, "last", walk->query->backward ? -1 : 1,
                         walk->limit < events ? walk->limit : events, fields, 3);
    walk->find.bytes_most = PAGE_BYTES_MOST;
}

static struct status missing(int64_t position)
{
    return status_reason(REASON_POSITION_MISSING, "the event at position %" PRId64 " is not in the database",
                         position);
}

/* A reader never steps over a missing position. */
static struct status check_gapless(const struct walk *walk, const bson_t *append)
{
    const int64_t first = get_int(append, "_id");
    const int64_t last = get_int(append, "last");
    if (walk->query->by != READ_BY_POSITION)
        return status_ok();
    const int64_t next = walk->query->backward ? walk->to : walk->after + 1;
    return first <= next && next <= last ? status_ok() : missing(next);
}

static struct status deliver_page(struct walk *walk, record_sink sink, void *context)
{
    for (size_t i = 0; i < walk->find.count && !walk->stopped; i++) {
        const bson_t *append = walk->find.documents[i];
        STATUS_TRY(check_gapless(walk, append));
        STATUS_TRY(deliver_append(walk, append, sink, context));
        if (walk->query->backward)
            walk->to = get_int(append, "_id") - 1;
        else
            walk->after = get_int(append, "last");
    }
    return status_ok();
}

/* No append ends in a window that is smaller than it: then one that none is larger than. */
static struct status next_window(struct walk *walk)
{
    const bool empty = walk->find.count == 0;
    if (empty && walk->window >= (int64_t)APPEND_EVENTS_MAX)
        return missing(walk->query->backward ? walk->to : walk->after + 1);
    walk->window = empty ? (int64_t)APPEND_EVENTS_MAX : PAGE_APPENDS_MOST;
    return status_ok();
}

static struct status walk_pages(struct mongodb_store *store, struct walk *walk, record_sink sink,
                                void *context)
{
    while (!walk->stopped && walk->after < walk->to) {
        ask_page(walk);
        STATUS_TRY(mongodb_ask(store, &walk->find));
        const bool last = !walk->find.cut && (int64_t)walk->find.count < walk->limit;
        STATUS_TRY(deliver_page(walk, sink, context));
        if (walk->query->by == READ_BY_POSITION)
            STATUS_TRY(next_window(walk));
        else
            walk->stopped = walk->stopped || last;
        walk->limit = walk->limit * 2 > PAGE_APPENDS_MOST ? PAGE_APPENDS_MOST : walk->limit * 2;
    }
    return status_ok();
}

/* ---- where an aggregate's versions are ---- */

/* The append that holds this version of the aggregate, or the next: its first and last position; 0 = there is none. */
static struct status find_version(struct mongodb_store *store, struct bytes id, int64_t version,
                                  int64_t window, int64_t *ret_first, int64_t *ret_last)
{
    static const char *const fields[] = {"last"};
    char from[AV_TEXT_BYTES];
    char to[AV_TEXT_BYTES];
    struct mongodb_find find;
    bson_t any;
    bson_t bounds;
    const int64_t end = version + window > INT32_MAX ? INT32_MAX : version + window;
    mongodb_av_text(id, version, from);
    mongodb_av_text(id, end, to);
    mongodb_find_init(&find, "appends");
    (void)bson_append_document_begin(&find.filter, "av", -1, &any);
    (void)bson_append_document_begin(&any, "$elemMatch", -1, &bounds);
    put_text(&bounds, "$gte", bytes_of_text(from));
    put_text(&bounds, "$lte", bytes_of_text(to));
    (void)bson_append_document_end(&any, &bounds);
    (void)bson_append_document_end(&find.filter, &any);
    mongodb_find_options(&find, "_id", 1, 1, fields, 1);
    const struct status status = mongodb_ask(store, &find);
    *ret_first = *ret_last = 0;
    if (status.code == STATUS_OK && find.count > 0) {
        *ret_first = get_int(find.documents[0], "_id");
        *ret_last = get_int(find.documents[0], "last");
    }
    mongodb_find_done(&find);
    return status;
}

static struct status find_append_of(struct mongodb_store *store, struct bytes id, int64_t version,
                                    int64_t *ret_first, int64_t *ret_last)
{
    STATUS_TRY(find_version(store, id, version, WINDOW_FIRST, ret_first, ret_last));
    return *ret_first > 0 ? status_ok()
                          : find_version(store, id, version, (int64_t)APPEND_EVENTS_MAX, ret_first, ret_last);
}

/* Versions rise with the positions: what lies before the first that is asked for, and behind the last, is passed over. */
static struct status narrow(struct mongodb_store *store, struct walk *walk)
{
    const struct read_query *query = walk->query;
    int64_t first = 0;
    int64_t last = 0;
    if (query->from_version > query->to_version || query->to_version < 0)
        walk->stopped = true;
    if (walk->stopped || query->key.size_bytes > 255)
        return status_ok();
    if (query->from_version > 1) {
        STATUS_TRY(find_append_of(store, query->key, query->from_version, &first, &last));
        walk->stopped = first == 0;
        if (walk->after < first - 1)
            walk->after = first - 1;
    }
    if (walk->stopped || query->to_version == INT32_MAX)
        return status_ok();
    STATUS_TRY(find_append_of(store, query->key, query->to_version, &first, &last));
    if (first > 0 && walk->to > last)
        walk->to = last;
    return status_ok();
}

/* ---- the whole ---- */

/* Up to the head when the read begins. */
static struct status find_end(struct mongodb_store *store, int64_t to_position, int64_t *ret)
{
    struct store_head head;
    *ret = to_position;
    if (to_position != 0 && to_position <= atomic_load(&store->known_head))
        return status_ok();
    STATUS_TRY(mongodb_store_head(&store->store, &head));
    if (to_position == 0 || to_position > head.position)
        *ret = head.position;
    return status_ok();
}

struct status mongodb_store_read(struct event_store *base, const struct read_query *query, record_sink sink,
                                 void *context)
{
    struct mongodb_store *store = mongodb_of(base);
    struct walk *walk = calloc(1, sizeof *walk);
    if (walk == NULL)
        return mongodb_no_memory();
    walk->query = query;
    walk->after = query->after_position;
    walk->limit = PAGE_APPENDS_FIRST;
    walk->window = PAGE_APPENDS_MOST;
    mongodb_find_init(&walk->find, "appends");
    struct status status = find_end(store, query->to_position, &walk->to);
    if (status.code == STATUS_OK && walk->after < walk->to && query->by == READ_BY_AGGREGATE)
        status = narrow(store, walk);
    if (status.code == STATUS_OK)
        status = walk_pages(store, walk, sink, context);
    mongodb_find_done(&walk->find);
    free(walk);
    return status;
}
