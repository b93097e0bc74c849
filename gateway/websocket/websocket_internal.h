/*
 * What the files of the room share.
 *
 *     websocket.c      the server: thread, loop, inbox, heartbeat
 *     ws_connection.c  the calls of any thread
 *     ws_lws.c         what is said to libwebsockets and what it says
 *     ws_pump.c        between the client's socket and libwebsockets
 *     ws_guard.c       judges the client's frames on that way
 *
 * libwebsockets does not see the client's socket but one end of a socket pair. It would accept frames without
 * a mask (RFC 6455 5.1 has the server close), and nothing in its interface tells; so the bytes are looked at
 * before it gets them. TLS will end in the same place.
 *
 *     client ◄──socket──► pump ◄──socket pair──► libwebsockets ──► callbacks
 *
 * Locks: server.inbox_lock and ws_connection.lock are leaves; none is taken under the other.
 */
#pragma once

#include <ev.h>
#include <libwebsockets.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/websocket/websocket.h"

#define WS_REASON_MAX_BYTES  123U
#define WS_SCRATCH_BYTES     ((size_t)64 * 1024)
#define WS_PAIR_BUFFER_BYTES (64 * 1024) /* what libwebsockets may run ahead of the client */
#define WS_KEY_BYTES         24U
#define WS_CONTROL_MAX_BYTES 125U           /* RFC 6455 5.5: of a control frame's payload */
#define WS_PONGS_MAX_BYTES   ((size_t)2048) /* of pings that wait for their pongs */

/* A message on its way out; libwebsockets writes its frame header into the room before the text. */
struct ws_message {
    struct ws_message *next;
    size_t size_bytes;
    uint8_t room[]; /* LWS_PRE, then the text */
};

/* A fault of the client's, and the close code for it. */
struct ws_breach {
    uint16_t code;
    const char *reason;
};

/* Where a text is that is checked byte by byte: how much of its last character is to come, and what may come next. */
struct ws_utf8 {
    uint8_t left, low, high;
};

/* Where the judge of client frames is; see ws_guard_step. All zero but for message_max_bytes at first. */
struct ws_guard {
    int state;
    unsigned length_left; /* bytes of an extended length to come */
    unsigned mask_at;
    uint8_t mask[4];
    uint8_t first;
    uint8_t close_high; /* first byte of a close code */
    bool message_open;  /* a data frame without FIN came, its last one has not */
    struct ws_utf8 text;
    struct ws_utf8 reason; /* of a close frame, which may come in the middle of a message */
    uint64_t payload_left, payload_at;
    bool pinged; /* the last step ended behind a ping, whose payload this is */
    size_t ping_bytes;
    uint8_t ping[WS_CONTROL_MAX_BYTES];
    size_t message_bytes; /* of the frames of the open message, the current one among them */
    size_t message_max_bytes;
};

struct ws_connection {
    atomic_uint references;
    struct websocket_server *server;

    /* The server's thread only. */
    struct ws_connection *next_open, *former_open; /* server.open */
    struct lws *wsi;                               /* NULL: not adopted yet, or gone */
    int socket_fd;
    int pair_fd; /* our end; -1 when closed */
    int lws_fd;  /* the other end, until it is adopted */
    ev_io socket_in, socket_out, pair_in, pair_out;
    struct buffer to_lws;    /* checked, not yet taken by libwebsockets: [to_lws_at, size) */
    struct buffer to_client; /* [to_client_at, size) */
    size_t to_lws_at, to_client_at;
    bool client_finished; /* FIN from the client */
    bool lws_finished;    /* libwebsockets has closed its end */
    bool half_shut;       /* and we have told the client */
    struct ws_guard guard;
    bool opened;
    bool closed_told;
    bool failing; /* a breach was found: nothing more is read, `breach` goes out */
    const struct ws_breach *breach;
    bool ping_owed;
    struct buffer pongs; /* owed: size and payload, one after the other, from pongs_at */
    size_t pongs_at;
    int64_t heard_us; /* last bytes from the client */
    int64_t pinged_us;
    int64_t cut_due_us;    /* 0: not closing */
    struct buffer message; /* fragments of the message that is arriving */
    void *context;
    struct websocket_handshake *handshake; /* NULL once on_open has seen it */

