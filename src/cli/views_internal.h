/* How what the service answers looks as a table. Threads: any; constant. */
#pragma once

#include "cli/show_internal.h"

extern const struct cli_view view_events;    /* rows */
extern const struct cli_view view_event;     /* one */
extern const struct cli_view view_published; /* what an append of one event answers */
extern const struct cli_view view_aggregates;
extern const struct cli_view view_aggregate;
extern const struct cli_view view_snapshots;
extern const struct cli_view view_snapshot;
extern const struct cli_view view_operations;
extern const struct cli_view view_operation;
extern const struct cli_view view_subscriptions;
extern const struct cli_view view_stats;
extern const struct cli_view view_health;
extern const struct cli_view view_info;
extern const struct cli_view view_appends; /* what `append --file` recorded, a row a line */
extern const struct cli_view view_bench;
