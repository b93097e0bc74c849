/* An edge that remembers what the handler answered. */
#pragma once

#include <stdatomic.h>
#include <stdio.h>

#include "rpc/table.h"
#include "support/cmocka.h"

struct fake_edge {
    int finishes;
    struct status status;
    int http_status;
    uint8_t reply[256];
    size_t reply_bytes;
    int sends;
    atomic_int messages_done;
    bool full; /* answer `send` with false */
};

static inline bool fake_send(void *edge, struct call *call, struct bytes message)
{
    (void)call;
    struct fake_edge *fake = edge;
    fake->sends++;
    assert_true(message.size_bytes <= sizeof fake->reply);
    memcpy(fake->reply, message.data, message.size_bytes);
    fake->reply_bytes = message.size_bytes;
    return !fake->full;
}

static inline void fake_finish(void *edge, struct call *call, const struct status *status, struct bytes reply,
                               int http_status)
{
    (void)call;
    struct fake_edge *fake = edge;
    fake->finishes++;
    fake->status = *status;
    fake->http_status = http_status;
    assert_true(reply.size_bytes <= sizeof fake->reply);
    if (reply.size_bytes > 0)
        memcpy(fake->reply, reply.data, reply.size_bytes);
    fake->reply_bytes = reply.size_bytes;
}

static inline void fake_message_done(void *edge, struct call *call)
{
    (void)call;
    atomic_fetch_add(&((struct fake_edge *)edge)->messages_done, 1);
}

static const struct call_edge_ops fake_ops = {fake_send, fake_finish, fake_message_done};

static inline struct call *fake_call(struct rpc_table *table, enum schema_method_id method,
                                     struct fake_edge *edge)
{
    const struct call_options options = {.method = method,
                                         .ops = &fake_ops,
                                         .edge = edge,
                                         .transport = "test",
                                         .peer = BYTES_LITERAL("[::1]:9")};
    struct call *call = call_new(table, &options);
    assert_non_null(call);
    return call;
}
