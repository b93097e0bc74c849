/* strata append: one event from the command line, or a line each from a file or the standard input. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/entropy.h"
#include "cli/append_lines_internal.h"
#include "cli/call_internal.h"
#include "cli/commands_internal.h"
#include "cli/views_internal.h"

#define INPUT_MAX_BYTES ((size_t)4 * 1024 * 1024)

enum { PUBLISH_ID = 1, PUBLISH_DATA = 30 }; /* fields of PublishEventRequest */

struct append_arguments {
    struct cli_common common;
    const char *data;
    struct append_lines_options lines; /* with --file */
};

#define PLACE(member) .place = offsetof(struct append_arguments, member)

/* Options that say something about one event have a field: with --file the lines say it. */
static const struct cli_option options[] = {
    {NULL, "DATA", "a JSON object; - or nothing reads it from the standard input", CLI_TEXT, PLACE(data)},
    {"type", "TYPE", "event type, such as user_created or custom", CLI_TEXT, 't', .field = "type"},
    {"aggregate", "ID", "aggregate the event belongs to", CLI_TEXT, 'i', .field = "aggregate_id"},
    {"aggregate-type", "TYPE", "needed for the first event of an aggregate", CLI_TEXT, 'y',
     .field = "aggregate_type"},
    {"expected-version", "N", "refuse unless the aggregate is at this version", CLI_NUMBER, 'e',
     .field = "expected_version", .least = 0, .most = INT32_MAX},
    {"metadata", "JSON", "a JSON object beside the data", CLI_TEXT, 'm', .field = "metadata"},
    {"id", "ID", "event id; a repeated append with it is answered, not doubled", CLI_TEXT, .field = "id"},
    {"correlation-id", "ID", "ties events of one business process together", CLI_TEXT, 'c',
     .field = "correlation_id"},
    {"causation-id", "ID", "the event or command that caused this one", CLI_TEXT, .field = "causation_id"},
    {"tag", "TAG", "index key, such as region:eu; may be repeated", CLI_TEXT, 'g', CLI_REPEATED,
     .field = "tags"},
    {"subject", "ID", "whose data it is, for erasure (default: the aggregate)", CLI_TEXT, .field = "subject"},
    {"occurred-at", "TIME", "when it happened in the business", CLI_TIME, .field = "occurred_at"},
    {"schema-version", "N", "version of the data's shape", CLI_NUMBER, .field = "schema_version", .least = 0,
     .most = INT32_MAX},
    {"content-type", "TYPE", "media type of DATA, when it is not JSON", CLI_TEXT, .field = "content_type"},
    CLI_HEADING_ROW("Many events:"),
    {"file", "FILE", "append each line of FILE, NDJSON; - is the standard input", CLI_FILE, 'f',
     PLACE(lines.file)},
    {"from-line", "N", "begin with this line", CLI_NUMBER, PLACE(lines.from_line), .least = 1,
     .most = INT64_MAX},
    {"keep-going", NULL, "after a refused line try the next ones too", CLI_SWITCH, 'k',
     PLACE(lines.keep_going)},
    CLI_HEADING_ROW("Both:"),
    {"idempotency-key", "KEY", "a repeated append with this key is answered, not doubled; of a line: KEY:N",
     CLI_TEXT, PLACE(lines.key)},
    {"dry-run", NULL, "show what would be recorded, record nothing", CLI_SWITCH, PLACE(lines.dry_run)},
    CLI_OPTIONS_SHOW,
    {0},
};

static void check_file(struct argp_state *state, struct cli_run *run)
{
    const struct append_arguments *arguments = run->arguments;
    if (arguments->lines.file == NULL) {
        if (!cli_given(run, "type") || !cli_given(run, "aggregate"))
            argp_error(state, "--type and --aggregate are needed, or --file with a whole event a line");
        if (cli_given(run, "from-line") || cli_given(run, "keep-going"))
            argp_error(state, "--from-line and --keep-going go with --file");
        return;
    }
    for (size_t row = 0; options[row].help != NULL; row++)
        if (options[row].field != NULL && cli_given(run, options[row].name))
            argp_error(state, "--%s is about one event; with --file the lines say it", options[row].name);
    if (arguments->data != NULL)
        argp_error(state, "DATA and --file are two ways to give events; give one");
}

