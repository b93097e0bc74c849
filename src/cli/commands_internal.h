/* Every command but `serve`, which belongs to the composition root. Threads: any; constant. */
#pragma once

#include "cli/cli.h"

extern const struct cli_command command_append;
extern const struct cli_command command_bench_append;
extern const struct cli_command command_bench_get;
extern const struct cli_command command_bench_read;
extern const struct cli_command command_bench_subscribe;
extern const struct cli_command command_completion;
extern const struct cli_command command_complete; /* what completion scripts call; in no list */
extern const struct cli_command command_create;
extern const struct cli_command command_event;
extern const struct cli_command command_export;
extern const struct cli_command command_get;
extern const struct cli_command command_health;
extern const struct cli_command command_import;
extern const struct cli_command command_info;
extern const struct cli_command command_list_aggregates;
extern const struct cli_command command_list_events;
extern const struct cli_command command_list_operations;
extern const struct cli_command command_list_snapshots;
extern const struct cli_command command_list_subscriptions;
extern const struct cli_command command_man;
extern const struct cli_command command_operation_cancel;
extern const struct cli_command command_operation_cleanup;
extern const struct cli_command command_operation_get;
extern const struct cli_command command_operation_rebuild;
extern const struct cli_command command_operation_verify;
extern const struct cli_command command_operation_watch;
extern const struct cli_command command_save;
extern const struct cli_command command_snapshot_get;
extern const struct cli_command command_snapshot_take;
extern const struct cli_command command_stats;
extern const struct cli_command command_tail;
extern const struct cli_command command_verify;
