/* strata append: one event, its data from the command line or the standard input. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli_internal.h"
#include "strata/v1/event_service.pb-c.h"

#define INPUT_MAX_BYTES ((size_t)4 * 1024 * 1024)

struct append_arguments {
    const char *address;
    Strata__V1__PublishEventRequest request;
    const char *data;
    const char *metadata;
};

enum { OPTION_ID = 0x100, OPTION_KEY, OPTION_VERSION, OPTION_CORRELATION, OPTION_DRY };

static const struct argp_option options[] = {
    CLI_OPTION_ADDRESS,
    {"type", 't', "TYPE", 0, "event type, such as user_created or custom", 0},
    {"aggregate", 'i', "ID", 0, "aggregate the event belongs to", 0},
    {"aggregate-type", 'y', "TYPE", 0, "needed for the first event of an aggregate", 0},
    {"expected-version", 'e', "N", 0, "refuse unless the aggregate is at this version", 0},
    {"metadata", 'm', "JSON", 0, "a JSON object beside the data", 0},
    {"id", OPTION_ID, "ID", 0, "event id; a repeated append with it is answered, not doubled", 0},
    {"idempotency-key", OPTION_KEY, "KEY", 0, "makes the event id from this key", 0},
    {"correlation-id", OPTION_CORRELATION, "ID", 0, "ties events of one business process together", 0},
    {"dry-run", OPTION_DRY, NULL, 0, "show what would be recorded, record nothing", 0},
    {0},
};

static error_t take_option(int key, char *value, struct argp_state *state)
{
    struct append_arguments *arguments = state->input;
    Strata__V1__PublishEventRequest *request = &arguments->request;
    switch (key) {
    case 'a':
        arguments->address = value;
        return 0;
    case 't':
        request->type = value;
        return 0;
    case 'i':
        request->aggregate_id = value;
        return 0;
    case 'y':
        request->aggregate_type = value;
        return 0;
    case 'e':
        request->_expected_version_case =
            STRATA__V1__PUBLISH_EVENT_REQUEST___EXPECTED_VERSION_EXPECTED_VERSION;
        request->expected_version = (int32_t)cli_number(state, "--expected-version", value, 0, INT32_MAX);
        return 0;
    case 'm':
        arguments->metadata = value;
        return 0;
    case OPTION_ID:
        request->id = value;
        return 0;
    case OPTION_KEY:
        request->idempotency_key = value;
        return 0;
    case OPTION_CORRELATION:
        request->correlation_id = value;
        return 0;
    case OPTION_DRY:
        request->validate_only = 1;
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->data != NULL)
            argp_error(state, "one DATA only; quote the JSON");
        arguments->data = value;
        return 0;
    case ARGP_KEY_END:
        if (request->type[0] == '\0' || request->aggregate_id[0] == '\0')
            argp_error(state, "--type and --aggregate are needed");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp append_argp = {
    .options = options,
    .parser = take_option,
    .args_doc = "[DATA]",
    .doc = "Appends one event and prints it as recorded.\n\n"
           "DATA is a JSON object; - or nothing reads it from the standard input.\v"
           "Example:\n"
           "  strata append -t custom -i ledger-1 -y custom '{\"amount\":\"10.10\"}'\n",
};

static struct status read_input(struct arena *arena, struct bytes *ret)
{
    struct buffer text = buffer_in(arena, INPUT_MAX_BYTES);
    char chunk[4096];
    size_t got = 0;
    while ((got = fread(chunk, 1, sizeof chunk, stdin)) > 0)
        buffer_add(&text, chunk, got);
    if (text.failed)
        return status_reason(REASON_EVENT_TOO_LARGE, "the data on the standard input is over %zu bytes",
                             INPUT_MAX_BYTES);
    *ret = buffer_bytes(&text);
    return status_ok();
}

static struct status append(struct append_arguments *arguments, struct arena *arena)
{
    struct bytes data = bytes_of_text(arguments->data);
    if (arguments->data == NULL || strcmp(arguments->data, "-") == 0)
        STATUS_TRY(read_input(arena, &data));
    const struct bytes metadata = bytes_of_text(arguments->metadata);
    arguments->request.data = (ProtobufCBinaryData){data.size_bytes, (uint8_t *)data.data};
    arguments->request.metadata = (ProtobufCBinaryData){metadata.size_bytes, (uint8_t *)metadata.data};
    CLEANUP(client_free_at) struct client *client = NULL;
    STATUS_TRY(client_new(arguments->address, &client));
    const struct schema_method *method = schema_method(METHOD_EVENT_SERVICE_PUBLISH_EVENT);
    struct bytes reply = BYTES_NONE;
    STATUS_TRY(client_unary(client, method->path, cli_pack(arena, &arguments->request.base), CLI_TIMEOUT_MS,
                            arena, &reply));
    return cli_print(method->reply, reply);
}

int cli_append(int argc, char **argv)
{
    struct append_arguments arguments = {.address = CLI_ADDRESS_DEFAULT};
    strata__v1__publish_event_request__init(&arguments.request);
    if (argp_parse(&append_argp, argc, argv, 0, NULL, &arguments) != 0)
        return CLI_USAGE;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (arena == NULL)
        return CLI_FAILED;
    struct status status = append(&arguments, arena);
    return status.code == STATUS_OK ? CLI_OK : cli_fail(&status);
}
