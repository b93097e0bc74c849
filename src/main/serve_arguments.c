/* The arguments of `strata serve` and the configuration they lead to. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "main/serve_internal.h"

struct serve_arguments {
    const char *config_file;
    bool check_only;
    bool embedded;
    bool keys;
    int part;
    struct cli_list upstreams;
    struct serve_options once;
};

#define PLACE(member) .place = offsetof(struct serve_arguments, member)

/* The service whole, when --only is not given, then its parts. */
static const char *const part_choices[] = {"core", "gateway", NULL};
enum { PART_NOT_GIVEN = -1 };

static const struct cli_option options[] = {
    {"config", "FILE", "YAML configuration; configs/config.yaml shows every key", CLI_FILE, 'c',
     PLACE(config_file)},
    {"check-config", NULL, "say whether the configuration is good, start nothing", CLI_SWITCH,
     PLACE(check_only)},
    {"embedded", NULL, "use the embedded store whatever the database sections say", CLI_SWITCH,
     PLACE(embedded)},
    {"keys", NULL, "list every configuration key", CLI_SWITCH, PLACE(keys)},
    {"only", "PART",
     "run a part of the service: core (store and gRPC) or gateway (REST, SSE, WebSocket; needs --upstream)",
     CLI_CHOICE, PLACE(part), .choices = part_choices},
    {"upstream", "HOST:PORT", "gRPC address of a core, for --only gateway; several are used in turns",
     CLI_LIST, PLACE(upstreams)},
    CLI_HEADING_ROW("After a loss, for one start, when a message asks for it:"),
    {"accept-data-loss", NULL,
     "go on although the log ends before, or differs from, what was remembered; the loss is recorded as an event "
     "$data_loss_accepted",
     CLI_SWITCH, PLACE(once.accept_data_loss)},
    {"accept-state-loss", NULL, "go on without state/: snapshots and checkpoints are gone, events are not",
     CLI_SWITCH, PLACE(once.accept_state_loss)},
    {0},
};

static void print_keys(void)
{
    for (enum config_key key = 0; key < CONFIG_KEY_COUNT; key++)
        (void)printf("  %-40s %s\n", config_key_path(key), config_key_help(key));
}

/* Options that need, or exclude, each other. */
static void check_parts(struct argp_state *state, struct cli_run *run)
{
    struct serve_arguments *arguments = cli_arguments(run);
    struct serve_options *once = &arguments->once;
    if (arguments->part != PART_NOT_GIVEN)
        once->parts = arguments->part == 0 ? SERVE_CORE : SERVE_GATEWAY;
    if (arguments->upstreams.count > SERVE_UPSTREAMS_MAX)
        argp_error(state, "--upstream is given more than %u times", SERVE_UPSTREAMS_MAX);
    for (size_t i = 0; i < arguments->upstreams.count && i < SERVE_UPSTREAMS_MAX; i++)
        once->upstreams[once->upstream_count++] = arguments->upstreams.items[i];
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

static struct status force_embedded(struct config *config)
{
    STATUS_TRY(config_set(config, CONFIG_EVENT_STORE, "embedded"));
    STATUS_TRY(config_set(config, CONFIG_SNAPSHOT_STORE, "embedded"));
    return config_set(config, CONFIG_CACHE_TYPE, "memory");
}

static void say_exposures(const struct config *config)
{
    struct config_exposure exposures[CONFIG_EXPOSURES_MAX];
    const size_t count = config_exposures(config, exposures);
    for (size_t i = 0; i < count; i++)
        (void)fprintf(
            stderr,
            "strata: warning: %s (%s) holds a secret and can be read by others than its owner (mode %04o); "
            "chmod 600 it\n",
            exposures[i].file, config_key_path(exposures[i].key), exposures[i].mode);
}

/* A good file may ask for what this build does not have: said beside it, since serve would refuse it. */
static struct status say_good(const struct serve_arguments *arguments, const struct config *config)
{
    const struct status built = config_check_built(config, arguments->embedded);
    if (built.code != STATUS_OK && built.code != STATUS_UNIMPLEMENTED)
        return built;
    STATUS_TRY(serve_check(config));
    say_exposures(config);
    (void)printf("the configuration is good\n");
    if (built.code != STATUS_OK)
        (void)fprintf(stderr, "strata: but `strata serve` refuses it: %s\n", built.message);
    return status_ok();
}

static struct status serve(const struct serve_arguments *arguments, struct config *config)
{
    if (arguments->config_file != NULL)
        STATUS_TRY(config_read_file(config, arguments->config_file));
    STATUS_TRY(config_read_environment(config, (const char *const *)environ));
    config_settle(config);
    STATUS_TRY(config_check(config));
    if (arguments->embedded)
        STATUS_TRY(force_embedded(config));
    if (arguments->once.parts != SERVE_GATEWAY) /* which opens no store */
        STATUS_TRY(config_check_files(config));
    if (arguments->check_only)
        return say_good(arguments, config);
    STATUS_TRY(config_check_built(config, arguments->embedded));
    return serve_run(config, &arguments->once);
}

static struct status run_serve(struct cli_run *run)
{
    const struct serve_arguments *arguments = cli_arguments(run);
    if (arguments->keys) {
        print_keys();
        return status_ok();
    }
    CLEANUP(config_free_at) struct config *config = config_new();
    if (config == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the configuration");
    return serve(arguments, config);
}

const struct cli_command serve_command = {
    .name = "serve",
    .summary = "run the service (gRPC, REST, SSE, WebSocket) until SIGINT or SIGTERM",
    .doc =
        "Every key can be set in the environment: STRATA_ and its path, such as STRATA_SERVER_HTTP_PORT=8081.\n"
        "Without a configuration file the defaults serve REST on 127.0.0.1:8080 and gRPC on 127.0.0.1:50051 from "
        "an embedded store in ./data.\n\n"
        "Example:\n"
        "  strata serve --embedded\n",
    .options = options,
    .arguments_bytes = sizeof(struct serve_arguments),
    .defaults = &(const struct serve_arguments){.part = PART_NOT_GIVEN},
    .check = check_parts,
    .run = run_serve,
    .method = -1,
};
