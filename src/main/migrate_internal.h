/* `strata migrate`: opens the stores of two configurations and moves one into the other (offline/migrate.h). */
#pragma once

#include "cli/cli.h"

extern const struct cli_command migrate_command;
