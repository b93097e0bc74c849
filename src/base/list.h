/* An intrusive ring: a head is a link that points to itself when empty. Owned by one thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct link {
    struct link *next;
    struct link *former;
};

static inline void link_init(struct link *link)
{
    link->next = link;
    link->former = link;
}

static inline bool link_is_alone(const struct link *link)
{
    return link->next == link;
}

static inline void link_remove(struct link *link)
{
    link->former->next = link->next;
    link->next->former = link->former;
    link_init(link);
}

static inline void link_append(struct link *head, struct link *link)
{
    link->former = head->former;
    link->next = head;
    head->former->next = link;
    head->former = link;
}

#define LINK_OWNER(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))
