#include "cli/views_internal.h"

static const struct cli_column event_columns[] = {
    {"POSITION", "position", COLUMN_RIGHT},
    {"TIME", "timestamp", 0},
    {"TYPE", "type", COLUMN_NAME},
    {"AGGREGATE", "aggregate_id", 0},
    {"VERSION", "version", COLUMN_RIGHT},
    {"DATA", "data", COLUMN_CUT},
    {NULL, NULL, 0},
};

static const struct cli_column aggregate_columns[] = {
    {"ID", "id", COLUMN_NAME},
    {"TYPE", "type", 0},
    {"VERSION", "version", COLUMN_RIGHT},
    {"ACTIVE", "active", COLUMN_STATE},
    {"UPDATED", "updated_at", 0},
    {"STATE", "state", COLUMN_CUT},
    {NULL, NULL, 0},
};

static const struct cli_column snapshot_columns[] = {
    {"AGGREGATE", "aggregate_id", COLUMN_NAME},
    {"TYPE", "aggregate_type", 0},
    {"VERSION", "version", COLUMN_RIGHT},
    {"STATE", "state", COLUMN_STATE},
    {"CREATED", "created_at", 0},
    {"DATA", "data", COLUMN_CUT},
    {NULL, NULL, 0},
};

static const struct cli_column operation_columns[] = {
    {"ID", "id", COLUMN_NAME},          {"KIND", "kind", 0},
    {"STATE", "state", COLUMN_STATE},   {"DONE", "done", COLUMN_RIGHT},
    {"TOTAL", "total", COLUMN_RIGHT},   {"STARTED", "started_at", 0},
    {"MESSAGE", "message", COLUMN_CUT}, {NULL, NULL, 0},
};

static const struct cli_column subscription_columns[] = {
    {"ID", "id", COLUMN_NAME},
    {"KIND", "kind", 0},
    {"NAME", "name", 0},
    {"POSITION", "position", COLUMN_RIGHT},
    {"LAG", "lag", COLUMN_RIGHT},
    {"SINCE", "since", 0},
    {"PEER", "peer", 0},
    {"QUERY", "query", COLUMN_CUT},
    {NULL, NULL, 0},
};

static const struct cli_column component_columns[] = {
    {"COMPONENT", "name", COLUMN_NAME},   {"STATE", "state", COLUMN_STATE}, {"REQUIRED", "required", 0},
    {"LATENCY", "latency", COLUMN_RIGHT}, {"REASON", "reason", COLUMN_CUT}, {NULL, NULL, 0},
};

static const struct cli_column append_columns[] = {
    {"LINE", "line", COLUMN_RIGHT},          {"FIRST", "first_position", COLUMN_RIGHT},
    {"LAST", "last_position", COLUMN_RIGHT}, {"REPLAYED", "replayed", 0},
    {"APPEND", "append_id", COLUMN_NAME},    {NULL, NULL, 0},
};

static const struct cli_part event_parts[] = {{"events", event_columns}, {NULL, NULL}};
static const struct cli_part component_parts[] = {{"components", component_columns}, {NULL, NULL}};

const struct cli_view view_events = {.list = "events", .columns = event_columns};
const struct cli_view view_event = {0};
const struct cli_view view_published = {.flat = true};
const struct cli_view view_aggregates = {.list = "aggregates", .columns = aggregate_columns};
const struct cli_view view_aggregate = {.parts = event_parts};
const struct cli_view view_snapshots = {.list = "snapshots", .columns = snapshot_columns};
const struct cli_view view_snapshot = {0};
const struct cli_view view_operations = {.list = "operations", .columns = operation_columns};
const struct cli_view view_operation = {.flat = true};
const struct cli_view view_subscriptions = {.list = "subscriptions", .columns = subscription_columns};
const struct cli_view view_stats = {.flat = true};
const struct cli_view view_health = {.parts = component_parts};
const struct cli_view view_info = {0};
const struct cli_view view_appends = {.list = "appends", .columns = append_columns};
const struct cli_view view_bench = {.flat = true};
