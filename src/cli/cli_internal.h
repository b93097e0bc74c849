/* What the commands share: a run, the options of every command that asks a service, requests and small helpers. */
#pragma once

#include "base/arena.h"
#include "base/bytes.h"
#include "cli/cli.h"
#include "cli/client_internal.h"
#include "schema/schema.h"

#define CLI_ADDRESS_DEFAULT "127.0.0.1:50051"
#define CLI_TIMEOUT_MS      15000

/* Begins the arguments of every command that asks a service. */
struct cli_common {
    const char *address;
    int output; /* enum show_format */
    int color;  /* enum terminal_color */
};

#define CLI_COMMON_DEFAULTS                                                                                  \
    {                                                                                                        \
        .address = CLI_ADDRESS_DEFAULT                                                                       \
    }

extern const char *const cli_output_choices[];
extern const char *const cli_color_choices[];

#define CLI_OPTION_ADDRESS_AT(arguments, member)                                                             \
    {                                                                                                        \
        "address", "HOST:PORT", "gRPC address of the service (default " CLI_ADDRESS_DEFAULT ")",             \
            CLI_ADDRESS, 'a', .place = offsetof(arguments, member)                                           \
    }

/* For commands that show what the service says. */
#define CLI_OPTIONS_OUTPUT                                                                                   \
    {"output",                                                                                               \
     "FORMAT",                                                                                               \
     "auto (a table on a terminal, else JSON), table, json, or ndjson: one "                                 \
     "object a line",                                                                                        \
     CLI_CHOICE,                                                                                             \
     'o',                                                                                                    \
     .place = offsetof(struct cli_common, output),                                                           \
     .choices = cli_output_choices},                                                                         \
    {                                                                                                        \
        "color", "WHEN", "auto (on a terminal, unless NO_COLOR is set), always or never", CLI_CHOICE,        \
            .place = offsetof(struct cli_common, color), .choices = cli_color_choices                        \
    }
#define CLI_OPTIONS_SHOW                                                                                     \
    CLI_HEADING_ROW("Service and output:"), CLI_OPTION_ADDRESS_AT(struct cli_common, address),               \
        CLI_OPTIONS_OUTPUT

#define CLI_OPTIONS_MAX 40U

struct cli_commands;

/* One command being carried out. */
struct cli_run {
    const struct cli_command *command;
    const struct cli_commands *all; /* for completion and the manual page */
    void *arguments;
    struct arena *arena;   /* of the request */
    struct arena *replies; /* of replies and what a status borrows of them; a list resets it for each page */
    struct buffer request; /* fields of `into`, or of the request itself */
    struct buffer outer;   /* with `into`: fields beside it */
    uint64_t given;        /* bit = row of the option table */
    uint32_t oneofs;       /* bit = oneof of the request, in which a field was given */
    size_t operands;       /* given so far */
    bool asks_service;     /* what fails now may be the service's state */
    int exit_code;         /* of a run that ended with OK: CLI_OK, unless what was asked for is bad news */
};

/* Says on stderr why a run failed; returns its exit code. */
int cli_fail_run(const struct cli_run *run, const struct status *status);

/* The request as given on the command line, packed. */
STATUS_MUST_CHECK struct status cli_request(struct cli_run *run, struct bytes *ret);
/* Adds a field that the command line did not give, or an option translates into. `text` as in JSON, without quotes. */
void cli_request_put(struct argp_state *state, struct cli_run *run, const char *option, const char *field,
                     const char *text);
/* Whether the option was given. */
bool cli_given(const struct cli_run *run, const char *name);

/* Reads the command's options; wrong usage ends the process. */
void options_parse(struct cli_run *run, int argc, char **argv);
/* The help of a command, on stdout. */
void options_help(const struct cli_command *command);
/* "strata list events" */
void options_program(const struct cli_command *command, char ret[64]);

/* The client for --address. */
STATUS_MUST_CHECK struct status cli_connect(struct cli_run *run, struct client **ret);
/* One unary call of the command's method, or of another one. The reply lives in `replies`. */
STATUS_MUST_CHECK struct status cli_call(struct cli_run *run, struct client *client, int method,
                                         struct bytes request, struct bytes *ret_reply);
/* What a command does that has no `run`: one call, or with a list the pages of it, shown by the view. */
STATUS_MUST_CHECK struct status cli_call_and_show(struct cli_run *run);

/* Microseconds, or a usage error that names the option. */
int64_t cli_time(struct argp_state *state, const char *option, const char *text);

/* Packs into the arena. */
struct bytes cli_pack(struct arena *arena, const ProtobufCMessage *message);

/* Every command, in the order of the help; ends with NULL. The first are the `served` ones. */
#define CLI_COMMANDS_MAX 40U
struct cli_commands {
    const struct cli_command *items[CLI_COMMANDS_MAX];
    size_t count;
    const char *version;
};
/* The command whose name begins argv; *ret_words says how many words it has. NULL when there is none. */
const struct cli_command *commands_find(const struct cli_commands *commands, int argc, char **argv,
                                        int *ret_words);
