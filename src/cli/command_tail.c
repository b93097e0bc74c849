/* strata tail: events as they are recorded, one line of JSON each. */
#include <stdio.h>
#include <string.h>

#include "cli/cli_internal.h"
#include "strata/v1/subscription_service.pb-c.h"

#define FILTERS_MAX 64U

struct tail_arguments {
    const char *address;
    Strata__V1__SubscribeRequest request;
    char *types[FILTERS_MAX];
    char *aggregates[FILTERS_MAX];
    int64_t left; /* events still to print; -1 = no end */
    struct status status;
};

static const struct argp_option options[] = {
    CLI_OPTION_ADDRESS,
    {"after", 'p', "POSITION", 0,
     "begin behind this position; 0 = from the first event (default: from now on)", 0},
    {"type", 't', "TYPE", 0, "only events of this type; may be repeated", 0},
    {"aggregate", 'i', "ID", 0, "only events of this aggregate; may be repeated", 0},
    {"count", 'n', "N", 0, "end after so many events", 0},
    {0},
};

static void add_filter(struct argp_state *state, char **list, size_t *count, char *value)
{
    if (*count == FILTERS_MAX)
        argp_error(state, "at most %u of one filter", FILTERS_MAX);
    list[(*count)++] = value;
}

static error_t take_option(int key, char *value, struct argp_state *state)
{
    struct tail_arguments *arguments = state->input;
    Strata__V1__SubscribeRequest *request = &arguments->request;
    switch (key) {
    case 'a':
        arguments->address = value;
        return 0;
    case 'p':
        request->start_case = STRATA__V1__SUBSCRIBE_REQUEST__START_AFTER_POSITION;
        request->after_position = cli_number(state, "--after", value, 0, INT64_MAX);
        return 0;
    case 't':
        add_filter(state, arguments->types, &request->n_types, value);
        return 0;
    case 'i':
        add_filter(state, arguments->aggregates, &request->n_aggregate_ids, value);
        return 0;
    case 'n':
        arguments->left = cli_number(state, "--count", value, 1, INT64_MAX);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp tail_argp = {
    .options = options,
    .parser = take_option,
    .doc = "Follows the events, one line of JSON each, until it is interrupted.\v"
           "Example:\n"
           "  strata tail --after 0 --type user_created\n",
};

/* Events are printed from their stored bytes: field 1 of the batch inside field 1 of the response. */
static bool print_response(void *context, struct bytes message)
{
    struct tail_arguments *arguments = context;
    Strata__V1__SubscribeResponse *response =
        strata__v1__subscribe_response__unpack(NULL, message.size_bytes, message.data);
    if (response == NULL) {
        arguments->status = status_error(STATUS_DATA_LOSS, "the service sent a message that cannot be read");
        return false;
    }
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    const size_t count = response->message_case == STRATA__V1__SUBSCRIBE_RESPONSE__MESSAGE_BATCH
                             ? response->batch->n_events
                             : 0;
    for (size_t i = 0; arena != NULL && i < count && arguments->left != 0; i++) {
        arguments->status = cli_print(schema_method(METHOD_EVENT_SERVICE_GET_EVENT)->reply,
                                      cli_pack(arena, &response->batch->events[i]->base));
        arena_reset(arena);
        if (arguments->status.code != STATUS_OK)
            break;
        arguments->left -= arguments->left > 0;
    }
    (void)fflush(stdout); /* a failed write is seen by the next print */
    const bool closing = response->message_case == STRATA__V1__SUBSCRIBE_RESPONSE__MESSAGE_CLOSING;
    if (closing)
        (void)fprintf(stderr, "strata: the service ended the stream: %s; go on with --after %lld\n",
                      response->closing->reason, (long long)response->closing->position);
    strata__v1__subscribe_response__free_unpacked(response, NULL);
    return !closing && arguments->left != 0 && arguments->status.code == STATUS_OK;
}

static struct status tail(struct tail_arguments *arguments, struct arena *arena, struct arena *messages)
{
    CLEANUP(client_free_at) struct client *client = NULL;
    STATUS_TRY(client_new(arguments->address, &client));
    const struct schema_method *method = schema_method(METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE);
    STATUS_TRY(client_stream(client, method->path, cli_pack(arena, &arguments->request.base), messages,
                             print_response, arguments));
    return arguments->status;
}

int cli_tail(int argc, char **argv)
{
    struct tail_arguments arguments = {.address = CLI_ADDRESS_DEFAULT, .left = -1, .status = status_ok()};
    strata__v1__subscribe_request__init(&arguments.request);
    arguments.request.types = arguments.types;
    arguments.request.aggregate_ids = arguments.aggregates;
    if (argp_parse(&tail_argp, argc, argv, 0, NULL, &arguments) != 0)
        return CLI_USAGE;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    CLEANUP(arena_free_at) struct arena *messages = arena_new(0);
    if (arena == NULL || messages == NULL)
        return CLI_FAILED;
    struct status status = tail(&arguments, arena, messages);
    return status.code == STATUS_OK ? CLI_OK : cli_fail(&status);
}
