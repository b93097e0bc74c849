/* strata event and list events: data alone. */
#include <stddef.h>

#include "cli/call_internal.h"
#include "cli/commands_internal.h"
#include "cli/views_internal.h"

static const struct cli_option event_options[] = {
    {NULL, "ID", "the event", CLI_TEXT, .flags = CLI_NEEDED, .field = "event_id"},
    CLI_OPTIONS_SHOW,
    {0},
};

const struct cli_command command_event = {
    .name = "event",
    .summary = "show one event by its id",
    .doc = "Example:\n"
           "  strata event 0191f5a0-7c3e-7b1a-9d2e-5f6a7b8c9d0e\n",
    .options = event_options,
    .arguments_bytes = sizeof(struct cli_common),
    .defaults = &(const struct cli_common)CLI_COMMON_DEFAULTS,
    .method = METHOD_EVENT_SERVICE_GET_EVENT,
    .view = &view_event,
};

static const struct cli_option list_options[] = {
    {"aggregate", "ID", "only of this aggregate", CLI_TEXT, 'i', .field = "aggregate_id"},
    {"type", "TYPE", "only of this type", CLI_TEXT, 't', .field = "type"},
    {"aggregate-type", "TYPE", "only of aggregates of this type", CLI_TEXT, 'y', .field = "aggregate_type"},
    {"tag", "TAG", "only with this tag; may be repeated: all of them", CLI_TEXT, 'g', CLI_REPEATED,
     .field = "tags"},
    {"correlation-id", "ID", "only with this correlation id", CLI_TEXT, 'c', .field = "correlation_id"},
    {"from-version", "N", "from this version of the aggregate on", CLI_NUMBER, .field = "from_version",
     .least = 0, .most = INT32_MAX},
    {"to-version", "N", "before this version of the aggregate", CLI_NUMBER, .field = "to_version", .least = 0,
     .most = INT32_MAX},
    {"since", "TIME", "recorded at or after this time, or so long ago (15m)", CLI_TIME,
     .field = "from_timestamp"},
    {"until", "TIME", "recorded before this time", CLI_TIME, .field = "to_timestamp"},
    {"after", "POSITION", "behind this position of the store", CLI_NUMBER, 'p', .field = "after_position",
     .least = 0, .most = INT64_MAX},
    {"before", "POSITION", "before this position of the store", CLI_NUMBER, .field = "to_position",
     .least = 1, .most = INT64_MAX},
    {"reverse", NULL, "the newest first", CLI_SWITCH, 'r', .field = "direction", .constant = "BACKWARD"},
    CLI_OPTION_LIMIT,
    CLI_OPTIONS_SHOW,
    {0},
};

const struct cli_command command_list_events = {
    .name = "list events",
    .summary = "list events in the order of their positions",
    .doc =
        "What is given must all match. `strata tail` filters by several types or aggregates, and follows.\n\n"
        "Examples:\n"
        "  strata list events --aggregate user-123\n"
        "  strata list events --since 1h --reverse --limit 20\n",
    .options = list_options,
    .arguments_bytes = sizeof(struct list_arguments),
    .defaults = LIST_DEFAULTS,
    .method = METHOD_EVENT_SERVICE_LIST_EVENTS,
    .view = &view_events,
};
