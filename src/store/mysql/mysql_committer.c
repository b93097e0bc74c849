/*
 * The thread that commits. Between the answer to a commit and the next packet the server has nothing to do, so that packet
 * goes out first, if there is one, and then the answer is passed on, which takes as long as its appends are many.
 */
#include "mysql_internal.h"

/* NULL = there is none; with `wait`: none will come. */
static struct mysql_commit *take(struct mysql_committer *committer, bool wait)
{
    struct mysql_commit *commit = NULL;
    pthread_mutex_lock(&committer->lock);
    while (wait && committer->waiting_count == 0 && !committer->stopping)
        pthread_cond_wait(&committer->more, &committer->lock);
    if (committer->waiting_count > 0) {
        commit = committer->waiting[0];
        committer->waiting[0] = committer->waiting[1];
        committer->waiting_count--;
    }
    pthread_mutex_unlock(&committer->lock);
    return commit;
}

static void *committer_main(void *context)
{
    struct mysql_store *store = context;
    struct mysql_committer *committer = &store->committer;
    struct mysql_commit *commit = NULL;
    for (;;) {
        if (commit == NULL && (commit = take(committer, true)) != NULL)
            mysql_commit_begin(store, commit);
        if (commit == NULL)
            return NULL;
        const struct status status = mysql_commit_end(store, commit);
        const commit_done done = commit->done;
        void *done_context = commit->context;
        committer->stood = status.code == STATUS_OK;
        if (!committer->stood)
            mysql_store_unknow(store);
        commit = take(committer, false);
        if (commit != NULL)
            mysql_commit_begin(store, commit);
        done(done_context, &status);
    }
}

void mysql_committer_submit(struct mysql_store *store, struct mysql_commit *commit)
{
    struct mysql_committer *committer = &store->committer;
    pthread_mutex_lock(&committer->lock);
    assert(committer->waiting_count < 2);
    committer->waiting[committer->waiting_count++] = commit;
    pthread_cond_signal(&committer->more);
    pthread_mutex_unlock(&committer->lock);
}

struct status mysql_committer_start(struct mysql_store *store)
{
    if (pthread_create(&store->committer.thread, NULL, committer_main, store) != 0)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no thread for commits to the database");
    store->committer.started = true;
    return status_ok();
}

void mysql_committer_stop(struct mysql_store *store)
{
    struct mysql_committer *committer = &store->committer;
    if (!committer->started)
        return;
    pthread_mutex_lock(&committer->lock);
    committer->stopping = true;
    pthread_cond_signal(&committer->more);
    pthread_mutex_unlock(&committer->lock);
    (void)pthread_join(committer->thread, NULL); /* joinable, and joined once */
}
