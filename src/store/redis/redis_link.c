/* Commands formatted and replies parsed by hiredis, over a socket of our own. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "redis_internal.h"

#define WORDS_MAX   64U
#define PIECE_BYTES ((size_t)16 * 1024)

void redis_link_drop(struct redis_link *link)
{
    redis_socket_close(&link->socket);
    if (link->reader != NULL)
        redisReaderFree(link->reader);
    link->reader = NULL;
}

/* ---- what the server refuses ---- */

/* Words of an error, and what an operator can do. */
static const struct {
    const char *words;
    const char *remedy;
} remedies[] = {
    {"WRONGPASS", "check database.redis.username and database.redis.password"},
    {"NOAUTH", "give database.redis.password"},
    {"invalid password", "check database.redis.password"},
    {"without any password configured", "the server has no password: leave database.redis.password out, or "
                                        "give the server one (requirepass)"},
    {"NOPERM", "grant it, for example with ACL SETUSER <user> ~strata:* &strata:* +@read +@write +@scripting "
               "+@connection +@pubsub"},
    {"t run this command",
     "grant it, for example with ACL SETUSER <user> ~strata:* +@read +@write +@scripting"},
    {"t access at least one of the keys", "grant it, for example with ACL SETUSER <user> ~strata:*"},
    {"DB index is out of range", "check database.redis.db, or raise the server's `databases`"},
    {"OOM ", "it is full: raise its maxmemory, or let it evict (maxmemory-policy allkeys-lru for a cache)"},
    {"LOADING", "it reads its data after a start; wait"},
    {"READONLY", "it is a replica; check database.redis.host, which must name the primary"},
    {"MISCONF", "it cannot save to its disk; look at its log"},
    {"MASTERDOWN", "it is a replica that has lost its primary"},
    {"MOVED", "it is part of a cluster, which is not supported; name a single server or a primary"},
};

static struct status refused(const struct redis *redis, const redisReply *reply)
{
    const char *remedy = "look at its log";
    for (size_t i = 0; i < ARRAY_COUNT(remedies); i++)
        if (strstr(reply->str, remedies[i].words) != NULL) {
            remedy = remedies[i].remedy;
            break;
        }
    const char *user = redis->settings.username == NULL ? "default" : redis->settings.username;
    return status_reason(REASON_STORE_UNREACHABLE, "Redis at %s:%u refuses user \"%s\": %.200s; %s",
                         redis->settings.host, redis->settings.port, user, reply->str, remedy);
}

/* ---- sending and receiving ---- */

static struct status format(const struct redis_command *command, struct buffer *to)
{
    const char *words[WORDS_MAX];
    size_t sizes[WORDS_MAX];
    char *text = NULL;
    assert(command->count <= WORDS_MAX);
    for (size_t i = 0; i < command->count; i++) {
        words[i] = command->words[i].size_bytes == 0 ? "" : (const char *)command->words[i].data;
        sizes[i] = command->words[i].size_bytes;
    }
    const int size = redisFormatCommandArgv(&text, (int)command->count, words, sizes);
    if (size < 0)
        return redis_no_memory();
    buffer_add(to, text, (size_t)size);
    redisFreeCommand(text);
    return buffer_status(to);
}

static int64_t deadline_us(const struct redis *redis, uint32_t timeout_ms)
{
    return clock_monotonic_us(redis->clock) + (int64_t)timeout_ms * 1000;
}

struct status redis_link_send(struct redis_link *link, const struct redis_command *commands, size_t count)
{
    struct redis *redis = link->redis;
    struct buffer text = buffer_make(0);
    struct status status = status_ok();
    for (size_t i = 0; i < count && status.code == STATUS_OK; i++)
        status = format(&commands[i], &text);
    if (status.code == STATUS_OK)
        status = redis_socket_write(redis, &link->socket, buffer_bytes(&text),
                                    deadline_us(redis, redis->settings.io_timeout_ms));
    buffer_done(&text);
    return status;
}

static struct status broken_protocol(const struct redis *redis, const char *why)
{
    return status_reason(REASON_STORE_UNREACHABLE,
                         "what answers at %s:%u is no Redis: %s; check database.redis.port and "
                         "database.redis.tls",
                         redis->settings.host, redis->settings.port, why);
}

