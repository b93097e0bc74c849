/*
 * Names looked up without waiting. The resolver has no bound of its own that one may rely on, and cannot be interrupted, so
 * each look-up has a thread that nobody waits for: whoever gave up leaves it the memory.
 */
#include <pthread.h>
#include <stdatomic.h>
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

int grpc_look_up(grpc_resolver *resolver, const char *host, const char *port, struct grpc_addresses *ret)
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
    lookup->error = grpc_look_up(lookup->resolver, lookup->host, lookup->port, &lookup->found);
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

struct grpc_lookup *grpc_lookup_start(grpc_resolver *resolver, const char *host, const char *port)
{
    struct grpc_lookup *lookup = calloc(1, sizeof *lookup);
    if (lookup == NULL)
        return NULL;
    atomic_init(&lookup->references, 2);
    atomic_init(&lookup->done, false);
    lookup->resolver = resolver;
    (void)snprintf(lookup->host, sizeof lookup->host, "%s", host); /* fits, as the next one */
    (void)snprintf(lookup->port, sizeof lookup->port, "%s", port);
    if (thread_start(lookup))
        return lookup;
    free(lookup);
    return NULL;
}

bool grpc_lookup_is_done(const struct grpc_lookup *lookup)
{
    return atomic_load(&lookup->done);
}

bool grpc_lookup_take(const struct grpc_lookup *lookup, struct grpc_addresses *ret)
{
    if (lookup->error == 0)
        *ret = lookup->found;
    return lookup->error == 0;
}
