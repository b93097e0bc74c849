/*
 * Where a link connects to. A resolver has no bound of its own that one may rely on, and cannot be interrupted, so each
 * look-up but the first has a thread that nobody waits for: whoever goes leaves it the memory.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/upstream/grpc_internal.h"

struct grpc_lookup {
    atomic_int references; /* the link's and the thread's */
    grpc_resolver *resolver;
    char host[HOST_BYTES];
    char port[8];
    int error; /* this and the next are the thread's until `done` */
    struct grpc_addresses found;
    atomic_bool done;
};

/* --- looking up --- */

/* 0, or an error of getaddrinfo. */
static int look_up(grpc_resolver *resolver, const char *host, const char *port, struct grpc_addresses *ret)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    const int error = (resolver == NULL ? getaddrinfo : resolver)(host, port, &hints, &found);
    if (error != 0)
        return error;
    memset(ret, 0, sizeof *ret); /* compared as bytes */
    for (const struct addrinfo *at = found; at != NULL && ret->count < LOOKED_UP_MAX; at = at->ai_next) {
        struct grpc_address *kept = &ret->items[ret->count++];
        memcpy(&kept->address, at->ai_addr, at->ai_addrlen);
        kept->size_bytes = at->ai_addrlen;
    }
    freeaddrinfo(found);
    return 0;
}

void grpc_lookup_release(struct grpc_lookup *lookup)
{
    if (lookup != NULL && atomic_fetch_sub(&lookup->references, 1) == 1)
        free(lookup);
}

static void *run(void *context)
{
    struct grpc_lookup *lookup = context;
    lookup->error = look_up(lookup->resolver, lookup->host, lookup->port, &lookup->found);
    atomic_store(&lookup->done, true);
    grpc_lookup_release(lookup);
    return NULL;
}

static bool thread_start(struct grpc_lookup *lookup)
{
    pthread_attr_t attributes;
    pthread_t thread;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    const bool started = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0 &&
                         pthread_create(&thread, &attributes, run, lookup) == 0;
    (void)pthread_attr_destroy(&attributes); /* cannot fail for attributes that were initialised */
    return started;
}

/* --- of a link --- */

static bool address_split(struct grpc_link *link, const char *address)
{
    const char *colon = strrchr(address, ':');
    const bool bracketed = address[0] == '[';
    if (colon == NULL || colon == address || grpc_number(bytes_of_text(colon + 1)) < 1 ||
        grpc_number(bytes_of_text(colon + 1)) > 65535)
        return false;
    if (bracketed && (colon - address < 3 || colon[-1] != ']'))
        return false;
    const char *host = address + (bracketed ? 1 : 0);
    const size_t host_bytes = (size_t)(colon - host) - (bracketed ? 1 : 0);
    if (host_bytes == 0 || host_bytes >= HOST_BYTES || (!bracketed && memchr(host, ':', host_bytes) != NULL))
        return false;
    (void)snprintf(link->host, sizeof link->host, "%.*s", (int)host_bytes, host); /* fits, as the next two */
    (void)snprintf(link->port, sizeof link->port, "%s", colon + 1);
    (void)snprintf(link->authority, sizeof link->authority, "%s", address);
    return true;
}

struct status grpc_lookup_first(struct grpc_link *link, const char *address)
{
    if (!address_split(link, address))
        return status_error(STATUS_INVALID_ARGUMENT,
                            "the upstream \"%s\" is not HOST:PORT, such as core:50051 or [::1]:50051",
                            address);
    const int error = look_up(link->remote->resolver, link->host, link->port, &link->addresses);
    if (error != 0)
        return status_error(STATUS_UNAVAILABLE, "the upstream's name \"%s\" cannot be looked up: %s",
                            link->host, gai_strerror(error));
    return status_ok();
}

void grpc_lookup_again(struct grpc_link *link)
{
    uint8_t numbers[sizeof(struct in6_addr)];
    const bool is_name =
        inet_pton(AF_INET, link->host, numbers) != 1 && inet_pton(AF_INET6, link->host, numbers) != 1;
    if (!is_name || link->lookup != NULL)
        return;
    struct grpc_lookup *lookup = calloc(1, sizeof *lookup);
    if (lookup == NULL)
        return;
    atomic_init(&lookup->references, 2);
    atomic_init(&lookup->done, false);
    lookup->resolver = link->remote->resolver;
    memcpy(lookup->host, link->host, sizeof lookup->host);
    memcpy(lookup->port, link->port, sizeof lookup->port);
    if (thread_start(lookup))
        link->lookup = lookup;
    else
        free(lookup);
}

static bool same_addresses(const struct grpc_addresses *a, const struct grpc_addresses *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        const struct bytes one = bytes_of(&a->items[i].address, a->items[i].size_bytes);
        if (!bytes_equal(one, bytes_of(&b->items[i].address, b->items[i].size_bytes)))
            return false;
    }
    return true;
}

void grpc_lookup_take(struct grpc_link *link)
{
    struct grpc_lookup *lookup = link->lookup;
    if (lookup == NULL || !atomic_load(&lookup->done))
        return;
    if (lookup->error == 0 && !same_addresses(&lookup->found, &link->addresses)) {
        link->addresses = lookup->found;
        link->address_at = 0;
    }
    link->lookup = NULL;
    grpc_lookup_release(lookup);
}
