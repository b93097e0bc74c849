/* What connections of both protocols share: their place in the loop, their timer, and their end. */
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/http/front_internal.h"

bool connection_open(struct connection *connection, const struct protocol_ops *protocol, struct front *front,
                     int fd, const char *peer)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = connection};
    if (epoll_ctl(front->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
        close(fd);
        return false;
    }
    connection->protocol = protocol;
    connection->front = front;
    connection->fd = fd;
    connection->epoll_events = event.events;
    connection->timer_kind = TIMER_NONE;
    (void)snprintf(connection->peer, sizeof connection->peer, "%s", peer); /* made to fit */
    link_init(&connection->timer);
    link_init(&connection->unsettled);
    link_init(&connection->all);
    link_append(&front->connections, &connection->all);
    front->connection_count++;
    atomic_store(&front->connections_now, front->connection_count);
    connection_timer(connection, TIMER_IDLE);
    return true;
}

bool connection_watch(struct connection *connection, uint32_t epoll_events)
{
    if (epoll_events == connection->epoll_events)
        return true;
    struct epoll_event event = {.events = epoll_events, .data.ptr = connection};
    if (epoll_ctl(connection->front->epoll_fd, EPOLL_CTL_MOD, connection->fd, &event) < 0) {
        connection_close(connection);
        return false;
    }
    connection->epoll_events = epoll_events;
    return true;
}

/* Its memory stays until the loop's round is over: events may still name it. */
void connection_retire(struct connection *connection)
{
    struct front *front = connection->front;
    connection->fd = -1;
    connection_timer(connection, TIMER_NONE);
    link_remove(&connection->unsettled);
    link_remove(&connection->all);
    link_append(&front->freed, &connection->all);
    front->connection_count--;
    atomic_store(&front->connections_now, front->connection_count);
    connection->protocol->lost(connection);
}

void connection_close(struct connection *connection)
{
    if (connection->fd < 0)
        return;
    close(connection->fd); /* which also takes it out of epoll */
    connection_retire(connection);
}

void connection_reset(struct connection *connection)
{
    if (connection->fd < 0)
        return;
    /* An orderly FIN would make an answer that ends by closing look complete. */
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    /* When it fails, the client sees at worst a FIN within a chunk. */
    (void)setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    connection_close(connection);
}

bool connection_replace(struct connection *from, struct connection *to, const struct protocol_ops *protocol)
{
    struct front *front = from->front;
    const int fd = from->fd;
    struct epoll_event none = {.events = 0};
    (void)epoll_ctl(front->epoll_fd, EPOLL_CTL_DEL, fd, &none); /* it is there */
    connection_retire(from);
    return connection_open(to, protocol, front, fd, from->peer);
}

void connection_settle_later(struct connection *connection)
{
    if (connection->fd >= 0 && link_is_alone(&connection->unsettled))
        link_append(&connection->front->unsettled, &connection->unsettled);
}

void connection_timer(struct connection *connection, enum timer_kind kind)
{
    struct front *front = connection->front;
    link_remove(&connection->timer);
    connection->timer_kind = kind;
    if (kind == TIMER_NONE)
        return;
    /* All of a kind wait equally long, so appending keeps each ring sorted. */
    connection->timer_due_us = front->now_us + front->timeout_us[kind];
    link_append(&front->timers[kind], &connection->timer);
}
