/* The arguments of `strata serve` and the configuration they lead to. */
#include <argp.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "main/serve_internal.h"

struct serve_arguments {
    const char *config_file;
    bool check_only;
    bool embedded;
    struct serve_options once;
};

enum {
    OPTION_CHECK = 0x100,
    OPTION_EMBEDDED,
    OPTION_KEYS,
    OPTION_ONLY,
    OPTION_UPSTREAM,
    OPTION_DATA_LOSS,
    OPTION_STATE_LOSS
};

static const struct argp_option options[] = {
    {"config", 'c', "FILE", 0, "YAML configuration; configs/config.yaml shows every key", 0},
    {"check-config", OPTION_CHECK, NULL, 0, "say whether the configuration is good, start nothing", 0},
    {"embedded", OPTION_EMBEDDED, NULL, 0, "use the embedded store whatever the database sections say", 0},
    {"keys", OPTION_KEYS, NULL, 0, "list every configuration key", 0},
    {"only", OPTION_ONLY, "PART", 0,
     "run a part of the service: core (store and gRPC) or gateway (REST, SSE, WebSocket; needs --upstream)",
     0},
    {"upstream", OPTION_UPSTREAM, "HOST:PORT", 0,
     "gRPC address of a core, for --only gateway; several are used in turns", 0},
    {NULL, 0, NULL, 0, "After a loss, for one start, when a message asks for it:", 1},
    {"accept-data-loss", OPTION_DATA_LOSS, NULL, 0,
     "go on although the log ends before, or differs from, what was remembered; the loss is recorded as an event "
     "$data_loss_accepted",
     1},
    {"accept-state-loss", OPTION_STATE_LOSS, NULL, 0,
     "go on without state/: snapshots and checkpoints are gone, events are not", 1},
    {0},
};

static void print_keys(void)
{
    for (enum config_key key = 0; key < CONFIG_KEY_COUNT; key++)
        (void)printf("  %-40s %s\n", config_key_path(key), config_key_help(key));
}

static void take_part(const char *value, struct argp_state *state, struct serve_options *once)
{
    if (strcmp(value, "core") == 0)
        once->parts = SERVE_CORE;
    else if (strcmp(value, "gateway") == 0)
        once->parts = SERVE_GATEWAY;
    else
        argp_error(state, "--only is \"%s\"; it must be core or gateway", value);
}

static void take_upstream(const char *value, struct argp_state *state, struct serve_options *once)
{
    if (once->upstream_count == SERVE_UPSTREAMS_MAX)
        argp_error(state, "--upstream is given more than %u times", SERVE_UPSTREAMS_MAX);
    else
        once->upstreams[once->upstream_count++] = value;
}

/* Options that need, or exclude, each other. */
static void check_parts(struct argp_state *state, const struct serve_arguments *arguments)
{
    const struct serve_options *once = &arguments->once;
    const bool gateway = once->parts == SERVE_GATEWAY;
    if (gateway && once->upstream_count == 0)
        argp_error(state, "--only gateway needs --upstream HOST:PORT, the gRPC address of a core");
    if (!gateway && once->upstream_count > 0)
        argp_error(state, "--upstream is for --only gateway; leave it out, or add that");
    if (gateway && (arguments->embedded || once->accept_data_loss || once->accept_state_loss))
        argp_error(state, "--only gateway opens no store; give %s to the core",
                   arguments->embedded      ? "--embedded"
                   : once->accept_data_loss ? "--accept-data-loss"
                                            : "--accept-state-loss");
}

static error_t take_option(int key, char *value, struct argp_state *state)
{
    struct serve_arguments *arguments = state->input;
    switch (key) {
    case 'c':
        arguments->config_file = value;
        return 0;
    case OPTION_CHECK:
        arguments->check_only = true;
        return 0;
    case OPTION_EMBEDDED:
        arguments->embedded = true;
        return 0;
    case OPTION_DATA_LOSS:
        arguments->once.accept_data_loss = true;
        return 0;
    case OPTION_STATE_LOSS:
        arguments->once.accept_state_loss = true;
        return 0;
    case OPTION_ONLY:
        take_part(value, state, &arguments->once);
        return 0;
    case OPTION_UPSTREAM:
        take_upstream(value, state, &arguments->once);
        return 0;
    case ARGP_KEY_END:
        check_parts(state, arguments);
        return 0;
    case OPTION_KEYS:
        print_keys();
        exit(0); /* as argp itself does after --help */
    case ARGP_KEY_ARG:
        argp_error(state, "\"%s\" is no option", value);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp serve_argp = {
    .options = options,
    .parser = take_option,
    .doc =
        "Runs the service until SIGINT or SIGTERM.\v"
        "Every key can be set in the environment: STRATA_ and its path, such as STRATA_SERVER_HTTP_PORT=8081.\n"
        "Without a configuration file the defaults serve REST on 127.0.0.1:8080 and gRPC on 127.0.0.1:50051 from an\n"
        "embedded store in ./data.\n",
};

static struct status force_embedded(struct config *config)
{
    STATUS_TRY(config_set(config, CONFIG_EVENT_STORE, "embedded"));
    STATUS_TRY(config_set(config, CONFIG_SNAPSHOT_STORE, "embedded"));
    return config_set(config, CONFIG_CACHE_TYPE, "memory");
}

static struct status serve(const struct serve_arguments *arguments, struct config *config)
{
    if (arguments->config_file != NULL)
        STATUS_TRY(config_read_file(config, arguments->config_file));
    STATUS_TRY(config_read_environment(config, (const char *const *)environ));
    config_settle(config);
    STATUS_TRY(config_check(config));
    if (arguments->check_only) {
        (void)printf("the configuration is good\n");
        return status_ok();
    }
    STATUS_TRY(config_check_built(config, arguments->embedded));
    if (arguments->embedded)
        STATUS_TRY(force_embedded(config));
    return serve_run(config, &arguments->once);
}

int serve_main(int argc, char **argv)
{
    struct serve_arguments arguments = {0};
    if (argp_parse(&serve_argp, argc, argv, 0, NULL, &arguments) != 0)
        return CLI_USAGE;
    CLEANUP(config_free_at) struct config *config = config_new();
    if (config == NULL)
        return CLI_FAILED;
    struct status status = serve(&arguments, config);
    return status.code == STATUS_OK ? CLI_OK : cli_fail(&status);
}
