/* strata bench append, get, read and subscribe. */
#include <stddef.h>

#include "cli/bench_internal.h"
#include "cli/commands_internal.h"
#include "cli/views_internal.h"

#define PLACE(member) .place = offsetof(struct bench_options, member)

#define OPTION_CLIENTS(what)                                                                                 \
    {                                                                                                        \
        "clients", "N", what, CLI_NUMBER, 'c', PLACE(clients), .least = 1, .most = BENCH_CLIENTS_MAX         \
    }
#define OPTION_DURATION                                                                                      \
    {                                                                                                        \
        "duration", "DURATION", "for so long (default 5s)", CLI_DURATION, 'd', PLACE(duration_us)            \
    }
#define OPTION_BATCH(what)                                                                                   \
    {                                                                                                        \
        "batch", "N", what, CLI_NUMBER, 'b', PLACE(batch), .least = 1, .most = 1000                          \
    }
#define OPTION_SIZE                                                                                          \
    {                                                                                                        \
        "size", "BYTES", "size of an event's data (default 500)", CLI_NUMBER, 's', PLACE(size_bytes),        \
            .least = 0, .most = 3 * 1024 * 1024                                                              \
    }
#define OPTION_COUNT(what)                                                                                   \
    {                                                                                                        \
        "count", "N", what ", however long it takes", CLI_NUMBER, 'n', PLACE(count), .least = 1,             \
                                                                                     .most = INT64_MAX       \
    }
#define OPTIONS_LAST                                                                                         \
    {"allow-remote", NULL, "also when the address is no loopback address", CLI_SWITCH, PLACE(allow_remote)}, \
        CLI_OPTIONS_SHOW

#define DEFAULTS(n)                                                                                          \
    {                                                                                                        \
        .common = CLI_COMMON_DEFAULTS, .clients = 1, .batch = (n), .size_bytes = 500,                        \
        .duration_us = 5 * INT64_C(1000000), .rate = 1000                                                    \
    }

static const struct bench_options append_defaults = DEFAULTS(1);
static const struct bench_options read_defaults = DEFAULTS(1000);

/* A count without a duration is not cut short by the default one. */
static void check_bounds(struct argp_state *state, struct cli_run *run)
{
    struct bench_options *options = run->arguments;
    if (options->count > 0 && !cli_given(run, "duration"))
        options->duration_us = 0;
    if (options->duration_us == 0 && options->count == 0)
        argp_error(state, "the bench would have no end; give --duration or --count");
}

/* --- append --- */

static const struct cli_option append_options[] = {
    OPTION_CLIENTS("clients that append at the same time (default 1)"),
    OPTION_BATCH("events of an append (default 1)"),
    OPTION_SIZE,
    {"stream", NULL, "over one AppendStream a client instead of a call an append", CLI_SWITCH, PLACE(stream)},
    OPTION_DURATION,
    OPTION_COUNT("so many events"),
    OPTIONS_LAST,
    {0},
};

static struct status run_append(struct cli_run *run)
{
    return bench_run(run, &bench_append);
}

#define EVENTS_STAY                                                                                          \
    "Events are never removed: what a bench has appended stays, in aggregates "                              \
    "whose ids begin with strata-bench. Run it "                                                             \
    "on a store that is for that. Each client is a thread of this program and "                              \
    "sends one call at a time.\n\n"

const struct cli_command command_bench_append = {
    .name = "bench append",
    .summary = "measure appends to a running service",
    .doc = EVENTS_STAY "Example:\n"
                       "  strata bench append --clients 16 --batch 100 --duration 10s\n",
    .options = append_options,
    .arguments_bytes = sizeof(struct bench_options),
    .defaults = &append_defaults,
    .check = check_bounds,
    .run = run_append,
    .method = METHOD_EVENT_SERVICE_APPEND_EVENTS,
    .view = &view_bench,
};

/* --- get --- */

static const struct cli_option get_options[] = {
    OPTION_CLIENTS("clients that read at the same time (default 1)"),
    OPTION_DURATION,
    OPTION_COUNT("so many reads"),
    OPTIONS_LAST,
    {0},
};

static struct status run_get(struct cli_run *run)
{
    return bench_run(run, &bench_get);
}

const struct cli_command command_bench_get = {
    .name = "bench get",
    .summary = "measure reads of aggregates, rebuilt from their events",
    .doc = "Example:\n"
           "  strata bench get --clients 4\n",
    .options = get_options,
    .arguments_bytes = sizeof(struct bench_options),
    .defaults = &append_defaults,
    .check = check_bounds,
    .run = run_get,
    .method = METHOD_AGGREGATE_SERVICE_GET_AGGREGATE,
    .view = &view_bench,
};

/* --- read --- */

static const struct cli_option read_options[] = {
    OPTION_CLIENTS("clients that read at the same time (default 1)"),
    {"batch", "N", "events of a read (default 1000)", CLI_NUMBER, 'b', PLACE(batch), .least = 1,
     .most = 1000000},
    OPTION_DURATION,
    OPTION_COUNT("so many reads"),
    OPTIONS_LAST,
    {0},
};

static struct status run_read(struct cli_run *run)
{
    return bench_run(run, &bench_read);
}

const struct cli_command command_bench_read = {
    .name = "bench read",
    .summary = "measure streams of stored events",
    .doc = "Example:\n"
           "  strata bench read --batch 10000\n",
    .options = read_options,
    .arguments_bytes = sizeof(struct bench_options),
    .defaults = &read_defaults,
    .check = check_bounds,
    .run = run_read,
    .method = METHOD_EVENT_SERVICE_READ_EVENTS,
    .view = &view_bench,
};

/* --- subscribe --- */

static const struct cli_option subscribe_options[] = {
    OPTION_CLIENTS("subscribers (default 1)"),
    {"rate", "N", "events a second that are appended meanwhile (default 1000)", CLI_NUMBER, 'r', PLACE(rate),
     .least = 1, .most = 1000000},
    OPTION_BATCH("events of an append (default 1)"),
    OPTION_SIZE,
    OPTION_DURATION,
    OPTION_COUNT("so many events"),
    OPTIONS_LAST,
    {0},
};

static struct status run_subscribe(struct cli_run *run)
{
    return bench_run(run, &bench_subscribe);
}

const struct cli_command command_bench_subscribe = {
    .name = "bench subscribe",
    .summary = "measure how soon an appended event is at its subscribers",
    .doc = EVENTS_STAY "Example:\n"
                       "  strata bench subscribe --clients 10 --rate 2000\n",
    .options = subscribe_options,
    .arguments_bytes = sizeof(struct bench_options),
    .defaults = &append_defaults,
    .check = check_bounds,
    .run = run_subscribe,
    .method = METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE,
    .view = &view_bench,
};
