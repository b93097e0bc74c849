/* strata serve: configuration, rooms bottom-up, edges, and down again in reverse. */
#pragma once

#include "base/status.h"
#include "config/config.h"

int serve_main(int argc, char **argv);

/* What is said for one start only, so never in a configuration. */
struct serve_options {
    bool accept_data_loss;  /* as embedded_options */
    bool accept_state_loss; /* likewise */
};

/* Builds and runs the service until SIGINT or SIGTERM; blocks. */
struct status serve_run(const struct config *config, const struct serve_options *options);