    pthread_mutex_t lock; /* guards what follows */
    struct ws_message *first, *last;
    size_t queued_bytes;
    size_t corks; /* ws_cork calls under way */
    bool starved;
    bool dead; /* ws_send drops */
    bool overflowed;
    uint16_t close_code; /* 0: not asked to close */
    char *close_reason;  /* NULL: none */

    /* Guarded by server.inbox_lock. */
    bool posted;
    struct ws_connection *next_posted;
};

struct websocket_server {
    struct websocket_options options;
    struct log *log;
    const struct clock *clock;
    struct ev_loop *loop;
    struct lws_context *lws;
    struct lws_vhost *vhost;
    pthread_t thread;
    ev_async wake;
    ev_timer tick;
    atomic_size_t connection_count;
    atomic_bool stopping;
    _Atomic int64_t drain_ms;
    atomic_size_t refused_count; /* for want of connections */
    _Atomic int64_t full_logged_us;
    atomic_uint references; /* stop's, and one a connection */

    pthread_mutex_t inbox_lock; /* guards first_posted, last_posted, ended */
    struct ws_connection *first_posted, *last_posted;
    bool ended; /* the loop is over: nothing is posted */

    /* The server's thread only. */
    struct ws_connection *open; /* all that were taken from the inbox and not yet freed */
    struct ws_connection *adopting;
    bool draining;
    int64_t cut_all_us;
    uint8_t scratch[WS_SCRATCH_BYTES];
};

/* websocket.c */
/* Any thread. False: the server has ended. */
bool ws_post(struct ws_connection *connection);
void ws_closed_tell(struct ws_connection *connection); /* on_closed, once */
void ws_ended(struct ws_connection *connection);       /* the pump has nothing left to carry */

/* ws_lws.c */
struct lws_context *
ws_lws_open(struct websocket_server *server);        /* and the server's vhost; NULL: it cannot */
bool ws_lws_adopt(struct ws_connection *connection); /* of lws_fd, which is libwebsockets' from here on */
void ws_lws_wants_write(struct ws_connection *connection);
void ws_lws_write_posted(struct ws_connection *connection); /* may cut the connection */
void ws_fail(struct ws_connection *connection, const struct ws_breach *breach);
/* The guard has seen a ping: its pong is owed. */
void ws_pinged(struct ws_connection *connection);

/* ws_connection.c */
struct ws_connection *ws_connection_new(struct websocket_server *server, int fd,
                                        const struct websocket_handshake *handshake);
void server_unref(struct websocket_server *server);
struct ws_message *ws_queue_pop(struct ws_connection *connection);
bool ws_queue_waits(struct ws_connection *connection); /* is there a message? */
/* `size_bytes` have been taken from the queue; may call on_writable. */
void ws_queue_sent(struct ws_connection *connection, size_t size_bytes);
void ws_queue_drop(struct ws_connection *connection); /* and all that comes */

/* ws_pump.c */
void ws_pump_start(struct ws_connection *connection);
void ws_pump_cut(struct ws_connection *connection); /* closes the client's socket now */
/* Passes on what libwebsockets has written, as the loop would later; may cut the connection. */
void ws_pump_out(struct ws_connection *connection);

/* ws_guard.c */
/*
 * Looks at bytes from the client, in which pings become pongs. The number that may go on to libwebsockets; less than given:
 * *ret_breach is the fault of the next one. When that was left alone, either a ping has ended (guard->pinged) and the rest
 * is still to be given, or the client has closed and nothing that follows counts.
 */
size_t ws_guard_step(struct ws_guard *guard, uint8_t *bytes, size_t size_bytes,
                     const struct ws_breach **ret_breach);
