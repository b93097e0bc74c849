/* The first of a batch's two packets: locks the head, reads the time, the named aggregates and the named ids. Of aggregates
 * that are known from batches before it asks what others have appended since. And the same ahead, without the lock. */
#include <string.h>

#include "base/clock.h"
#include "mysql_asking_internal.h"

static struct status ask(struct mysql_store *store, struct asking *asking)
{
    STATUS_TRY(mysql_asking_begin(asking));
    struct status status = mysql_asking_ask(store, asking);
    if (status.code == STATUS_OK && mysql_asking_is_useless(asking)) {
        mysql_known_forget(asking->known);
        status = mysql_asking_ask(store, asking);
    }
    STATUS_TRY(status);
    if (!asking->found_head)
        return status_reason(REASON_DAMAGED, "the row of the store is gone from strata_stores; restore it");
    return mysql_asking_end(asking);
}

/* Ends what was believed of a commit that did not take place. */
static void forget_misjudged(struct mysql_store *store)
{
    if (atomic_exchange(&store->misjudged, false))
        mysql_known_forget(&store->known);
}

static struct asking begin_asking(struct mysql_store *store, const struct facts_request *request,
                                  struct arena *arena, struct facts *ret)
{
    forget_misjudged(store);
    return (struct asking){
        .request = request,
        .arena = arena,
        .facts = ret,
        .known = &store->known,
        .asked = &store->known,
        .ids = hash_table_make(store->seed),
    };
}

struct status mysql_store_facts(struct event_store *base, const struct facts_request *request,
                                struct arena *arena, struct facts *ret)
{
    struct mysql_store *store = mysql_of(base);
    struct asking asking = begin_asking(store, request, arena, ret);
    const struct status status = ask(store, &asking);
    hash_table_done(&asking.ids);
    if (status.code != STATUS_OK)
        mysql_known_forget(&store->known);
    store->hold = (struct mysql_hold){status.code == STATUS_OK, ret->head};
    if (status.code != STATUS_OK && store->writer.handle != NULL)
        mysql_link_drop(&store->writer); /* with it goes whatever it holds */
    return status;
}

/* ---- ahead ---- */

/* The server's clock is not asked again so soon: by ours it has gone on. */
#define TIME_FRESH_US INT64_C(1000000)

/* Nothing needs to be asked: all heads are known and no id is named. */
static bool is_known_ahead(struct mysql_store *store, struct asking *asking)
{
    const struct facts_request *request = asking->request;
    const int64_t now_us = clock_monotonic_us(store->clock);
    mysql_known_tidy(asking->known, now_us);
    if (request->event_id_count > 0 || store->time.asked_us == 0 ||
        now_us - store->time.asked_us > TIME_FRESH_US)
        return false;
    for (size_t i = 0; i < request->aggregate_count; i++)
        if (mysql_known_find(asking->known, request->aggregate_ids[i]) == NULL)
            return false;
    asking->facts->head = store->last_after;
    asking->facts->now_us = store->time.server_us + (now_us - store->time.asked_us);
    return true;
}

/*
 * What was read says what it says of the store at the last commit's `before` or `after`, and the next commit proves that
 * nobody came between. A server that knows of neither is behind, or others have appended.
 */
static struct status ask_ahead(struct mysql_store *store, struct asking *asking)
{
    const struct store_head *head = &asking->facts->head;
    STATUS_TRY(mysql_asking_ask(store, asking));
    const struct store_head *last =
        head->position == store->last_after.position ? &store->last_after : &store->last_before;
    return asking->found_head && head->position == last->position &&
                   memcmp(&head->chain, &last->chain, sizeof head->chain) == 0
               ? status_ok()
               : status_error(STATUS_ABORTED, "another process was first");
}

struct status mysql_store_facts_ahead(struct event_store *base, const struct facts_request *request,
                                      struct arena *arena, struct facts *ret)
{
    struct mysql_store *store = mysql_of(base);
    struct asking asking = begin_asking(store, request, arena, ret);
    asking.ahead = true;
    asking.asked = &store->asked_ahead;
    mysql_known_forget(asking.asked);
    struct status status = mysql_asking_begin(&asking);
    if (status.code == STATUS_OK && !is_known_ahead(store, &asking))
        status = ask_ahead(store, &asking);
    if (status.code == STATUS_OK)
        status = mysql_asking_end(&asking);
    hash_table_done(&asking.ids);
    if (status.code != STATUS_OK)
        mysql_known_forget(&store->known);
    return status;
}

/* ---- what is known of a batch ---- */

static bool put_heads(struct mysql_known *known, const struct commit_append *append)
{
    for (size_t i = 0; i < append->count; i++) {
        const struct event_fields *fields = &append->fields[i];
        if (!mysql_known_put(known, fields->aggregate_id, fields->aggregate_type, fields->version))
            return false;
    }
    return true;
}

void mysql_store_know(struct mysql_store *store, const struct commit_batch *batch)
{
    const struct commit_append *last = &batch->appends[batch->append_count - 1];
    forget_misjudged(store);
    for (size_t i = 0; i < batch->append_count; i++)
        if (!put_heads(&store->known, &batch->appends[i])) {
            mysql_known_forget(&store->known);
            return;
        }
    mysql_known_stand(&store->known, batch->after.position, last->records[last->count - 1].bytes,
                      clock_monotonic_us(store->clock));
}

void mysql_store_unknow(struct mysql_store *store)
{
    atomic_store(&store->misjudged, true);
}

void mysql_store_release(struct event_store *base)
{
    struct mysql_store *store = mysql_of(base);
    if (!store->hold.held && !store->writer.locks)
        return;
    store->hold.held = store->writer.locks = false;
    buffer_clear(&store->writer.sql);
    sql_text(&store->writer.sql, "ROLLBACK");
    atomic_fetch_add(&store->writer_round_trips, 1);
    const struct status status = mysql_link_run(&store->writer, NULL, NULL, NULL);
    if (status.code != STATUS_OK)
        mysql_link_drop(&store->writer);
}
