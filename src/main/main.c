/* The composition root: which command, and for `serve` which rooms with which options (serve.c). */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "main/serve_internal.h"

static const struct cli_command commands[] = {
    {"serve", "run the service: gRPC, REST, SSE, WebSocket", serve_main},
    {"append", "append one event", cli_append},
    {"get", "show an aggregate, now or as of a version", cli_get},
    {"tail", "follow events as they are recorded", cli_tail},
    {"export", "write all events to a file, as NDJSON or as records", cli_export},
    {"import", "append the events of a file, or keep records as they were", cli_import},
    {"info", "show what is in the folder of a store", cli_info},
    {"verify", "re-read a store that no server holds and prove every checksum and the chain", cli_verify},
};

static void print_help(FILE *to)
{
    (void)fprintf(
        to, "Strata, an event store: append events, rebuild any aggregate at any point of its past, follow "
            "events live.\n\nUsage: strata COMMAND [OPTION...]\n\n");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        (void)fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].summary);
    (void)fprintf(to, "\nTo begin:\n"
                      "  strata serve --embedded          the service on a store in ./data\n"
                      "  strata append -t custom -i ledger-1 -y custom '{\"amount\":\"10.10\"}'\n"
                      "  strata get ledger-1\n"
                      "  strata tail --after 0\n\n"
                      "`strata COMMAND --help` explains each. `strata --version` prints the version.\n");
}

int main(int argc, char **argv)
{
    argp_err_exit_status = CLI_USAGE;
    if (argc < 2) {
        print_help(stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return CLI_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        (void)printf("strata %s\n", STRATA_BUILD_VERSION);
        return CLI_OK;
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        char name[64];
        (void)snprintf(name, sizeof name, "strata %s", commands[i].name); /* argp shows it in usage lines */
        argv[1] = name;
        return commands[i].run(argc - 1, argv + 1);
    }
    (void)fprintf(stderr, "strata: there is no command \"%s\"; `strata --help` lists them\n", argv[1]);
    return CLI_USAGE;
}
