/*
 * The commands people reach for: append, get, tail, export and import speak gRPC to a running service; verify, info,
 * export --path and import --keep open, through offline, a store that no server holds. Each reads its own arguments and returns a process exit code: 0 done, 1 refused or failed
 * (the message is on stderr), 2 wrong usage.
 *
 * Threads   The main thread.
 * Blocking  Until the command is done.
 */
#pragma once

#include <stddef.h>

#include "base/status.h"

#define CLI_OK     0
#define CLI_FAILED 1
#define CLI_USAGE  2

struct cli_command {
    const char *name;
    const char *summary;               /* one line for `strata --help` */
    int (*run)(int argc, char **argv); /* argv[0] is "strata NAME" */
};

int cli_append(int argc, char **argv);
int cli_get(int argc, char **argv);
int cli_tail(int argc, char **argv);
int cli_verify(int argc, char **argv);
int cli_export(int argc, char **argv);
int cli_import(int argc, char **argv);
int cli_info(int argc, char **argv);

/* "strata: message" with the faulty fields below it, on stderr. Returns CLI_FAILED. */
int cli_fail(const struct status *status);
