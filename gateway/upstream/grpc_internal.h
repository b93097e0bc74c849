/*
 * What the files of the gRPC upstream share.
 *
 *     upstream_grpc.c  the thread: what other threads ask, calls that wait for a connection, deadlines
 *     grpc_link.c      one connection to a core: connecting again, its session, which calls it carries
 *     grpc_lookup.c    where it connects to: names, looked up beside it
 *     grpc_call.c      one call: its request as frames, its answer from frames, how it ends
 *     grpc_format.c    gRPC's bytes
 *
 * All of it belongs to the upstream's thread but what is said to be guarded by remote.lock.
 */
#pragma once

#include <netinet/in.h>
#include <nghttp2/nghttp2.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "base/list.h"
#include "gateway/h2/h2_output.h"
#include "gateway/upstream/grpc_format_internal.h"
#include "gateway/upstream/upstream_grpc.h"

#define CONNECT_WAIT_US INT64_C(1000000) /* a call waits so long for a connection */
#define HOST_BYTES      256U
#define SCRATCH_BYTES   ((size_t)64 * 1024)
#define LOOKED_UP_MAX   8U

struct remote;

/*
 * MADE ─begin─► WAITING ─a connection is up─► SENT ─answer, cancel, deadline, loss─► ENDED
 *                  ▲                            │
 *                  └── the core did not execute it, or it may be repeated
 */
enum remote_call_state { CALL_MADE, CALL_WAITING, CALL_SENT, CALL_ENDED };

enum { ASKED_BEGIN = 1, ASKED_ROOM = 2, ASKED_CANCEL = 4 };

struct remote_call {
    struct upstream_call base;
    atomic_int references; /* the receiver's, and one from begin to end */
    struct remote *remote;
    const struct schema_method *method;
    const struct upstream_events *events;
    void *context;
    int64_t deadline_us; /* 0 = none */
    struct buffer texts; /* the next three */
    struct bytes authorization, traceparent, request_id;
    const char *transport;
    struct bytes peer;     /* of a stream: nothing else lives long enough to be listed */
    struct buffer request; /* framed; written by begin, then the thread's */

    unsigned asked; /* guarded by remote->lock, as are the next two */
    bool posted;
    struct remote_call *next_posted;

    enum remote_call_state state;
    struct link all; /* in remote->waiting or the link's calls */
    struct grpc_link *link;
    int32_t stream_id;
    size_t sent_bytes; /* of the request */
    unsigned tries;
    bool in_doubt; /* a core that has not answered may have carried it out */
    int64_t wait_until_us;

    int http_status;      /* of the response's head; 0 = none came */
    int grpc_status;      /* -1: no trailers came */
    int shown_status;     /* strata-http-status */
    struct buffer text;   /* grpc-message */
    struct buffer detail; /* google.rpc.Status, packed */
    struct buffer in;     /* received and not delivered: [in_at, size) */
    size_t in_at;
    size_t held_bytes; /* of the stream's window, not given back while it is paused */
    bool delivered;    /* a message of the stream */
    bool paused;       /* the receiver has no room */
    bool closed;       /* the stream is closed; it ends when what came was delivered */
};

/* UP only when the core's first SETTINGS have come: something else may take connections in its place. */
enum link_state { LINK_DOWN, LINK_CONNECTING, LINK_GREETING, LINK_UP };

struct grpc_address {
    struct sockaddr_storage address;
    socklen_t size_bytes;
};

struct grpc_addresses {
    struct grpc_address items[LOOKED_UP_MAX];
    size_t count;
};

struct grpc_lookup;

struct grpc_link {
    struct remote *remote;
    char host[HOST_BYTES];
    char port[8];
    char authority[HOST_BYTES + 8];
    struct grpc_addresses addresses; /* of the name, tried one after the other */
    size_t address_at;
    struct grpc_lookup *lookup; /* of the name again; NULL: none is under way */
    enum link_state state;
    int fd;
    uint32_t epoll_events;
    nghttp2_session *session;
    struct h2_output out;
    struct link calls;
    size_t stream_count; /* of the session, also cancelled ones that are not closed yet */
    bool leaving;        /* GOAWAY or a word of it came: no new calls */
    bool aside;          /* in remote->aside: another has its place, it ends with its last call */
    struct link all;     /* in remote->aside */
    unsigned failures;   /* in a row */
    int64_t up_us;       /* when it came up */
    int64_t heard_us;    /* when it last said something */
    int64_t pinged_us;   /* when it was last asked whether it is there, 0 = it has said something since */
    int64_t due_us;      /* DOWN: to connect; CONNECTING and GREETING: to give up */
    char trouble[128];   /* why it is not up */
};

