/*
 * The command line: `strata COMMAND …`. A command is a row of data: its name, its options, where their values go,
 * which call of the service it makes and how the answer is shown. Parsing, --help, shell completion and the manual
 * page all read these rows; nothing about a command is said twice.
 *
 * Exit codes: 0 done; 1 refused or failed, the message is on stderr; 2 wrong usage; 3 the service could not be
 * reached or could not answer now.
 *
 * Threads   The main thread.
 * Blocking  Until the command is done.
 */
#pragma once

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define CLI_OK          0
#define CLI_FAILED      1
#define CLI_USAGE       2
#define CLI_UNAVAILABLE 3

/* What a value looks like. It decides how it is read, which C type `place` points at, and what a shell offers. */
enum cli_kind {
    CLI_SWITCH,   /* bool; of a request: `constant`, else "true" */
    CLI_TEXT,     /* const char * */
    CLI_FILE,     /* likewise: the name of a file */
    CLI_FOLDER,   /* likewise: of a folder */
    CLI_ADDRESS,  /* likewise: HOST:PORT, for gRPC */
    CLI_NUMBER,   /* int64_t between `least` and `most` */
    CLI_TIME,     /* int64_t, microseconds: RFC 3339, a date, "now", or how long ago: 90s, 15m, 2h, 7d */
    CLI_DURATION, /* int64_t, microseconds: 500ms, 10s, 5m, 1h */
    CLI_CHOICE,   /* int: place in `choices` */
    CLI_LIST,     /* struct cli_list: a text each time it is given */
    CLI_HEADING,  /* no option: `help` stands above those that follow */
};

enum cli_flags {
    CLI_NEEDED = 1 << 0,   /* wrong usage without it */
    CLI_REPEATED = 1 << 1, /* may be given more than once */
};

#define CLI_LIST_MAX 64U
struct cli_list {
    size_t count;
    char *items[CLI_LIST_MAX];
};

struct cli_run;

/* One option, or with `name` NULL an operand, told by its place. A table ends with a row of zeros. */
struct cli_option {
    const char *name;
    const char *value; /* what stands for the value in help: "N"; NULL = a switch */
    const char *help;
    enum cli_kind kind;
    char letter; /* 0 = none */
    unsigned flags;
    /* Where the value goes: into this field of the command's request; else to `take`; else to `place`. */
    const char *field;
    void (*take)(struct argp_state *state, struct cli_run *run, char *value);
    size_t place; /* offset in the command's arguments */
    const char *constant;
    int64_t least;
    int64_t most;               /* least = most = 0: no bounds */
    const char *const *choices; /* ends with NULL */
};

/* A line of help above the options that follow. */
#define CLI_HEADING_ROW(text)                                                                                \
    {                                                                                                        \
        .help = (text), .kind = CLI_HEADING                                                                  \
    }

struct cli_view;

struct cli_command {
    const char *name;    /* "get", "list events" */
    const char *summary; /* what it does: "show an aggregate, now or at a point of its past" */
    const char *
        doc; /* more, below the options in help; "" = nothing. Ends with "Example:" and lines of two spaces */
    const struct cli_option *options;
    size_t
        arguments_bytes;  /* of the struct that `place` is an offset in; it begins with a struct cli_common */
    const void *defaults; /* such a struct, or NULL: zeros */
    /* Options that need or exclude each other: argp_error(). May be NULL. */
    void (*check)(struct argp_state *state, struct cli_run *run);
    /* NULL: calls `method` and shows the reply by `view`. A command of the service names its method here too. */
    struct status (*run)(struct cli_run *run);
    int method;       /* enum schema_method_id; -1 = none */
    const char *into; /* options go into this message inside the request; NULL = into the request itself */
    const struct cli_view *view; /* how a reply is shown as a table */
};

/*
 * Runs what argv says and returns the process's exit code. `served` are the commands that only the composition
 * root can give, the last of them NULL. Wrong usage and --help end the process, as argp does.
 */
int cli_main(int argc, char **argv, const struct cli_command *const *served, const char *version);

/* What the command was given. Valid during its run. */
void *cli_arguments(struct cli_run *run);

/* "strata: message" with the faulty fields below it, on stderr. Returns CLI_FAILED. */
int cli_fail(const struct status *status);
