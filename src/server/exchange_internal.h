/*
 * An exchange: one gRPC call as this edge sees it, from the posted slot to the last completion.
 *
 *   posted ──call arrives──► begun ──messages, writes──► ended (the status is with gRPC) ──► over, recycled
 *
 * Handlers of two kinds sit on it: rpc_edge (the method table) and the services answered here (health,
 * reflection). exchange_send and exchange_finish may be called from any thread: they put bytes in the
 * exchange's outbox. On the polling thread that is pumped into a batch at once; from any other thread the
 * exchange goes on the server's list and the sending thread pumps it, so that a completing thread (the store's
 * writer) never pays for the network. Completions and all callbacks of handlers belong to the polling thread.
 */
#pragma once

#include <grpc/grpc.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

struct exchange;
struct server;

/* All on the polling thread. Bytes are valid during the call only. */
struct exchange_handler {
    /* The call has arrived: unary and server streams with their request, client streams with empty bytes. */
    void (*begin)(struct exchange *exchange, struct bytes request);
    /* Client streams: one message; the end of messages; may another be read now? NULL wants = always. */
    void (*message)(struct exchange *exchange, struct bytes message);
    void (*half_close)(struct exchange *exchange);
    bool (*wants_message)(const struct exchange *exchange);
    /* After exchange_send had returned false: there is room again. NULL = nobody waits. */
    void (*writable)(struct exchange *exchange);
    /* The peer is gone, or the deadline has passed. The exchange must still be finished. NULL = ignored. */
    void (*cancel)(struct exchange *exchange);
    /* Unary calls: is `cancel` worth a batch of its own? NULL = no. */
    bool (*watches_cancel)(const struct exchange *exchange);
    /* The last callback: nothing of gRPC is under way any more. NULL = nothing to free. */
    void (*over)(struct exchange *exchange);
};

struct exchange_method {
    const char *path;
    bool client_stream;
    bool server_stream;
    const struct exchange_handler *handler;
    int id; /* the handler's own */

    /* the server's */
    void *registered; /* NULL: takes the calls of methods that nobody has registered */
    uint32_t posted;  /* slots that wait for a call */
};

/* What a completion on the queue is about. */
enum tag_kind { TAG_ARRIVED, TAG_CLOSED, TAG_READ, TAG_WRITTEN, TAG_ENDED, TAG_SHUTDOWN, TAG_KINDS };
struct tag {
    enum tag_kind kind;
    struct exchange *exchange;
};

/* Sent and not yet accepted by the peer's window: the fourth makes exchange_send return false. The handler is told of room
 * when fewer than two are left, not at each one: a wake-up for every message cost a third of a read stream's CPU. */
#define EXCHANGE_SEND_AHEAD   4U
#define EXCHANGE_RESUME_BELOW 2U
/* Client streams are not read while so many answers wait; a handler that sends on regardless meets the bound. */
#define EXCHANGE_READ_BELOW 64U
#define EXCHANGE_UNSENT_MAX 1024U

struct outgoing {
    struct outgoing *next;
    grpc_byte_buffer *bytes;
};

/* How a call ends; set with `finishing`. */
struct ending {
    grpc_status_code code;
    grpc_slice message;
    grpc_metadata trailers[3];
    size_t trailer_count;
};

struct exchange {
    struct server *server;
    struct exchange_method *method;
    struct exchange *next_free;
    struct tag tags[TAG_KINDS];

    /* set before the call begins; gRPC's while a batch that names them is under way */
    grpc_call *call;
    gpr_timespec deadline;
    grpc_call_details details; /* unknown methods: which one */
    grpc_metadata_array metadata;
    grpc_byte_buffer *payload; /* the request, or the message being read */
    int cancelled;             /* when the call has closed: not as the server ended it */
    void *context;             /* the handler's; polling thread */
    size_t details_max_bytes;  /* of a failure's details; the handler's to set in begin */

    /* guarded by the server's outbox_lock; a batch is decided under it and started when it is released */
    struct exchange *next_queued;
    struct outgoing *out_first;
    struct outgoing *out_last;
    uint32_t unsent;     /* messages in the outbox and on their way */
    uint32_t operations; /* batches under way */
    bool queued;         /* on the list: nobody but the sending thread pumps it */
    bool initial_sent;
    bool headers_due; /* a stream without a message yet: its client waits to see it open */
    bool watching;    /* RECV_CLOSE_ON_SERVER has been started apart */
    bool reading;
    bool read_ended;
    bool writing; /* headers, a message or the status are on their way */
    bool writing_message;
    bool ended;     /* the status has been handed to gRPC */
    bool blocked;   /* a send returned false, nobody has been told of room since */
    bool broken;    /* a write has failed: nothing more can be sent */
    bool finishing; /* nothing is sent any more but what is in the outbox and the ending */
    struct ending ending;
};

/* --- for handlers --- */

/* One message of a server stream. False: wait for `writable` before sending
 * more (the message is taken). Any thread. */
bool exchange_send(struct exchange *exchange, struct bytes message);
/* The end, once: `reply` is a unary call's, with an OK status. `http_status` 0 = none. Any thread. */
void exchange_finish(struct exchange *exchange, const struct status *status, struct bytes reply,
                     int http_status);
/* `wants_message` may have changed its mind. Any thread, before exchange_finish. */
void exchange_resume(struct exchange *exchange);

/* --- for the server --- */

/* Makes or recycles; NULL when out of memory. Polling thread, as the next three. */
struct exchange *server_exchange_new(struct server *server, struct exchange_method *method);
void exchange_free(struct exchange *exchange); /* not begun, or over */
void exchange_arrived(struct exchange *exchange);
void exchange_completed(struct exchange *exchange, enum tag_kind kind, bool success);
/* Starts what the outbox and the window ask for. Called with outbox_lock held and not queued; releases the lock. */
void exchange_pump_locked(struct exchange *exchange);
