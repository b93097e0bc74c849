/* strata snapshot take, snapshot get and list snapshots: data alone. */
#include <stddef.h>

#include "cli/call_internal.h"
#include "cli/commands_internal.h"
#include "cli/views_internal.h"

static const struct cli_common defaults = CLI_COMMON_DEFAULTS;

static const struct cli_option take_options[] = {
    {NULL, "ID", "the aggregate", CLI_TEXT, .flags = CLI_NEEDED, .field = "aggregate_id"},
    {"version", "N", "of this version (default: the current one)", CLI_NUMBER, .field = "version", .least = 0,
     .most = INT32_MAX},
    {"data", "JSON", "a state of yours, to be compared with the replayed one", CLI_TEXT, 'd',
     .field = "data"},
    {"metadata", "JSON", "what you say about it: a JSON object", CLI_TEXT, 'm', .field = "metadata"},
    CLI_OPTIONS_SHOW,
    {0},
};

const struct cli_command command_snapshot_take = {
    .name = "snapshot take",
    .summary = "take a snapshot of an aggregate",
    .doc = "Example:\n"
           "  strata snapshot take user-123\n",
    .options = take_options,
    .arguments_bytes = sizeof(struct cli_common),
    .defaults = &defaults,
    .method = METHOD_SNAPSHOT_SERVICE_CREATE_SNAPSHOT,
    .view = &view_snapshot,
};

static const struct cli_option get_options[] = {
    {NULL, "ID", "the aggregate", CLI_TEXT, .flags = CLI_NEEDED, .field = "aggregate_id"},
    {"version", "N", "only at or below this version", CLI_NUMBER, .field = "version", .least = 0,
     .most = INT32_MAX},
    CLI_OPTIONS_SHOW,
    {0},
};

const struct cli_command command_snapshot_get = {
    .name = "snapshot get",
    .summary = "show the snapshot that a rebuild of an aggregate would use, else the newest",
    .doc = "Example:\n"
           "  strata snapshot get user-123\n",
    .options = get_options,
    .arguments_bytes = sizeof(struct cli_common),
    .defaults = &defaults,
    .method = METHOD_SNAPSHOT_SERVICE_GET_SNAPSHOT,
    .view = &view_snapshot,
};

static const struct cli_option list_options[] = {
    {"aggregate", "ID", "only of this aggregate", CLI_TEXT, 'i', .field = "aggregate_id"},
    {"aggregate-type", "TYPE", "only of aggregates of this type", CLI_TEXT, 'y', .field = "aggregate_type"},
    CLI_OPTION_LIMIT,
    CLI_OPTIONS_SHOW,
    {0},
};

const struct cli_command command_list_snapshots = {
    .name = "list snapshots",
    .summary = "list snapshots, by aggregate and version",
    .doc = "Example:\n"
           "  strata list snapshots --aggregate-type user\n",
    .options = list_options,
    .arguments_bytes = sizeof(struct list_arguments),
    .defaults = LIST_DEFAULTS,
    .method = METHOD_SNAPSHOT_SERVICE_LIST_SNAPSHOTS,
    .view = &view_snapshots,
};
