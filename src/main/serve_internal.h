/* strata serve: configuration, rooms bottom-up, edges, and down again in
 * reverse. */
#pragma once

#include <stddef.h>

#include "base/status.h"
#include "cli/cli.h"
#include "config/config.h"
#include "service/service.h"

struct log;

extern const struct cli_command serve_command;

#define LIBRARIES_MAX 8U
/* Names and versions of the libraries that this program runs with; returns how
 * many. */
size_t library_versions(struct service_pair ret[LIBRARIES_MAX]);

/* Sets the soft limit of open descriptors to the hard one, as far as that is of
 * use; returns what may be open. */
size_t descriptors_claim(struct log *log);

#define HTTP_CONNECTIONS_MAX 10000U
/* Connections of each kind that may be open at once. */
struct connection_limits {
    size_t websocket, http;
};
/*
 * Divides descriptors so that none of these connections is accepted for want of
 * one later: WebSockets get what they want out of three quarters, HTTP half of
 * what is left; the rest is for gRPC and files.
 */
struct connection_limits connections_share(size_t descriptors, size_t websocket_wanted);

/* Which parts run in this process. */
enum serve_parts {
    SERVE_ALL,
    SERVE_CORE,    /* store, service and gRPC */
    SERVE_GATEWAY, /* HTTP, with the core elsewhere */
};

#define SERVE_UPSTREAMS_MAX 8U

/* What is said for one start only, so never in a configuration. */
struct serve_options {
    enum serve_parts parts;
    const char *upstreams[SERVE_UPSTREAMS_MAX]; /* SERVE_GATEWAY: HOST:PORT of the
                                                 cores */
    size_t upstream_count;
    bool accept_data_loss;  /* as embedded_options */
    bool accept_state_loss; /* likewise */
};

/* What shows only when rooms are built: the patterns of types. Opens nothing. */
STATUS_MUST_CHECK struct status serve_check(const struct config *config);
/* Builds and runs the service until SIGINT or SIGTERM; blocks. */
struct status serve_run(const struct config *config, const struct serve_options *options);
