/* strata serve: configuration, rooms bottom-up, edges, and down again in reverse. */
#pragma once

#include "base/status.h"
#include "config/config.h"
#include "service/service.h"

int serve_main(int argc, char **argv);

#define LIBRARIES_MAX 8U
/* Names and versions of the libraries that this program runs with; returns how many. */
size_t library_versions(struct service_pair ret[LIBRARIES_MAX]);

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
    const char *upstreams[SERVE_UPSTREAMS_MAX]; /* SERVE_GATEWAY: HOST:PORT of the cores */
    size_t upstream_count;
    bool accept_data_loss;  /* as embedded_options */
    bool accept_state_loss; /* likewise */
};

/* Builds and runs the service until SIGINT or SIGTERM; blocks. */
struct status serve_run(const struct config *config, const struct serve_options *options);
