/* strata get, create, save and list aggregates: data alone, but for the three meanings of --as-of. */
#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/call_internal.h"
#include "cli/commands_internal.h"
#include "cli/views_internal.h"

static const struct cli_common defaults = CLI_COMMON_DEFAULTS;

/* A version, "@" and a position, or a time. */
static void take_as_of(struct argp_state *state, struct cli_run *run, char *value)
{
    char time[TIME_TEXT_BYTES];
    if (value[0] == '@') {
        cli_request_put(state, run, "--as-of", "as_of_position", value + 1);
    } else if (value[0] != '\0' && strspn(value, "0123456789") == strlen(value)) {
        cli_request_put(state, run, "--as-of", "as_of_version", value);
    } else {
        time_format(cli_time(state, "--as-of", value), time);
        cli_request_put(state, run, "--as-of", "as_of_time", time);
    }
}

static const struct cli_option get_options[] = {
    {NULL, "ID", "the aggregate", CLI_TEXT, .flags = CLI_NEEDED, .field = "id"},
    {"as-of", "WHEN", "as it was: after a version (3), at a position of the store (@120), or at a time",
     CLI_TEXT, 't', .take = take_as_of},
    {"as-of-version", "N", "as it was after this version", CLI_NUMBER, .field = "as_of_version", .least = 0,
     .most = INT32_MAX},
    {"as-of-position", "N", "as it was when the store had this many events", CLI_NUMBER,
     .field = "as_of_position", .least = 0, .most = INT64_MAX},
    {"as-of-time", "TIME", "as it was at this time, or so long ago (15m)", CLI_TIME, .field = "as_of_time"},
    {"effective-at", "TIME", "leave out events that take effect later (occurred_at)", CLI_TIME,
     .field = "effective_at"},
    {"min-position", "N", "wait until the store has reached this position", CLI_NUMBER,
     .field = "min_position", .least = 0, .most = INT64_MAX},
    {"events", NULL, "its events too", CLI_SWITCH, 'e', .field = "include_events"},
    CLI_OPTIONS_SHOW,
    {0},
};

const struct cli_command command_get = {
    .name = "get",
    .summary = "show an aggregate, now or at a point of its past",
    .doc = "Examples:\n"
           "  strata get user-123\n"
           "  strata get user-123 --as-of 1 --events\n"
           "  strata get user-123 --as-of 2h\n",
    .options = get_options,
    .arguments_bytes = sizeof(struct cli_common),
    .defaults = &defaults,
    .method = METHOD_AGGREGATE_SERVICE_GET_AGGREGATE,
    .view = &view_aggregate,
};

static const struct cli_option create_options[] = {
    {NULL, "TYPE", "type of the aggregate, such as user", CLI_TEXT, .flags = CLI_NEEDED, .field = "type"},
    {NULL, "ID", "its id; without one the service makes it", CLI_TEXT, .field = "id"},
    {"state", "JSON", "state to begin with: a JSON object", CLI_TEXT, 's', .field = "initial_state"},
    {"metadata", "JSON", "metadata of the aggregate: a JSON object", CLI_TEXT, 'm', .field = "metadata"},
    {"idempotency-key", "KEY", "a repeated creation with this key is answered, not refused", CLI_TEXT,
     .field = "idempotency_key"},
    {"dry-run", NULL, "show what would be created, record nothing", CLI_SWITCH, .field = "validate_only"},
    CLI_OPTIONS_SHOW,
    {0},
};

const struct cli_command command_create = {
    .name = "create",
    .summary = "create an aggregate with a state to begin with",
    .doc =
        "Appending to an unknown id creates the aggregate too; this gives it a state and metadata first.\n\n"
        "Example:\n"
        "  strata create custom ledger-7 --state '{\"balance\":\"0.00\"}'\n",
    .options = create_options,
    .arguments_bytes = sizeof(struct cli_common),
    .defaults = &defaults,
    .method = METHOD_AGGREGATE_SERVICE_CREATE_AGGREGATE,
    .view = &view_aggregate,
};

static void check_save(struct argp_state *state, struct cli_run *run)
{
    if (!cli_given(run, "state") && !cli_given(run, "set-metadata") && !cli_given(run, "active"))
        argp_error(state, "nothing to save; give --state, --set-metadata or --active");
    if (cli_given(run, "any-version") && cli_given(run, "expected-version"))
        argp_error(state, "--any-version and --expected-version contradict each other; give one");
}

static const char *const truth_choices[] = {"true", "false", NULL};

static const struct cli_option save_options[] = {
    {NULL, "ID", "the aggregate", CLI_TEXT, .flags = CLI_NEEDED, .field = "id"},
    {"state", "JSON", "a whole new state; needs --expected-version or --any-version", CLI_TEXT, 's',
     .field = "state"},
    {"set-metadata", "JSON", "a JSON Merge Patch of the metadata", CLI_TEXT, 'm', .field = "set_metadata"},
    {"active", "true|false", "activate or deactivate it", CLI_CHOICE, .field = "active",
     .choices = truth_choices},
    {"expected-version", "N", "refuse unless the aggregate is at this version", CLI_NUMBER, 'e',
     .field = "expected_version", .least = 0, .most = INT32_MAX},
    {"any-version", NULL, "whatever its version is", CLI_SWITCH, .field = "if_match", .constant = "*"},
    {"idempotency-key", "KEY", "a repeated save with this key is answered, not doubled", CLI_TEXT,
     .field = "idempotency_key"},
    {"dry-run", NULL, "show what would be recorded, record nothing", CLI_SWITCH, .field = "validate_only"},
    CLI_OPTIONS_SHOW,
    {0},
};

const struct cli_command command_save = {
    .name = "save",
    .summary = "replace an aggregate's state, change its metadata, or (de)activate it",
    .doc = "Each part is recorded as a system event, so reads of the past see it.\n\n"
           "Example:\n"
           "  strata save ledger-7 --state '{\"balance\":\"5.00\"}' --expected-version 0\n",
    .options = save_options,
    .arguments_bytes = sizeof(struct cli_common),
    .defaults = &defaults,
    .check = check_save,
    .method = METHOD_AGGREGATE_SERVICE_SAVE_AGGREGATE,
    .view = &view_aggregate,
};

static const struct cli_option list_options[] = {
    {"type", "TYPE", "only of this type", CLI_TEXT, 't', .field = "type"},
    {"active", "true|false", "only active, or only inactive ones", CLI_CHOICE, .field = "active",
     .choices = truth_choices},
    {"state", NULL, "their states too", CLI_SWITCH, 's', .field = "include_state"},
    CLI_OPTION_LIMIT,
    CLI_OPTIONS_SHOW,
    {0},
};

const struct cli_command command_list_aggregates = {
    .name = "list aggregates",
    .summary = "list aggregates in the order of their creation",
    .doc = "Example:\n"
           "  strata list aggregates --type user --state\n",
    .options = list_options,
    .arguments_bytes = sizeof(struct list_arguments),
    .defaults = LIST_DEFAULTS,
    .method = METHOD_AGGREGATE_SERVICE_LIST_AGGREGATES,
    .view = &view_aggregates,
};
