/* strata serve: configuration, rooms bottom-up, edges, and down again in reverse. */
#pragma once

#include "base/status.h"
#include "config/config.h"

int serve_main(int argc, char **argv);

/* Builds and runs the service until SIGINT or SIGTERM; blocks. */
struct status serve_run(const struct config *config);