static struct status read_input(struct arena *arena, struct bytes *ret)
{
    struct buffer text = buffer_in(arena, INPUT_MAX_BYTES);
    char chunk[4096];
    size_t got = 0;
    while ((got = fread(chunk, 1, sizeof chunk, stdin)) > 0)
        buffer_add(&text, chunk, got);
    if (ferror(stdin) != 0) /* what came before it may be a part of what was meant */
        return status_error(STATUS_UNAVAILABLE, "the standard input cannot be read: %s", strerror(errno));
    if (text.failed)
        return status_reason(REASON_EVENT_TOO_LARGE, "the data on the standard input is over %zu bytes",
                             INPUT_MAX_BYTES);
    *ret = buffer_bytes(&text);
    if (ret->size_bytes == 0) /* a program before us in a pipe that failed must not become an event */
        return status_error(STATUS_INVALID_ARGUMENT,
                            "the standard input is empty; give DATA, and '{}' if the event has none");
    return status_ok();
}

/* What makes a repetition harmless: the key, the id, or else an id of our own. `ret_id` is "" when it is not ours. */
static void add_identity(struct cli_run *run, const struct append_lines_options *both,
                         char ret_id[UUID_TEXT_BYTES])
{
    ret_id[0] = '\0';
    if (both->dry_run)
        cli_request_put(NULL, run, "--dry-run", "validate_only", "true");
    if (both->key != NULL) {
        cli_request_put(NULL, run, "--idempotency-key", "idempotency_key", both->key);
    } else if (!cli_given(run, "id") && !both->dry_run) {
        uuid_v7(clock_now_us(&system_clock), &system_entropy, ret_id);
        wire_put_bytes(&run->request, PUBLISH_ID, bytes_of_text(ret_id));
    }
}

static struct status append_one(struct cli_run *run)
{
    const struct append_arguments *arguments = run->arguments;
    CLEANUP(client_free_at) struct client *client = NULL;
    struct bytes data = bytes_of_text(arguments->data);
    struct bytes request = BYTES_NONE;
    struct bytes reply = BYTES_NONE;
    char id[UUID_TEXT_BYTES];
    if (arguments->data == NULL || strcmp(arguments->data, "-") == 0)
        STATUS_TRY(read_input(run->arena, &data));
    wire_put_bytes(&run->request, PUBLISH_DATA, data);
    add_identity(run, &arguments->lines, id);
    STATUS_TRY(cli_connect(run, &client));
    STATUS_TRY(cli_request(run, &request));
    const struct status status = cli_call(run, client, METHOD_EVENT_SERVICE_PUBLISH_EVENT, request, &reply);
    if (append_is_uncertain(&status) && id[0] != '\0')
        return status_prefix(
            status,
            "whether the event is recorded is not known, repeat it with --id %s and it is not doubled", id);
    STATUS_TRY(status);
    return cli_show_reply(run, schema_method(METHOD_EVENT_SERVICE_PUBLISH_EVENT)->reply, reply);
}

static struct status run_append(struct cli_run *run)
{
    const struct append_arguments *arguments = run->arguments;
    return arguments->lines.file == NULL ? append_one(run) : append_lines(run, &arguments->lines);
}

const struct cli_command command_append = {
    .name = "append",
    .summary = "append an event, or each line of a file, and show what was recorded",
    .doc =
        "A line of --file is an event, with the members of PublishEvent, or an append with those of AppendEvents: "
        "`events`, `expectations`, `condition`. Each line is recorded by itself, all or nothing, when the one "
        "before it is. The first that is refused ends the command: the message names it and says what is recorded. "
        "With an idempotency key the file may simply be given again. What `strata export` writes is for `strata "
        "import`.\n\n"
        "Examples:\n"
        "  strata append -t custom -i ledger-1 -y custom '{\"amount\":\"10.10\"}'\n"
        "  strata append --file events.ndjson --idempotency-key load-7\n",
    .options = options,
    .arguments_bytes = sizeof(struct append_arguments),
    .defaults = &(const struct append_arguments){.common = CLI_COMMON_DEFAULTS, .lines = {.from_line = 1}},
    .check = check_file,
    .run = run_append,
    .method = METHOD_EVENT_SERVICE_PUBLISH_EVENT,
    .view = &view_published,
};
