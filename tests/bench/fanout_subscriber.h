/*
 * One subscriber on a connection of its own, over any transport.
 *
 * It begins at the end of the store. One that stalls is read until it is live and then left alone: its socket is not read
 * any more, or (gRPC) its window is not opened.
 *
 * Ownership  The caller ends it with fanout_subscriber_close. The target's text and the events' context are borrowed.
 * Threads    One at a time.
 * Blocking   fanout_subscriber_open waits for the connection.
 */
#pragma once

#include "fanout_parse.h"

struct fanout_subscriber;

enum fanout_stall { FANOUT_READS, FANOUT_STALLS_SOCKET, FANOUT_STALLS_WINDOW };

struct fanout_subscriber_options {
    enum fanout_transport transport;
    const char *host; /* an address in numbers */
    uint16_t port;
    enum fanout_stall stall;
    struct fanout_events events;
};

/* NULL: *ret_error says why; constant text. */
struct fanout_subscriber *fanout_subscriber_open(const struct fanout_subscriber_options *options,
                                                 const char **ret_error);
void fanout_subscriber_close(struct fanout_subscriber *subscriber); /* NULL is fine */

int fanout_subscriber_fd(const struct fanout_subscriber *subscriber);
/* Takes what is there. False: it has ended, see fanout_subscriber_error. */
bool fanout_subscriber_read(struct fanout_subscriber *subscriber);
/* Of one with FANOUT_STALLS_WINDOW: takes what comes from here on. False: it has ended. */
bool fanout_subscriber_open_window(struct fanout_subscriber *subscriber);
const char *fanout_subscriber_error(const struct fanout_subscriber *subscriber);
