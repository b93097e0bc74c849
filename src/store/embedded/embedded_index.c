#include <assert.h>
#include <stdio.h>

#include "base/log.h"
#include "embedded_internal.h"

uint64_t embedded_index_hash(const struct embedded_store *store, enum index_key_kind kind, struct bytes text)
{
    const uint64_t hash = index_hash(store->index_seed, kind, text);
    const uint32_t bits = store->options.index_hash_bits;
    /* The upper bits lead into the runs' directories; without the rest many keys share an entry's place. */
    return bits == 0 ? hash : hash >> (64 - bits) << (64 - bits);
}

struct index_view *embedded_view_take(struct embedded_store *store, struct store_head *ret_head)
{
    pthread_rwlock_rdlock(&store->view_lock);
    struct index_view *view = view_ref(store->view);
    if (ret_head != NULL)
        *ret_head = store->head;
    pthread_rwlock_unlock(&store->view_lock);
    return view;
}

void embedded_view_put(struct embedded_store *store, struct index_view *view)
{
    pthread_rwlock_wrlock(&store->view_lock);
    struct index_view *former = store->view;
    store->view = view;
    pthread_rwlock_unlock(&store->view_lock);
    view_unref(former);
}

/* Who still has a view of damaged files when the new ones are there may say so once more: they are made in vain then. */
static void end_index(struct embedded_store *store, const struct status *why)
{
    if (store->options.read_only) {
        store->index_damaged = true;
        return;
    }
    struct status removed;
    if (!builder_end_index(store, &removed))
        return;
    log_error(store->log, "the index is damaged, making a new one; nothing is lost",
              LOG_TEXT("store", store->id), LOG_TEXT("why", why->message));
    if (removed.code != STATUS_OK)
        log_error(store->log,
                  "the damaged index could not be set aside; if strata stops now, remove the folder index/",
                  LOG_TEXT("store", store->id), LOG_TEXT("why", removed.message));
    builder_note_damaged(store);
}

struct status embedded_index_trouble(struct embedded_store *store, const struct status *status)
{
    assert(status->code != STATUS_OK);
    if (status->code == STATUS_RESOURCE_EXHAUSTED || status->code == STATUS_UNAVAILABLE)
        return *status;
    end_index(store, status);
    return status_reason(REASON_STORE_FAILED,
                         "the index cannot be read: %s; that is being done, try again later",
                         status->message);
}
