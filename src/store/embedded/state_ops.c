#include "state_ops_internal.h"

#include "embedded_internal.h"

struct status embedded_state_get(struct event_store *base, struct bytes key, struct arena *arena,
                                 struct bytes *ret)
{
    return state_db_get(embedded_of(base)->state, key, arena, ret);
}

struct status embedded_state_put(struct event_store *base, struct bytes key, struct bytes value)
{
    return state_db_put(embedded_of(base)->state, key, value);
}

struct status embedded_state_remove(struct event_store *base, struct bytes key)
{
    return state_db_remove(embedded_of(base)->state, key);
}

struct status embedded_state_list(struct event_store *base, struct bytes prefix, struct bytes after_key,
                                  state_sink sink, void *context)
{
    return state_db_list(embedded_of(base)->state, prefix, after_key, sink, context);
}

struct status embedded_lease(struct event_store *base, struct bytes name, struct bytes holder, int64_t ttl_ms,
                             struct lease *ret)
{
    return state_db_lease(embedded_of(base)->state, name, holder, ttl_ms, ret);
}

struct status embedded_lease_release(struct event_store *base, struct bytes name, struct bytes holder,
                                     int64_t epoch)
{
    return state_db_lease_release(embedded_of(base)->state, name, holder, epoch);
}

struct status embedded_checkpoint_put(struct event_store *base, struct bytes name, int64_t position,
                                      int64_t epoch)
{
    struct store_head head; /* only what is durable; it never goes back while the store is open */
    STATUS_TRY(embedded_head(base, &head));
    return state_db_checkpoint_put(embedded_of(base)->state, name, position, epoch, head.position);
}

struct status embedded_checkpoint_get(struct event_store *base, struct bytes name, struct checkpoint *ret)
{
    return state_db_checkpoint_get(embedded_of(base)->state, name, ret);
}

struct status embedded_checkpoint_remove(struct event_store *base, struct bytes name)
{
    return state_db_checkpoint_remove(embedded_of(base)->state, name);
}

struct status embedded_checkpoints(struct event_store *base, checkpoint_sink sink, void *context)
{
    return state_db_checkpoints(embedded_of(base)->state, sink, context);
}
