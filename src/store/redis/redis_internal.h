/* What the files of this room share. */
#pragma once

#include <hiredis/hiredis.h>
#include <openssl/ssl.h>
#include <pthread.h>

#include "base/bytes.h"
#include "store/redis/redis_store.h"

#define POOL_MAX 64U
/* No reply that we ask for is larger: a page of sixteen snapshots, each of a few states of at most some MiB. */
#define REPLY_MAX_BYTES ((size_t)512 * 1024 * 1024)

/* The options, copied and completed. */
struct redis_settings {
    char *host;
    uint16_t port;
    char *username;
    char *password;
    unsigned database;
    enum redis_tls tls;
    char *key_prefix;
    char *store_id;
    unsigned pool_size;
    uint32_t connect_timeout_ms;
    uint32_t io_timeout_ms;
};

/* --- a socket, in the clear or encrypted, with deadlines (redis_socket.c) --- */

struct redis_socket {
    int fd;    /* -1 = closed */
    SSL *ssl;  /* NULL = in the clear */
    bool lost; /* the other side ended the connection: what was sent may not have arrived */
};

/* Reads certificates: INVALID_ARGUMENT names the file. *ret NULL without TLS. */
STATUS_MUST_CHECK struct status redis_tls_new(const struct redis_options *options, SSL_CTX **ret);

struct redis;
/* Deadlines are monotonic times by the clock of the redis. */
STATUS_MUST_CHECK struct status redis_socket_open(const struct redis *redis, int64_t deadline_us,
                                                  struct redis_socket *ret);
void redis_socket_close(struct redis_socket *socket);
STATUS_MUST_CHECK struct status redis_socket_write(const struct redis *redis, struct redis_socket *socket,
                                                   struct bytes bytes, int64_t deadline_us);
/* What has come, at least a byte; 0 bytes = nothing before the deadline. */
STATUS_MUST_CHECK struct status redis_socket_read(const struct redis *redis, struct redis_socket *socket,
                                                  void *to, size_t size_bytes, int64_t deadline_us,
                                                  size_t *ret_bytes);

/* --- commands over one connection (redis_link.c) --- */

/* A command: its words, binary safe. */
struct redis_command {
    const struct bytes *words;
    size_t count;
};

struct redis_link {
    struct redis *redis;
    struct redis_socket socket;
    redisReader *reader; /* NULL = not connected */
};

/* Connects, names user and password, selects the database; nothing when it is connected. */
STATUS_MUST_CHECK struct status redis_link_connect(struct redis_link *link);
void redis_link_drop(struct redis_link *link);
/*
 * Sends the commands in one piece and waits for all replies, which are the caller's (freeReplyObject). An error among
 * them is the status of the whole, and then none is given. A connection that fails is dropped.
 */
STATUS_MUST_CHECK struct status redis_link_run(struct redis_link *link, const struct redis_command *commands,
                                               size_t count, redisReply **ret_replies);
STATUS_MUST_CHECK struct status redis_link_send(struct redis_link *link, const struct redis_command *commands,
                                                size_t count);
/* The next reply; NULL = none before the deadline. */
STATUS_MUST_CHECK struct status redis_link_receive(struct redis_link *link, int64_t deadline_us,
                                                   redisReply **ret_reply);

/* --- whether it is worth trying (redis_breaker.c) --- */

/* One failure spares all others theirs, for a while that doubles; after it one call tries for all. */
struct redis_breaker {
    pthread_mutex_t lock;  /* a leaf; guards the rest */
    struct status failure; /* OK, or why the last try failed */
    int64_t try_again_us;  /* monotonic */
    int64_t backoff_us;
    int64_t told_at_us; /* when the log was told of a failure last */
    bool told;          /* that it fails now */
};

void redis_breaker_init(struct redis_breaker *breaker);
void redis_breaker_done(struct redis_breaker *breaker);
/* OK = try; else the last failure. */
STATUS_MUST_CHECK struct status redis_breaker_may_try(struct redis *redis, struct redis_breaker *breaker);
void redis_breaker_failed(struct redis *redis, struct redis_breaker *breaker, const struct status *why);
void redis_breaker_succeeded(struct redis *redis, struct redis_breaker *breaker);
STATUS_MUST_CHECK struct status redis_breaker_status(struct redis_breaker *breaker);

/* --- a server, as one of the purposes uses it (redis_pool.c) --- */

struct redis {
    struct redis_settings settings;
    SSL_CTX *tls;        /* NULL = in the clear */
    const char *purpose; /* for the log: "cache" */
    const struct clock *clock;
    struct log *log;

    struct redis_breaker reach;  /* whether it answers */
    struct redis_breaker writes; /* whether it takes what is written: a full one still answers */

    pthread_mutex_t pool_lock; /* a leaf; guards all below */
    pthread_cond_t pool_free;
    struct redis_link pool[POOL_MAX];
    bool pool_used[POOL_MAX];
};

enum redis_use { REDIS_READS, REDIS_WRITES };

STATUS_MUST_CHECK struct status redis_new(const struct redis_options *options, const char *purpose,
                                          const struct clock *clock, struct log *log, struct redis **ret);
void redis_free(struct redis *redis); /* NULL is fine */
/*
 * Runs commands that may be repeated on a connection of the pool, as redis_link_run; once more on a new one when the
 * connection turns out to have been ended meanwhile. STORE_UNREACHABLE.
 */
STATUS_MUST_CHECK struct status redis_run(struct redis *redis, enum redis_use use,
                                          const struct redis_command *commands, size_t count,
                                          redisReply **ret_replies);
/* The same for one command. */
STATUS_MUST_CHECK struct status redis_run_one(struct redis *redis, enum redis_use use,
                                              const struct bytes *words, size_t count, redisReply **ret);
/* Asks once, so that the log says at the start what is wrong. */
void redis_try(struct redis *redis);
/* OK, or why it does not answer, or does not take what is written. */
STATUS_MUST_CHECK struct status redis_health(struct redis *redis);

/* "strata:snapshot:4:main:", or with a name behind it; a length before the store's name keeps stores apart. */
STATUS_MUST_CHECK struct status redis_key(const struct redis *redis, const char *kind, struct bytes name,
                                          struct buffer *ret);

struct status redis_no_memory(void);

static inline struct bytes redis_reply_bytes(const redisReply *reply)
{
    return bytes_of(reply->str, reply->len);
}
static inline void redis_reply_free_at(redisReply **reply)
{
    if (*reply != NULL)
        freeReplyObject(*reply);
}

/* --- a snapshot as the value of a key (redis_value.c) --- */

void redis_value_write(struct buffer *to, const struct snapshot *snapshot);
/* Texts are copied into the arena. DATA_LOSS/DAMAGED when it is not one that redis_value_write has written. */
STATUS_MUST_CHECK struct status redis_value_read(struct bytes value, struct arena *arena,
                                                 struct snapshot *ret);
