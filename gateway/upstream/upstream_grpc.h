/*
 * The upstream that is a remote core: gRPC over cleartext HTTP/2, one multiplexed connection to each address. It gets a
 * second one beside it when the core asks calls to go elsewhere (GOAWAY), or takes no more of them at a time; the first
 * one then stays for as long as it has calls.
 *
 * A call goes to a connection that is up, which it is once the core's first SETTINGS have come, in turns. While none is,
 * calls wait a second for one and end with STORE_UNREACHABLE, not executed; the addresses of a name are tried one after
 * the other, then again with a growing, random delay.
 *
 * A call that is lost, with its connection or alone, is made once more if the core cannot have carried it out (refused, or
 * not all of it was sent) or if it may be repeated (retry_safe, and nothing of a stream was delivered). Otherwise a
 * mutating call ends with OUTCOME_UNKNOWN, any other with STORE_UNREACHABLE. OUTCOME_UNKNOWN is also what becomes of a
 * mutating call whose answer cannot be read, or comes from something between here and the core.
 *
 * Deadlines travel as grpc-timeout and are kept here too. Authorization, traceparent and request id travel as metadata.
 * Flow control reaches from the receiver of a stream to the core: while it has no room its window is not opened.
 *
 * A core that has said nothing for `quiet_ms` is asked whether it is there (PING); one that then says nothing for
 * `answer_ms` is hung or gone: its connection is closed, its calls are lost as with any connection, and it is connected to
 * again.
 *
 * Ownership  Options are copied; clock, entropy and log are borrowed. Calls that are under way when it is freed get their
 *            ends; afterwards they may only be released.
 * Threads    One of its own, on which all events come; and one for each look-up of a name, which nobody waits for.
 * Blocking   upstream_grpc_free waits for the thread. Names are looked up when it is made, which waits for the resolver,
 *            and again beside it while a core cannot be reached: the old addresses are tried until there are others.
 */
#pragma once

#include <netdb.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/entropy.h"
#include "base/log.h"
#include "base/status.h"
#include "gateway/upstream/upstream.h"

#define UPSTREAM_ADDRESSES_MAX 8U

/* As getaddrinfo; what it finds is freed by freeaddrinfo. Any thread. */
typedef int grpc_resolver(const char *host, const char *port, const struct addrinfo *hints,
                          struct addrinfo **ret);

struct upstream_grpc_options {
    const char *const *addresses; /* "core:50051", "[::1]:50051" */
    size_t address_count;
    int64_t quiet_ms;        /* 0 = 5 s; at least what the core lets pass between pings */
    int64_t answer_ms;       /* 0 = 10 s */
    grpc_resolver *resolver; /* NULL = getaddrinfo */
    const struct clock *clock;
    const struct entropy *entropy;
    struct log *log;
};

/*
 * INVALID_ARGUMENT   an address that is not HOST:PORT, none or too many
 * UNAVAILABLE        a name that cannot be looked up
 * RESOURCE_EXHAUSTED no memory, descriptors or threads
 * A core that does not answer yet is no error.
 */
STATUS_MUST_CHECK struct status upstream_grpc_new(const struct upstream_grpc_options *options,
                                                  struct upstream **ret);
void upstream_grpc_free(struct upstream *upstream); /* NULL is fine */
