/*
 * The upstream that is a remote core: gRPC over cleartext HTTP/2, one multiplexed connection to each address.
 *
 * A call goes to a connection that is up, in turns. While none is, calls wait for one for up to CONNECT_WAIT_MS and end
 * with STORE_UNREACHABLE, not executed; the connection is tried again with a growing, random delay. A connection that is
 * lost with calls on it ends them: what may be repeated (retry_safe, unary) is, once; a mutating call that the core may
 * have carried out ends with OUTCOME_UNKNOWN, a stream with STORE_UNREACHABLE.
 *
 * Deadlines travel as grpc-timeout and are kept here too. Authorization, traceparent and request id travel as metadata.
 * Flow control reaches from the receiver of a stream to the core: while it has no room its window is not opened.
 *
 * Ownership  Options are copied; clock, entropy and log are borrowed. Free it when no call is left.
 * Threads    One of its own, on which all events come.
 * Blocking   upstream_grpc_free waits for the thread. Names are looked up when it is made.
 */
#pragma once

#include <stddef.h>

#include "base/clock.h"
#include "base/entropy.h"
#include "base/log.h"
#include "base/status.h"
#include "gateway/upstream/upstream.h"

#define UPSTREAM_ADDRESSES_MAX 8U

struct upstream_grpc_options {
    const char *const *addresses; /* "core:50051", "[::1]:50051" */
    size_t address_count;
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
