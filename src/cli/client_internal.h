/*
 * A small blocking gRPC client for the commands: unary calls and server streams over one connection.
 *
 * Ownership  The client owns its connection. Replies live in the arena that is handed in.
 * Threads    One.
 * Blocking   Yes; at most `timeout_ms` for a unary call, a stream as long as its callback wants more.
 * Errors     What the server answered, with reason and faults; UNAVAILABLE when it cannot be reached.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/status.h"

struct client;

/* `address` is host:port. Connects at the first call. */
STATUS_MUST_CHECK struct status client_new(const char *address, struct client **ret);
void client_free(struct client *client); /* NULL is fine */
DEFINE_CLEANUP(struct client, client_free);

STATUS_MUST_CHECK struct status client_unary(struct client *client, const char *path, struct bytes request,
                                             int timeout_ms, struct arena *arena, struct bytes *ret);

/* Gets one message, valid during the call; false ends the stream with OK. */
typedef bool (*client_message)(void *context, struct bytes message);

/* For a stream that may say nothing for long; zeros: none of it. */
struct client_patience {
    int silence_ms; /* nothing for so long: the connection is taken for dead, UNAVAILABLE */
    bool (*stop)(
        void *context); /* asked at least four times a second, with on_message's context; true ends with OK */
};

STATUS_MUST_CHECK struct status client_stream(struct client *client, const char *path, struct bytes request,
                                              const struct client_patience *patience, struct arena *arena,
                                              client_message on_message, void *context);

/*
 * A call with a stream in each direction, used in turns: send one, get its answer. Between the two the caller may
 * work. UNAVAILABLE when the other side says nothing for a minute.
 */
struct client_turns;

STATUS_MUST_CHECK struct status client_turns_new(struct client *client, const char *path,
                                                 struct client_turns **ret);
/* Ends the call; what it then says is not asked. NULL is fine. */
void client_turns_free(struct client_turns *turns);
DEFINE_CLEANUP(struct client_turns, client_turns_free);

STATUS_MUST_CHECK struct status client_turns_send(struct client_turns *turns, struct bytes message);
/* The answer, in `arena`; when the call has ended instead: its status, or INTERNAL when that is OK. */
STATUS_MUST_CHECK struct status client_turns_receive(struct client_turns *turns, struct arena *arena,
                                                     struct bytes *ret);
