/* strata get: an aggregate, now or as of a version or position. */
#include <string.h>

#include "cli/cli_internal.h"
#include "strata/v1/aggregate_service.pb-c.h"

struct get_arguments {
    const char *address;
    Strata__V1__GetAggregateRequest request;
};

enum { OPTION_VERSION = 0x100, OPTION_POSITION };

static const struct argp_option options[] = {
    CLI_OPTION_ADDRESS,
    {"as-of-version", OPTION_VERSION, "N", 0, "as it was at this version", 0},
    {"as-of-position", OPTION_POSITION, "N", 0, "as it was when the store had this many events", 0},
    {"events", 'e', NULL, 0, "its events too", 0},
    {0},
};

static error_t take_option(int key, char *value, struct argp_state *state)
{
    struct get_arguments *arguments = state->input;
    Strata__V1__GetAggregateRequest *request = &arguments->request;
    switch (key) {
    case 'a':
        arguments->address = value;
        return 0;
    case OPTION_VERSION:
        request->as_of_case = STRATA__V1__GET_AGGREGATE_REQUEST__AS_OF_AS_OF_VERSION;
        request->as_of_version = (int32_t)cli_number(state, "--as-of-version", value, 0, INT32_MAX);
        return 0;
    case OPTION_POSITION:
        request->as_of_case = STRATA__V1__GET_AGGREGATE_REQUEST__AS_OF_AS_OF_POSITION;
        request->as_of_position = cli_number(state, "--as-of-position", value, 1, INT64_MAX);
        return 0;
    case 'e':
        request->include_events = 1;
        return 0;
    case ARGP_KEY_ARG:
        if (request->id[0] != '\0')
            argp_error(state, "one ID only");
        request->id = value;
        return 0;
    case ARGP_KEY_END:
        if (request->id[0] == '\0')
            argp_error(state, "the ID of an aggregate is needed");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp get_argp = {
    .options = options,
    .parser = take_option,
    .args_doc = "ID",
    .doc = "Prints an aggregate as JSON.\v"
           "Example:\n"
           "  strata get user-123 --as-of-version 1\n",
};

static struct status get(const struct get_arguments *arguments, struct arena *arena)
{
    CLEANUP(client_free_at) struct client *client = NULL;
    STATUS_TRY(client_new(arguments->address, &client));
    const struct schema_method *method = schema_method(METHOD_AGGREGATE_SERVICE_GET_AGGREGATE);
    struct bytes reply = BYTES_NONE;
    STATUS_TRY(client_unary(client, method->path, cli_pack(arena, &arguments->request.base), CLI_TIMEOUT_MS,
                            arena, &reply));
    return cli_print(method->reply, reply);
}

int cli_get(int argc, char **argv)
{
    struct get_arguments arguments = {.address = CLI_ADDRESS_DEFAULT};
    strata__v1__get_aggregate_request__init(&arguments.request);
    if (argp_parse(&get_argp, argc, argv, 0, NULL, &arguments) != 0)
        return CLI_USAGE;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (arena == NULL)
        return CLI_FAILED;
    struct status status = get(&arguments, arena);
    return status.code == STATUS_OK ? CLI_OK : cli_fail(&status);
}
