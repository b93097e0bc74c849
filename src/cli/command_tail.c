/* strata tail: events as they are recorded. */
#include <stddef.h>

#include "cli/commands_internal.h"
#include "cli/show_internal.h"
#include "cli/tail_internal.h"
#include "cli/views_internal.h"

#define LAST_DEFAULT 10
#define LAST_MOST    100000
#define NOT_GIVEN    (-1)

struct tail_arguments {
    struct cli_common common;
    bool follow;
    bool from_start;
    int64_t last;
    int64_t after;
    int64_t since_us;
    int64_t count;
    int64_t reconnect_us;
    struct cli_list types;
    struct cli_list aggregate_types;
    struct cli_list aggregates;
    struct cli_list prefixes;
    struct cli_list tags;
    const char *correlation_id;
};

#define PLACE(member) .place = offsetof(struct tail_arguments, member)

static const struct cli_option options[] = {
    {"follow", NULL, "go on with what is recorded from now on, until it is interrupted", CLI_SWITCH, 'f',
     PLACE(follow)},
    CLI_HEADING_ROW("Where to begin (default: the last 10):"),
    {"last", "N", "with the last N that match; 0 = none of the past", CLI_NUMBER, 'n', PLACE(last),
     .least = 0, .most = LAST_MOST},
    {"from-start", NULL, "with the first event of the store", CLI_SWITCH, PLACE(from_start)},
    {"after", "POSITION", "behind this position, which must be there; 0 = with the first event", CLI_NUMBER,
     'p', PLACE(after), .least = 0, .most = INT64_MAX - 1},
    {"since", "TIME", "with the first at or after this time, or so long ago (15m)", CLI_TIME, 's',
     PLACE(since_us)},
    CLI_HEADING_ROW(
        "Which events (each kind given must match; within a kind one of them, but all of the tags):"),
    {"type", "TYPE", "of this type; may be repeated", CLI_LIST, 't', PLACE(types)},
    {"aggregate", "ID", "of this aggregate; may be repeated", CLI_LIST, 'i', PLACE(aggregates)},
    {"aggregate-type", "TYPE", "of aggregates of this type; may be repeated", CLI_LIST, 'y',
     PLACE(aggregate_types)},
    {"prefix", "TEXT", "of aggregates whose ids begin so; may be repeated", CLI_LIST, PLACE(prefixes)},
    {"tag", "TAG", "with this tag; may be repeated", CLI_LIST, 'g', PLACE(tags)},
    {"correlation-id", "ID", "with this correlation id", CLI_TEXT, 'c', PLACE(correlation_id)},
    CLI_HEADING_ROW("And:"),
    {"count", "N", "end after so many events", CLI_NUMBER, PLACE(count), .least = 1, .most = INT64_MAX},
    {"reconnect", "DURATION", "after a break try for so long to go on (default 5m); 0s = end at once",
     CLI_DURATION, PLACE(reconnect_us)},
    CLI_OPTIONS_SHOW,
    {0},
};

static void check_start(struct argp_state *state, struct cli_run *run)
{
    const int given = cli_given(run, "last") + cli_given(run, "from-start") + cli_given(run, "after") +
                      cli_given(run, "since");
    if (given > 1)
        argp_error(state, "--last, --from-start, --after and --since all say where to begin; give one");
}

static struct status show_one(void *context, struct bytes event)
{
    return show_message(context, schema_event, event);
}

static struct status pause_showing(void *context)
{
    return show_flush(context);
}

static struct status run_tail(struct cli_run *run)
{
    struct tail_arguments *arguments = run->arguments;
    const bool since = cli_given(run, "since");
    const struct tail_options tail_options = {
        .follow = arguments->follow,
        .start = since                           ? TAIL_SINCE
                 : arguments->from_start         ? TAIL_AFTER
                 : arguments->after != NOT_GIVEN ? TAIL_AFTER
                                                 : TAIL_LAST,
        .count_back = arguments->last == NOT_GIVEN ? LAST_DEFAULT : arguments->last,
        .after = arguments->from_start ? 0 : arguments->after,
        .since_us = arguments->since_us,
        .count = arguments->count,
        .reconnect_us = arguments->reconnect_us,
        .types = &arguments->types,
        .aggregate_types = &arguments->aggregate_types,
        .aggregates = &arguments->aggregates,
        .prefixes = &arguments->prefixes,
        .tags = &arguments->tags,
        .correlation_id = arguments->correlation_id,
    };
    struct show show;
    if (arguments->common.output == SHOW_JSON)
        arguments->common.output = SHOW_NDJSON; /* an array would have no end */
    struct status status = show_open(&arguments->common, &view_events, &show);
    const struct tail_sink sink = {.context = &show, .on_event = show_one, .on_pause = pause_showing};
    if (status.code == STATUS_OK)
        status = tail_events(run, &tail_options, &sink);
    show_done(&show); /* each pause has shown what there was */
    return status;
}

const struct cli_command command_tail = {
    .name = "tail",
    .summary = "show the last events, and with --follow those to come as they are recorded",
    .doc =
        "A stream that breaks, or a service that is started again, is no end: it goes on behind the last event, "
        "without a gap and without showing one twice. Interrupted (Ctrl-C), or when nobody reads its output any "
        "more, it exits with 0. --output json is one object a line here.\n\n"
        "Examples:\n"
        "  strata tail --follow --type user_created\n"
        "  strata tail --since 15m --prefix order- --tag region:eu\n",
    .options = options,
    .arguments_bytes = sizeof(struct tail_arguments),
    .defaults = &(const struct tail_arguments){.common = CLI_COMMON_DEFAULTS,
                                               .last = NOT_GIVEN,
                                               .after = NOT_GIVEN,
                                               .reconnect_us = 300 * INT64_C(1000000)},
    .check = check_start,
    .run = run_tail,
    .method = METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE,
    .view = &view_events,
};
