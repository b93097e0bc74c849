/*
 * What the files of the front share.
 *
 *     front.c           the thread, its loop, timers, the inbox of answered exchanges, start and stop
 *     front_listener.c  binds and accepts
 *     connection.c      what connections of both protocols share: their place in the loop, and their end
 *     request.c         from a checked head to an exchange that may be handed over
 *     h1_connection.c   one HTTP/1.1 connection: its states from bytes to exchange and back
 *     h1_write.c        answers to HTTP/1.1 bytes, and their way into the socket
 *     h2_connection.c   one HTTP/2 connection: its session, socket and bounds
 *     h2_stream.c       one HTTP/2 stream: from header fields to exchange and back
 *     exchange.c        the answering calls of any thread
 *     access.c          Host, Origin, forwarding and content-type rules; the handshake's checks
 *
 * Locks: front.inbox_lock and http_exchange.lock are leaves; none is taken under the other.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "gateway/http/front.h"
#include "gateway/http/h1_parser.h"
#include "base/list.h"

#define READ_BYTES              ((size_t)64 * 1024)
#define REQUEST_ARENA_MAX_BYTES ((size_t)256 * 1024 * 1024)
#define LINGER_MS               2000 /* how long the rest of a refused request is read and dropped */
#define PEER_TEXT_BYTES         64U
#define STREAM_LIMIT_BYTES      (4 * EXCHANGE_HIGH_WATER_BYTES)
#define DATE_TEXT_BYTES         30U
#define SPARE_ARENAS_MAX        256U /* of 4 KiB */

/* --- exchange --- */

/* What is on its way to the client. */
enum answer {
    ANSWER_NONE,
    ANSWER_STREAM, /* begun */
    ANSWER_WHOLE,  /* complete: these four */
    ANSWER_ENDED,
    ANSWER_RESET,
    ANSWER_UPGRADE, /* HTTP/1.1 only */
};

/* How a protocol carries answers; on the front's thread. */
struct connection_ops {
    /* The exchange has something new: send it. May detach the exchange (front_exchange_detach). */
    void (*answer)(void *connection, struct http_exchange *exchange);
};

struct http_exchange {
    atomic_uint references;
    struct front *front; /* one reference */
    struct http_request request;
    struct buffer body;
    char request_id[REQUEST_ID_MAX_BYTES + 1];
    char peer[PEER_TEXT_BYTES];

    /* The front's thread only. */
    const struct exchange_ops *ops;
    void *context;
    const struct connection_ops *connection_ops; /* NULL: detached, the client is gone or has everything */
    void *connection;
    bool head_written;
    bool done_told;
    bool closed_told;

    pthread_mutex_t lock; /* guards what follows */
    enum answer answer;
    int http_status;
    struct http_header *headers; /* in the arena, with their texts */
    size_t header_count;
    struct buffer pending;  /* given by the handler, not yet taken by the connection; perhaps in the arena */
    size_t in_flight_bytes; /* taken by the connection, not yet by the kernel */
    bool starved;           /* exchange_write said false: on_writable is owed */
    bool gone;              /* nothing that is written can reach the client */
    bool overflowed;        /* the handler ignored back-pressure: the stream is to be reset */
    bool finished;          /* the finishing call was made */

    /* Guarded by front.inbox_lock. */
    bool posted;
    struct http_exchange *next_posted;
};

/* With one reference; NULL when out of memory. The caller fills the request. */
struct http_exchange *exchange_new(struct front *front);
/*
 * What an answering call left to do: sends through the connection when there is one. True: this
 * was the finishing call, on_done was told and the front's reference is gone. On the front's
 * thread, or on any when the loop has ended.
 */
bool exchange_process(struct http_exchange *exchange);
/* The connection has no more use for it; `client_gone` when its answer was not complete. */
void exchange_detach(struct http_exchange *exchange, bool client_gone);
/* Bytes of this stream have left; may call on_writable. */
void exchange_sent(struct http_exchange *exchange, size_t in_flight_bytes);

/* --- connections --- */

enum timer_kind { TIMER_IDLE, TIMER_HEAD, TIMER_BODY, TIMER_WRITE, TIMER_LINGER, TIMER_KINDS, TIMER_NONE };

struct connection;

