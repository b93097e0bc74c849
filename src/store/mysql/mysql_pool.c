/* The connections of those who read and who keep state: each is used by one thread at a time. */
#include <errno.h>
#include <mysqld_error.h>

#include "base/deadline.h"
#include "mysql_internal.h"

/* The one used last comes first, so that few connections do the work and the others may fall idle. */
static struct mysql_link *find_free(struct mysql_store *store)
{
    struct mysql_link *best = NULL;
    size_t at = 0;
    for (size_t i = 0; i < store->settings.pool_size; i++) {
        if (store->pool_used[i] || (best != NULL && store->pool[i].used_at_us <= best->used_at_us))
            continue;
        best = &store->pool[i];
        at = i;
    }
    if (best != NULL)
        store->pool_used[at] = true;
    return best;
}

struct status mysql_pool_take(struct mysql_store *store, struct mysql_link **ret)
{
    const uint32_t wait_ms = store->settings.connect_timeout_ms;
    const struct timespec end = deadline_after_ms(wait_ms);
    struct mysql_link *link = NULL;
    int error = 0;
    pthread_mutex_lock(&store->pool_lock);
    while ((link = find_free(store)) == NULL && error != ETIMEDOUT)
        error = pthread_cond_timedwait(&store->pool_free, &store->pool_lock, &end);
    pthread_mutex_unlock(&store->pool_lock);
    if (link == NULL)
        return status_reason(
            REASON_STORE_UNREACHABLE,
            "all %u connections to the database server were busy for %u ms "
            "(database.mysql.connect_timeout); raise database.mysql.pool_size, or find out what the "
            "server is slow with",
            store->settings.pool_size, wait_ms);
    *ret = link;
    return status_ok();
}

void mysql_pool_give(struct mysql_store *store, struct mysql_link *link)
{
    pthread_mutex_lock(&store->pool_lock);
    store->pool_used[link - store->pool] = false;
    pthread_cond_signal(&store->pool_free);
    pthread_mutex_unlock(&store->pool_lock);
}

static struct status run_once(struct mysql_link *link, const struct mysql_call *call,
                              struct sql_failure *failure)
{
    *failure = (struct sql_failure){0};
    STATUS_TRY(mysql_link_begin(link));
    if (call->restart != NULL)
        call->restart(call->context);
    call->write(call->context, link);
    return mysql_link_run(link, call->take, call->context, failure);
}

struct status mysql_call_run(struct mysql_store *store, const struct mysql_call *call)
{
    struct mysql_link *link = NULL;
    struct sql_failure failure;
    STATUS_TRY(mysql_pool_take(store, &link));
    struct status status = run_once(link, call, &failure);
    if (status.code != STATUS_OK && (failure.lost || failure.number == ER_LOCK_DEADLOCK))
        status = run_once(link, call, &failure);
    mysql_pool_give(store, link);
    return status;
}
