/* strata operation …: maintenance that the service runs by itself. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "cli/call_internal.h"
#include "cli/commands_internal.h"
#include "cli/progress.h"
#include "cli/views_internal.h"
#include "strata/v1/system_service.pb-c.h"

struct start_arguments {
    struct cli_common common;
    bool watch;
};

static const struct cli_common defaults = CLI_COMMON_DEFAULTS;
static const struct start_arguments start_defaults = {.common = CLI_COMMON_DEFAULTS};

/* --- watching --- */

struct watched {
    struct progress progress;
    struct buffer last; /* the operation as it was told last */
    struct status status;
    int32_t state;
};

static bool see_operation(void *context, struct bytes message)
{
    struct watched *watched = context;
    Strata__V1__Operation *operation = strata__v1__operation__unpack(NULL, message.size_bytes, message.data);
    if (operation == NULL) {
        watched->status = status_error(STATUS_DATA_LOSS, "the service sent a message that cannot be read");
        return false;
    }
    if (watched->progress.what == NULL)
        watched->progress = progress_begin("running", PROGRESS_ITEMS, (uint64_t)operation->total,
                                           (uint64_t)operation->done, false);
    watched->progress.total = (uint64_t)operation->total;
    progress_show(&watched->progress, (uint64_t)operation->done, 0);
    watched->state = operation->state;
    buffer_clear(&watched->last);
    buffer_add_bytes(&watched->last, message);
    strata__v1__operation__free_unpacked(operation, NULL);
    return true;
}

static struct status watch(struct cli_run *run, struct client *client, struct bytes id)
{
    struct buffer request = buffer_in(run->arena, 0);
    struct watched watched = {.last = buffer_make(0), .status = status_ok()};
    wire_put_bytes(&request, 1, id); /* WatchOperationRequest.id */
    STATUS_TRY(buffer_status(&request));
    const struct schema_method *method = schema_method(METHOD_SYSTEM_SERVICE_WATCH_OPERATION);
    struct status status = client_stream(client, method->path, buffer_bytes(&request), NULL, run->replies,
                                         see_operation, &watched);
    progress_end(&watched.progress);
    if (status.code == STATUS_OK)
        status = watched.status;
    if (status.code == STATUS_OK)
        status = cli_show_reply(run, method->reply, buffer_bytes(&watched.last));
    if (watched.state != STRATA__V1__OPERATION__STATE__SUCCEEDED)
        run->exit_code = CLI_FAILED;
    buffer_done(&watched.last);
    return status;
}

/* --- starting --- */

static struct status run_start(struct cli_run *run)
{
    CLEANUP(client_free_at) struct client *client = NULL;
    const struct start_arguments *arguments = run->arguments;
    struct bytes request = BYTES_NONE;
    struct bytes reply = BYTES_NONE;
    struct wire_field field = {0};
    size_t at = 0;
    STATUS_TRY(cli_connect(run, &client));
    STATUS_TRY(cli_request(run, &request));
    STATUS_TRY(cli_call(run, client, run->command->method, request, &reply));
    const bool named = reply.size_bytes > 0 && wire_next(reply, &at, &field) && field.number == 1;
    if (!arguments->watch || !named) /* Operation.id stands first; there is none in a dry run */
        return cli_show_reply(run, schema_method(METHOD_SYSTEM_SERVICE_START_OPERATION)->reply, reply);
    const char *id = arena_text(run->arena, field.bytes);
    return watch(run, client, bytes_of_text(id));
}

#define START_OPTIONS                                                                                        \
    {"watch",    NULL, "wait until it has ended, with its progress; leaving does not end it",                \
     CLI_SWITCH, 'w',  .place = offsetof(struct start_arguments, watch)},                                    \
        {"dry-run", NULL, "show what would be done, start nothing", CLI_SWITCH, .field = "validate_only"},   \
        CLI_OPTIONS_SHOW

