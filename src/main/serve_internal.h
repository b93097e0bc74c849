/* strata serve: configuration, rooms bottom-up, edges, and down again in reverse. */
#pragma once

#include "base/status.h"
#include "config/config.h"
#include "service/service.h"

int serve_main(int argc, char **argv);

#define LIBRARIES_MAX 8U
/* Names and versions of the libraries that this program runs with; returns how many. */
size_t library_versions(struct service_pair ret[LIBRARIES_MAX]);

/* What is said for one start only, so never in a configuration. */
struct serve_options {
    bool accept_data_loss;  /* as embedded_options */
    bool accept_state_loss; /* likewise */
};

/* Builds and runs the service until SIGINT or SIGTERM; blocks. */
struct status serve_run(const struct config *config, const struct serve_options *options);