struct status redis_link_receive(struct redis_link *link, int64_t until_us, redisReply **ret_reply)
{
    char piece[PIECE_BYTES];
    size_t received = 0;
    void *reply = NULL;
    *ret_reply = NULL;
    for (;;) {
        if (redisReaderGetReply(link->reader, &reply) != REDIS_OK)
            return broken_protocol(link->redis, link->reader->errstr);
        *ret_reply = reply;
        if (reply != NULL)
            return status_ok();
        size_t size = 0;
        STATUS_TRY(redis_socket_read(link->redis, &link->socket, piece, sizeof piece, until_us, &size));
        if (size == 0)
            return status_ok();
        received += size;
        if (received > REPLY_MAX_BYTES || redisReaderFeed(link->reader, piece, size) != REDIS_OK)
            return broken_protocol(link->redis, "a reply is too large");
    }
}

static struct status receive_all(struct redis_link *link, size_t count, redisReply **ret_replies)
{
    struct redis *redis = link->redis;
    const int64_t until_us = deadline_us(redis, redis->settings.io_timeout_ms);
    for (size_t i = 0; i < count; i++) {
        STATUS_TRY(redis_link_receive(link, until_us, &ret_replies[i]));
        if (ret_replies[i] == NULL)
            return status_reason(REASON_STORE_UNREACHABLE,
                                 "Redis at %s:%u does not answer within %u ms; check that it is not stopped "
                                 "or overloaded",
                                 redis->settings.host, redis->settings.port, redis->settings.io_timeout_ms);
    }
    return status_ok();
}

/* An error is a reply like others: the connection stays. */
static struct status look_for_errors(const struct redis *redis, size_t count, redisReply **replies)
{
    for (size_t i = 0; i < count; i++)
        if (replies[i]->type == REDIS_REPLY_ERROR)
            return refused(redis, replies[i]);
    return status_ok();
}

struct status redis_link_run(struct redis_link *link, const struct redis_command *commands, size_t count,
                             redisReply **ret_replies)
{
    memset(ret_replies, 0, count * sizeof *ret_replies);
    struct status status = redis_link_send(link, commands, count);
    if (status.code == STATUS_OK)
        status = receive_all(link, count, ret_replies);
    if (status.code != STATUS_OK) {
        const bool lost = link->socket.lost;
        redis_link_drop(link); /* a late answer must not pass for that of another question */
        link->socket.lost = lost;
    } else {
        status = look_for_errors(link->redis, count, ret_replies);
    }
    for (size_t i = 0; i < count && status.code != STATUS_OK; i++) {
        redis_reply_free_at(&ret_replies[i]);
        ret_replies[i] = NULL;
    }
    return status;
}

/* ---- connecting ---- */

static struct status greet(struct redis_link *link)
{
    const struct redis_settings *settings = &link->redis->settings;
    char database[16];
    (void)snprintf(database, sizeof database, "%u", settings->database); /* fits */
    const struct bytes with_user[] = {BYTES_LITERAL("AUTH"), bytes_of_text(settings->username),
                                      bytes_of_text(settings->password)};
    const struct bytes with_password[] = {BYTES_LITERAL("AUTH"), bytes_of_text(settings->password)};
    const struct bytes select_words[] = {BYTES_LITERAL("SELECT"), bytes_of_text(database)};
    struct redis_command commands[2];
    redisReply *replies[2];
    size_t count = 0;
    if (settings->username != NULL)
        commands[count++] = (struct redis_command){with_user, 3};
    else if (settings->password != NULL)
        commands[count++] = (struct redis_command){with_password, 2};
    if (settings->database != 0)
        commands[count++] = (struct redis_command){select_words, 2};
    if (count == 0)
        return status_ok();
    STATUS_TRY(redis_link_run(link, commands, count, replies));
    for (size_t i = 0; i < count; i++)
        freeReplyObject(replies[i]);
    return status_ok();
}

struct status redis_link_connect(struct redis_link *link)
{
    if (link->reader != NULL)
        return status_ok();
    struct redis *redis = link->redis;
    STATUS_TRY(
        redis_socket_open(redis, deadline_us(redis, redis->settings.connect_timeout_ms), &link->socket));
    link->reader = redisReaderCreate();
    struct status status = link->reader == NULL ? redis_no_memory() : greet(link);
    if (status.code != STATUS_OK)
        redis_link_drop(link);
    return status;
}
