#include "cli/append_lines_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/lines_internal.h"
#include "cli/show_internal.h"
#include "cli/views_internal.h"
#include "gateway/transcode/transcode.h"
#include "strata/v1/event_service.pb-c.h"

#define TRIES_MAX     9 /* over five seconds */
#define RETRY_MS      100
#define RETRY_MOST_MS 1000

struct appending {
    struct cli_run *run;
    const struct append_lines_options *options;
    struct client *client;
    struct lines lines;
    struct show show;
    int64_t recorded; /* lines */
    int64_t replayed; /* of them, that had been recorded before */
    int64_t refused;
    int64_t events;
    int64_t first_position; /* 0 = none */
    int64_t last_position;
};

bool append_is_uncertain(const struct status *status)
{
    return status->reason == REASON_OUTCOME_UNKNOWN || status->code == STATUS_DEADLINE_EXCEEDED ||
           (status->code == STATUS_UNAVAILABLE && status->reason == STATUS_REASON_NONE);
}

/* The same request may succeed a little later, and repeating it doubles nothing: each has a name. */
static bool is_passing(const struct status *status)
{
    return append_is_uncertain(status) || status->reason == REASON_QUEUE_FULL ||
           status->reason == REASON_RATE_LIMITED || status->reason == REASON_BEHIND;
}

static struct status send(struct appending *appending, struct bytes request, struct bytes *ret_reply)
{
    long pause_ms = RETRY_MS;
    for (int tries = 1;; tries++) {
        const struct status status = cli_call(appending->run, appending->client,
                                              METHOD_EVENT_SERVICE_APPEND_EVENTS, request, ret_reply);
        if (!is_passing(&status) || tries == TRIES_MAX)
            return status;
        const struct timespec pause = {.tv_sec = pause_ms / 1000, .tv_nsec = pause_ms % 1000 * 1000000L};
        (void)nanosleep(&pause, NULL); /* shorter is fine */
        pause_ms = pause_ms * 2 < RETRY_MOST_MS ? pause_ms * 2 : RETRY_MOST_MS;
    }
}

static void count(struct appending *appending, const Strata__V1__AppendEventsResponse *reply)
{
    appending->recorded++;
    appending->replayed += reply->replayed != 0;
    appending->events += (int64_t)reply->n_event_ids;
    if (appending->first_position == 0)
        appending->first_position = reply->first_position;
    appending->last_position = reply->last_position;
}

/* The reply as JSON, with the line before its members. */
static struct status show_reply(struct appending *appending, struct bytes reply)
{
    struct buffer json = buffer_in(appending->run->replies, 0);
    struct buffer row = buffer_in(appending->run->replies, 0);
    STATUS_TRY(transcode_to_json(schema_method(METHOD_EVENT_SERVICE_APPEND_EVENTS)->reply, reply, &json));
    STATUS_TRY(buffer_status(&json));
    buffer_printf(&row, "{\"line\":%" PRIu64 ",", appending->lines.number);
    buffer_add(&row, json.data + 1, json.size_bytes - 1);
    STATUS_TRY(buffer_status(&row));
    STATUS_TRY(show_object(&appending->show, buffer_bytes(&row)));
    return show_flush(&appending->show);
}

static struct status at_line(const struct appending *appending, struct status status)
{
    const char *file = appending->options->file;
    return status_prefix(status, "%s:%" PRIu64, strcmp(file, "-") == 0 ? "standard input" : file,
                         appending->lines.number);
}

static struct status append_line(struct appending *appending, struct bytes line)
{
    const struct append_lines_options *options = appending->options;
    struct bytes request = BYTES_NONE;
    struct bytes reply = BYTES_NONE;
    arena_reset(appending->run->replies);
    STATUS_TRY(append_line_read(appending->run->replies, line, options->key, (int64_t)appending->lines.number,
                                options->dry_run, &request));
    STATUS_TRY(send(appending, request, &reply));
    Strata__V1__AppendEventsResponse *read =
        strata__v1__append_events_response__unpack(NULL, reply.size_bytes, reply.data);
    if (read == NULL)
        return status_error(STATUS_DATA_LOSS, "the service sent an answer that cannot be read");
    count(appending, read);
    strata__v1__append_events_response__free_unpacked(read, NULL);
    return show_reply(appending, reply);
}

/* What stays, whatever the next line does. */
static void report(const struct appending *appending)
{
    (void)fprintf(stderr, "strata: %" PRId64 " line%s %s", appending->recorded,
                  appending->recorded == 1 ? "" : "s",
                  appending->options->dry_run ? "would be recorded" : "recorded");
    if (appending->recorded > 0)
        (void)fprintf(stderr, ": %" PRId64 " events, positions %" PRId64 " to %" PRId64, appending->events,
                      appending->first_position, appending->last_position);
    if (appending->replayed > 0)
        (void)fprintf(stderr, " (%" PRId64 " had been before)", appending->replayed);
    if (appending->refused > 0)
        (void)fprintf(stderr, "; %" PRId64 " refused", appending->refused);
    (void)fputc('\n', stderr);
}

static bool may_go_on(const struct appending *appending, const struct status *status)
{
    return appending->options->keep_going && !is_passing(status) && status->code != STATUS_DATA_LOSS;
}

static struct status append_all(struct appending *appending)
{
    for (;;) {
        struct bytes line = BYTES_NONE;
        bool more = true;
        STATUS_TRY(lines_next(&appending->lines, &line, &more));
        if (!more)
            return status_ok();
        if (appending->lines.number < (uint64_t)appending->options->from_line)
            continue;
        struct status status = append_line(appending, line);
        if (status.code == STATUS_OK)
            continue;
        appending->refused++;
        status = at_line(appending, status);
        if (!may_go_on(appending, &status))
            return status;
        appending->run->exit_code = cli_fail_run(appending->run, &status);
    }
}

/* A failure is said here, before what stays. */
static struct status append_and_report(struct appending *appending)
{
    const struct status status = append_all(appending);
    const struct status shown = show_end(&appending->show);
    if (status.code != STATUS_OK)
        appending->run->exit_code = cli_fail_run(appending->run, &status);
    report(appending);
    if (status.code != STATUS_OK)
        (void)fprintf(
            stderr, "strata: nothing behind line %" PRIu64 " was sent; go on with --from-line %" PRIu64 "\n",
            appending->lines.number, appending->lines.number);
    return shown;
}

struct status append_lines(struct cli_run *run, const struct append_lines_options *options)
{
    struct appending appending = {.run = run, .options = options};
    struct status status = lines_open(options->file, &appending.lines);
    if (status.code != STATUS_OK)
        return status;
    status = show_open(run->arguments, &view_appends, &appending.show);
    if (status.code == STATUS_OK)
        status = cli_connect(run, &appending.client);
    if (status.code == STATUS_OK)
        status = append_and_report(&appending);
    show_done(&appending.show);
    client_free(appending.client);
    lines_done(&appending.lines);
    return status;
}