struct remote {
    struct upstream upstream;
    const struct clock *clock;
    const struct entropy *entropy;
    struct log *log;
    grpc_resolver *resolver;
    int64_t quiet_us, answer_us;
    pthread_t thread;
    bool thread_runs;
    int epoll_fd;
    int wake_fd;

    pthread_mutex_t lock;
    struct remote_call *first_posted, *last_posted;
    bool stopping;

    int64_t now_us;
    struct grpc_link *links[UPSTREAM_ADDRESSES_MAX]; /* one for each address */
    size_t link_count;
    struct link aside; /* links that were told to take no more calls, or can take none, and still have some */
    size_t next_link;
    struct link waiting;
    size_t timed_count; /* calls with a deadline, waiting or sent */
    uint8_t scratch[SCRATCH_BYTES];
};

/* --- upstream_grpc.c --- */
/* Gives it to a connection, or lets it wait for one. */
void remote_place(struct remote *remote, struct remote_call *call);

/* --- grpc_link.c --- */
STATUS_MUST_CHECK struct status grpc_link_new(struct remote *remote, const char *address,
                                              struct grpc_link **ret);
/* Another connection to the same core, not up yet; NULL when out of memory. */
struct grpc_link *grpc_link_another(const struct grpc_link *link);
void grpc_link_free(struct grpc_link *link); /* no call is on it */
bool grpc_link_takes_calls(const struct grpc_link *link);
void grpc_link_leave(struct grpc_link *link); /* the core said that it stops: no new calls */
/* It is up, but takes no more calls while it has those that it has. */
bool grpc_link_is_spent(const struct grpc_link *link);
void grpc_link_send(struct grpc_link *link, struct remote_call *call);
void grpc_link_event(struct grpc_link *link, uint32_t epoll_events);
/* When it is time: connects, gives up connecting, asks whether the core is still there or gives it up. */
void grpc_link_tick(struct grpc_link *link);
void grpc_link_flush(struct grpc_link *link);
/* Gives back `size_bytes` of the call's window. */
void grpc_link_consumed(struct grpc_link *link, const struct remote_call *call, size_t size_bytes);
void grpc_link_cancel(struct grpc_link *link, const struct remote_call *call); /* RST_STREAM */

/* --- grpc_lookup.c --- */
/* Fills host, port, authority and addresses; waits for the resolver. INVALID_ARGUMENT, UNAVAILABLE as upstream_grpc_new. */
STATUS_MUST_CHECK struct status grpc_lookup_first(struct grpc_link *link, const char *address);
/* Begins to look the name up again, unless that is under way; nobody waits for it. */
void grpc_lookup_again(struct grpc_link *link);
/* Takes what was found since. What is not found, or not yet, leaves the old addresses, which are as good as any. */
void grpc_lookup_take(struct grpc_link *link);
void grpc_lookup_release(struct grpc_lookup *lookup); /* done or not; NULL is fine */

/* --- grpc_call.c --- */
void remote_call_release(struct remote_call *call);
ssize_t remote_call_read(struct remote_call *call, uint8_t *to, size_t size_bytes,
                         bool *ret_end); /* the request */
/* `last` in the fields that end the stream: the others can be no verdict. */
void remote_call_header(struct remote_call *call, struct bytes name, struct bytes value, bool last);
void remote_call_data(struct remote_call *call, struct bytes data);
void remote_call_room(struct remote_call *call); /* the receiver has room again */
/* Its stream was closed. `refused`: the core says, or it is clear, that it did nothing. */
void remote_call_closed(struct remote_call *call, bool refused);
/* Ends it with a failure and its stream with it. */
void remote_call_fail(struct remote_call *call, const struct status *status);
/* The same, for a reason of this side: what the core may have carried out becomes OUTCOME_UNKNOWN. */
void remote_call_give_up(struct remote_call *call, const struct status *status);
bool remote_call_in_doubt(const struct remote_call *call); /* may the core have carried it out? */