/* 64 digits, as `result.chain` of an earlier verification has them. */
static void take_chain(struct argp_state *state, struct cli_run *run, char *value)
{
    uint8_t chain[SHA256_BYTES];
    if (strlen(value) != 2 * sizeof chain || strspn(value, "0123456789abcdefABCDEF") != strlen(value))
        argp_error(state, "--chain is \"%s\"; give the 64 hexadecimal digits of an earlier verification",
                   value);
    for (size_t i = 0; i < sizeof chain; i++) {
        const char digits[] = {value[2 * i], value[2 * i + 1], '\0'};
        chain[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    wire_put_bytes(&run->request, 2, bytes_of(chain, sizeof chain)); /* Verify.trusted_checkpoint */
}

static const struct cli_option verify_options[] = {
    {"from", "POSITION", "the first event to read, which must be the first of its append (default 1)",
     CLI_NUMBER, .field = "from_position", .least = 1, .most = INT64_MAX},
    {"chain", "HEX", "the chain before --from, from an earlier verification", CLI_TEXT, .take = take_chain},
    START_OPTIONS,
    {0},
};

const struct cli_command command_operation_verify = {
    .name = "operation start verify",
    .summary = "have a running service re-read its events and prove them",
    .doc = "Example:\n"
           "  strata operation start verify --watch\n",
    .options = verify_options,
    .arguments_bytes = sizeof(struct start_arguments),
    .defaults = &start_defaults,
    .run = run_start,
    .method = METHOD_SYSTEM_SERVICE_START_OPERATION,
    .into = "verify",
    .view = &view_operation,
};

static void check_cleanup(struct argp_state *state, struct cli_run *run)
{
    if (!cli_given(run, "snapshots") && !cli_given(run, "subscriptions"))
        argp_error(state, "nothing to clean up; give --snapshots or --subscriptions");
}

static const struct cli_option cleanup_options[] = {
    {"snapshots", NULL, "snapshots that have a later verified one", CLI_SWITCH, .field = "what",
     .constant = "SNAPSHOTS"},
    {"subscriptions", NULL, "subscriptions in the service that are done or abandoned", CLI_SWITCH,
     .field = "what", .constant = "SUBSCRIPTIONS"},
    {"before", "TIME", "only snapshots stored before this time, or so long ago (7d)", CLI_TIME,
     .field = "before"},
    START_OPTIONS,
    {0},
};

const struct cli_command command_operation_cleanup = {
    .name = "operation start cleanup",
    .summary = "have the service remove what is of no more use; never an event",
    .doc = "Example:\n"
           "  strata operation start cleanup --snapshots --before 7d --dry-run\n",
    .options = cleanup_options,
    .arguments_bytes = sizeof(struct start_arguments),
    .defaults = &start_defaults,
    .check = check_cleanup,
    .run = run_start,
    .method = METHOD_SYSTEM_SERVICE_START_OPERATION,
    .into = "cleanup",
    .view = &view_operation,
};

static const char *const rebuild_choices[] = {"snapshots", "cache", NULL};

static const struct cli_option rebuild_options[] = {
    {NULL, "WHAT", "snapshots (take those that are missing or outdated) or cache (drop it)", CLI_CHOICE,
     .flags = CLI_NEEDED, .field = "what", .choices = rebuild_choices},
    START_OPTIONS,
    {0},
};

const struct cli_command command_operation_rebuild = {
    .name = "operation start rebuild",
    .summary = "have the service make anew what is made from the events",
    .doc = "Example:\n"
           "  strata operation start rebuild snapshots --watch\n",
    .options = rebuild_options,
    .arguments_bytes = sizeof(struct start_arguments),
    .defaults = &start_defaults,
    .run = run_start,
    .method = METHOD_SYSTEM_SERVICE_START_OPERATION,
    .into = "rebuild",
    .view = &view_operation,
};

/* --- one operation --- */

static const struct cli_option id_options[] = {
    {NULL, "ID", "the operation", CLI_TEXT, .flags = CLI_NEEDED, .field = "id"},
    CLI_OPTIONS_SHOW,
    {0},
};

const struct cli_command command_operation_get = {
    .name = "operation get",
    .summary = "show an operation",
    .options = id_options,
    .arguments_bytes = sizeof(struct cli_common),
    .defaults = &defaults,
    .method = METHOD_SYSTEM_SERVICE_GET_OPERATION,
    .view = &view_operation,
};

const struct cli_command command_operation_cancel = {
    .name = "operation cancel",
    .summary = "end an operation; what it has done stays done",
    .options = id_options,
    .arguments_bytes = sizeof(struct cli_common),
    .defaults = &defaults,
    .method = METHOD_SYSTEM_SERVICE_CANCEL_OPERATION,
    .view = &view_operation,
};

struct watch_arguments {
    struct cli_common common;
    const char *id;
};

static const struct cli_option watch_options[] = {
    {NULL, "ID", "the operation", CLI_TEXT, .flags = CLI_NEEDED,
     .place = offsetof(struct watch_arguments, id)},
    CLI_OPTIONS_SHOW,
    {0},
};

static struct status run_watch(struct cli_run *run)
{
    CLEANUP(client_free_at) struct client *client = NULL;
    const struct watch_arguments *arguments = run->arguments;
    STATUS_TRY(cli_connect(run, &client));
    return watch(run, client, bytes_of_text(arguments->id));
}

const struct cli_command command_operation_watch = {
    .name = "operation watch",
    .summary = "follow an operation until it has ended",
    .doc =
        "Exits with 0 when it succeeded and with 1 when it failed or was cancelled. Leaving does not end the "
        "operation.\n",
    .options = watch_options,
    .arguments_bytes = sizeof(struct watch_arguments),
    .defaults = &(const struct watch_arguments){.common = CLI_COMMON_DEFAULTS},
    .run = run_watch,
    .method = METHOD_SYSTEM_SERVICE_WATCH_OPERATION,
    .view = &view_operation,
};

static const struct cli_option list_options[] = {
    CLI_OPTION_LIMIT,
    CLI_OPTIONS_SHOW,
    {0},
};

const struct cli_command command_list_operations = {
    .name = "list operations",
    .summary = "list operations, the newest first",
    .options = list_options,
    .arguments_bytes = sizeof(struct list_arguments),
    .defaults = LIST_DEFAULTS,
    .method = METHOD_SYSTEM_SERVICE_LIST_OPERATIONS,
    .view = &view_operations,
};
