/* strata health, stats and list subscriptions. */
#include <stddef.h>

#include "cli/call_internal.h"
#include "cli/commands_internal.h"
#include "cli/views_internal.h"
#include "strata/v1/system_service.pb-c.h"

static const struct cli_common defaults = CLI_COMMON_DEFAULTS;

static const struct cli_option health_options[] = {CLI_OPTIONS_SHOW, {0}};

/* Unhealthy is an answer, and bad news for a script. */
static struct status run_health(struct cli_run *run)
{
    CLEANUP(client_free_at) struct client *client = NULL;
    struct bytes reply = BYTES_NONE;
    STATUS_TRY(cli_connect(run, &client));
    STATUS_TRY(cli_call(run, client, run->command->method, BYTES_NONE, &reply));
    Strata__V1__Health *health = strata__v1__health__unpack(NULL, reply.size_bytes, reply.data);
    if (health == NULL)
        return status_error(STATUS_DATA_LOSS, "the service sent an answer that cannot be read");
    if (health->state == STRATA__V1__HEALTH__STATE__UNHEALTHY)
        run->exit_code = CLI_FAILED;
    strata__v1__health__free_unpacked(health, NULL);
    return cli_show_reply(run, schema_method(METHOD_SYSTEM_SERVICE_GET_HEALTH)->reply, reply);
}

const struct cli_command command_health = {
    .name = "health",
    .summary = "show how the service and its parts are",
    .doc =
        "Exits with 0 when it serves, healthy or degraded, with 1 when it is unhealthy, with 3 when nobody "
        "answers.\n\n"
        "Example:\n"
        "  strata health\n",
    .options = health_options,
    .arguments_bytes = sizeof(struct cli_common),
    .defaults = &defaults,
    .run = run_health,
    .method = METHOD_SYSTEM_SERVICE_GET_HEALTH,
    .view = &view_health,
};

static const struct cli_option stats_options[] = {
    {"exact", NULL, "count instead of reading counters; slower", CLI_SWITCH, .field = "exact"},
    CLI_OPTIONS_SHOW,
    {0},
};

const struct cli_command command_stats = {
    .name = "stats",
    .summary = "show what the service holds and does",
    .doc = "Example:\n"
           "  strata stats\n",
    .options = stats_options,
    .arguments_bytes = sizeof(struct cli_common),
    .defaults = &defaults,
    .method = METHOD_SYSTEM_SERVICE_GET_STATS,
    .view = &view_stats,
};

static const struct cli_option subscription_options[] = {
    {"type", "TYPE", "only those that could get an event of this type", CLI_TEXT, 't', .field = "type"},
    CLI_OPTION_LIMIT,
    CLI_OPTIONS_SHOW,
    {0},
};

const struct cli_command command_list_subscriptions = {
    .name = "list subscriptions",
    .summary = "list who gets events now, and how far each has come",
    .doc = "Example:\n"
           "  strata list subscriptions\n",
    .options = subscription_options,
    .arguments_bytes = sizeof(struct list_arguments),
    .defaults = LIST_DEFAULTS,
    .method = METHOD_SUBSCRIPTION_SERVICE_LIST_SUBSCRIPTIONS,
    .view = &view_subscriptions,
};