/* How a connection's protocol reacts; on the front's thread, and never after it was closed, but for free. */
struct protocol_ops {
    void (*event)(struct connection *connection, uint32_t epoll_events);
    void (*settle)(
        struct connection *connection); /* asked for by connection_settle_later; NULL: it never asks */
    void (*timeout)(struct connection *connection); /* its timer was due; must set it anew, or close */
    void (*drain)(struct connection *connection);   /* stopping: finish what runs, take nothing new */
    void (*lost)(struct connection *connection);    /* it was closed: part from its exchanges */
    void (*free)(struct connection *connection);
};

/* What the loop knows of a connection; the first member of each protocol's own struct. */
struct connection {
    const struct protocol_ops *protocol;
    struct front *front;
    int fd; /* -1: closed, freed at the end of the loop's round */
    uint32_t epoll_events;
    struct link all;
    struct link unsettled;
    struct link timer;
    enum timer_kind timer_kind;
    int64_t timer_due_us;
    char peer[PEER_TEXT_BYTES];
};

/* Watches `fd` and starts the idle timer. False: out of kernel memory; fd is closed, the memory the caller's. */
bool connection_open(struct connection *connection, const struct protocol_ops *protocol, struct front *front,
                     int fd, const char *peer);
/* Tells epoll what it waits for. False: it could never be woken again, and was closed. */
bool connection_watch(struct connection *connection, uint32_t epoll_events);
void connection_close(struct connection *connection);
void connection_reset(struct connection *connection); /* closes so that the client sees an error */
/* Leaves the loop without closing the socket: somebody else has it now. */
void connection_retire(struct connection *connection);
/* `to` takes the place of `from`, which is retired; as connection_open. */
bool connection_replace(struct connection *from, struct connection *to, const struct protocol_ops *protocol);
/* Once all answers of this round of the loop are with it, however many there are: they leave together. */
void connection_settle_later(struct connection *connection);
/* Starts the timer of this kind anew; TIMER_NONE stops it. */
void connection_timer(struct connection *connection, enum timer_kind kind);

/*
 * IDLE ─first byte─► HEAD ─► BODY ─► BUSY (the handler works or its answer leaves) ─► IDLE
 * BUSY, when nothing may follow ─► CLOSING (what waits is sent) ─► LINGER (input is dropped) ─► freed
 * A refusal is an answer, so it goes by BUSY too.
 */
enum h1_state {
    H1_STATE_IDLE,
    H1_STATE_HEAD,
    H1_STATE_BODY,
    H1_STATE_BUSY,
    H1_STATE_CLOSING,
    H1_STATE_LINGER
};

struct h1_connection {
    struct connection base;
    enum h1_state state;

    struct buffer in; /* unread bytes of the next request: [in_at, size) */
    size_t in_at;
    struct h1_head head;
    struct h1_body body;
    struct http_exchange *exchange; /* the one in BODY or BUSY */

    struct buffer out; /* heads, chunks, small answers: [out_at, size) */
    size_t out_at;
    struct buffer out_body; /* the body of a whole answer, sent after `out` */
    size_t out_body_at;

    unsigned minor_version; /* of the current request, as the next two */
    bool head_only;         /* HEAD */
    bool keep_alive;        /* the client wants to */
    bool half_closed;       /* the client has sent FIN; what it sent before may still be unread */
    bool peer_finished;     /* and everything is read */
    bool close_after;       /* no further request on this connection */
    bool linger; /* close only after dropping what the client still sends, or it never sees the answer */
    bool answer_ended; /* all of the current answer is in out and out_body */
    bool begun;        /* a request was read: the preface of HTTP/2 is no longer looked for */
};

struct front {
    struct front_options options; /* texts are copies */
    struct request_limits limits;
    struct log *log;
    const struct clock *clock;
    const struct entropy *entropy;
    atomic_uint references; /* front_stop's, and one an exchange */
    int epoll_fd;
    int listen_fd;
    int wake_fd;
    uint16_t port;
    pthread_t thread;
    atomic_bool stopping;
    _Atomic int64_t drain_ms;

    pthread_mutex_t inbox_lock; /* guards first_posted, last_posted, closed */
    struct http_exchange *first_posted;
    struct http_exchange *last_posted;
    bool closed; /* the loop has ended: answers are finished on the caller's thread */

    /* The front's thread only. */
    int64_t now_us;
    int64_t date_second;
    char date[DATE_TEXT_BYTES];
    struct arena *arenas[SPARE_ARENAS_MAX]; /* reset */
    size_t arena_count;
    struct link connections;
    struct link freed;     /* closed in this round */
    struct link unsettled; /* connections that asked for it in this round */
    struct link timers[TIMER_KINDS];
    int64_t timeout_us[TIMER_KINDS];
    size_t connection_count;
    size_t exchange_count; /* handed to the handler, on_done not yet told */
    bool draining;
    int64_t drain_due_us;
    int64_t abandon_due_us;
    int64_t accept_paused_until_us; /* 0: accepting */
    int64_t full_logged_us;
    uint64_t full_count;
    uint8_t scratch[READ_BYTES];

    _Atomic uint64_t connections_now, accepted, requests, refused;
};

/*
 * Arenas that exchanges leave to the next ones; on the front's thread, from any other they are made and freed. NULL when out of
 * memory.
 */
struct arena *front_arena_take(struct front *front);
void front_arena_give(struct front *front, struct arena *arena);
void front_ref(struct front *front);
void front_unref(struct front *front);
/* Any thread. The loop will process the exchange, or the caller's thread does when the loop has ended. */
void front_post(struct front *front, struct http_exchange *exchange);
const char *front_date(struct front *front); /* IMF-fixdate of now */

/* front_listener.c */
STATUS_MUST_CHECK struct status listener_open(struct front *front);
void listener_accept(struct front *front);
void listener_resume(struct front *front);
void listener_close(struct front *front);

/* h1_connection.c */
void h1_connection_open(struct front *front, int fd, const char *peer);
/* The handshake of its exchange was let through: hands the socket over, or answers why not. Detaches the exchange. */
void h1_connection_upgrade(struct h1_connection *connection);
/* Goes as far as what was read and what could be sent allow. */
void h1_connection_proceed(struct h1_connection *connection);
extern const struct connection_ops h1_connection_ops;

/* h1_write.c */
bool h1_has_output(const struct h1_connection *connection);
/* Sends what waits; false: the connection was closed. */
bool h1_flush(struct h1_connection *connection);
void h1_write_continue(struct h1_connection *connection);
/* The front's own answer, for a request that no handler sees. `extra` is header lines that end in CR LF, or "". */
void h1_write_refusal(struct h1_connection *connection, const struct http_refusal *refusal,
                      struct bytes request_id, const char *extra);

/* h2_connection.c */
#define H2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
/* Goes on with a connection that began with the preface; `input` is everything received. `from` is retired. */
void h2_connection_adopt(struct connection *from, struct bytes input);

/* request.c */
/* Fills the exchange's request from a checked head, whose texts are in its arena, and chooses its id. */
void request_fill(struct http_exchange *exchange, const struct request_head *head, const char *peer);
/* Checks that need the head only, so that a refused client is not asked for its body. WebSockets apart. */
bool request_is_allowed(struct front *front, const struct http_request *request, bool has_body,
                        struct http_refusal *ret);
/* Is it a WebSocket handshake's path, with a handler for those? */
bool request_is_for_websocket(const struct front *front, const struct http_request *request);
/* Hands the exchange over; its connection is set. */
void request_dispatch(struct http_exchange *exchange, const struct connection_ops *ops, void *connection);
/* A new id for a refusal without exchange, or the exchange's. */
struct bytes request_id_for(struct front *front, const struct http_exchange *exchange,
                            char made[UUID_TEXT_BYTES]);
void request_refused(struct connection *connection, const struct http_refusal *refusal); /* counts and logs */

/* access.c */
struct access_rules {
    bool development;
    const char *const *hosts;
    size_t host_count;
    const char *const *origins;
    size_t origin_count;
    const char *address; /* that is bound; NULL = that of loopback */
    bool forwarded;      /* what a proxy passes on is served in development mode too */
};
bool access_allows(const struct access_rules *rules, const struct http_request *request, bool has_body,
                   struct http_refusal *ret);
/* Is this the WebSocket path, with or without a trailing slash? */
bool websocket_path_is(const char *websocket_path, struct bytes path);
/* Everything of RFC 6455 4.2.1; false with the refusal and header lines that it needs ("" for none). */
bool websocket_handshake_is_valid(const struct http_request *request, unsigned minor_version, bool has_body,
                                  struct http_refusal *ret, const char **ret_headers);
bool request_id_is_valid(struct bytes id);
