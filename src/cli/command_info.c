/* strata info: what is in the folder of a store, or what a running service is. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/entropy.h"
#include "base/json.h"
#include "cli_internal.h"
#include "commands_internal.h"
#include "offline/info.h"
#include "output_internal.h"
#include "show_internal.h"
#include "views_internal.h"

struct info_arguments {
    struct cli_common common;
    const char *path;
    const char *store_id;
    bool json;
};

static const struct cli_option options[] = {
    {"path", "DIR", "folder that holds the store (default data)", CLI_FOLDER,
     .place = offsetof(struct info_arguments, path)},
    {"store", "ID", "name of the store inside the folder (default main)", CLI_TEXT, 's',
     .place = offsetof(struct info_arguments, store_id)},
    {"json", NULL, "one JSON object, for programs", CLI_SWITCH,
     .place = offsetof(struct info_arguments, json)},
    {"address", "HOST:PORT", "ask this service what it is, instead of looking into a folder", CLI_ADDRESS,
     'a', .place = offsetof(struct info_arguments, common.address)},
    CLI_OPTIONS_OUTPUT,
    {0},
};

static void check_together(struct argp_state *state, struct cli_run *run)
{
    if (cli_given(run, "address") && (cli_given(run, "path") || cli_given(run, "store")))
        argp_error(state, "--address asks a service, --path and --store name a folder; give one of them");
    if (cli_given(run, "json") && cli_given(run, "output"))
        argp_error(state, "--json is --output json; give one of them");
}

/* 16 random bytes as 8-4-4-4-12. */
static void format_uuid(const uint8_t uuid[16], char ret[37])
{
    char *to = ret;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *to++ = '-';
        to += sprintf(to, "%02x", uuid[i]);
    }
}

static void print_size(const char *name, uint64_t bytes)
{
    (void)printf("%s%" PRIu64 " bytes (%.1f MiB)\n", name, bytes, (double)bytes / 1048576.0);
}

static void print_text(const char *store_id, const struct store_info *info)
{
    char uuid[37];
    char time[TIME_TEXT_BYTES];
    format_uuid(info->uuid, uuid);
    time_format(info->created_at_us, time);
    (void)printf("store       %s\nuuid        %s\nformat      %u.%u\ncreated     %s\nheld        %s\n",
                 store_id, uuid, info->format_major, info->format_minor, time,
                 info->held ? info->holder : "no");
    if (info->clean_known)
        (void)printf("last stop   %s\n",
                     info->clean ? "clean" : "unclean: the next start checks the end of the log");
    if (info->head_known) {
        time_format(info->head_time_us, time);
        (void)printf("head        position %" PRId64 "%s%s\naggregates  %" PRId64 "\nchain       ",
                     info->head_position, info->head_position > 0 ? ", " : "",
                     info->head_position > 0 ? time : "", info->aggregate_count);
        cli_print_hex(&info->chain);
    } else {
        (void)printf("head        not known: %s\n",
                     info->held ? "a process holds the store; ask the service" : info->trouble.message);
    }
    (void)printf("segments    %u\n", info->segment_count);
    print_size("log         ", info->log_bytes);
    print_size("index       ", info->index_bytes);
    print_size("state       ", info->state_bytes);
}

static void add_json_text(struct buffer *to, const char *name, const char *text)
{
    buffer_printf(to, ",\"%s\":", name);
    json_add_string(to, bytes_of_text(text));
}

static void add_head(struct buffer *to, const struct store_info *info)
{
    char time[TIME_TEXT_BYTES];
    time_format(info->head_time_us, time);
    buffer_printf(to, ",\"head_position\":\"%" PRId64 "\",\"aggregate_count\":%" PRId64 ",\"chain\":\"",
                  info->head_position, info->aggregate_count);
    for (size_t i = 0; i < SHA256_BYTES; i++)
        buffer_printf(to, "%02x", info->chain.bytes[i]);
    buffer_add_byte(to, '"');
    if (info->head_position > 0)
        add_json_text(to, "head_timestamp", time);
}

/* Positions are strings, as in the REST API; counts are numbers. What is not known is left out. */
static struct status print_json(const char *store_id, const struct store_info *info)
{
    char uuid[37];
    char time[TIME_TEXT_BYTES];
    struct buffer json = buffer_make(0);
    format_uuid(info->uuid, uuid);
    time_format(info->created_at_us, time);
    buffer_add_text(&json, "{\"store_id\":");
    json_add_string(&json, bytes_of_text(store_id));
    add_json_text(&json, "uuid", uuid);
    buffer_printf(&json, ",\"format\":\"%u.%u\"", info->format_major, info->format_minor);
    add_json_text(&json, "created_at", time);
    buffer_printf(&json, ",\"held\":%s", info->held ? "true" : "false");
    if (info->held)
        add_json_text(&json, "holder", info->holder);
    if (info->clean_known)
        buffer_printf(&json, ",\"clean\":%s", info->clean ? "true" : "false");
    if (info->head_known)
        add_head(&json, info);
    if (info->trouble.code != STATUS_OK)
        add_json_text(&json, "trouble", info->trouble.message);
    buffer_printf(&json,
                  ",\"segment_count\":%u,\"log_bytes\":%" PRIu64 ",\"index_bytes\":%" PRIu64
                  ",\"state_bytes\":%" PRIu64 "}\n",
                  info->segment_count, info->log_bytes, info->index_bytes, info->state_bytes);
    const struct status status = buffer_status(&json);
    if (status.code == STATUS_OK)
        (void)printf("%.*s", BYTES_FORMAT(buffer_bytes(&json)));
    buffer_done(&json);
    return status;
}

static struct status show_info(const struct info_arguments *arguments)
{
    CLEANUP(posix_files_free_at) struct files *files = NULL;
    struct store_info info;
    STATUS_TRY(cli_folder(arguments->path, &files));
    STATUS_TRY(store_info_read(files, arguments->store_id, &system_clock, &system_entropy, &info));
    if (arguments->json)
        STATUS_TRY(print_json(arguments->store_id, &info));
    else
        print_text(arguments->store_id, &info);
    return info.trouble.code == STATUS_OK
               ? status_ok()
               : status_prefix(info.trouble, "the head of the store in \"%s\" cannot be read",
                               arguments->path);
}

static struct status run_command(struct cli_run *run)
{
    struct info_arguments *arguments = run->arguments;
    if (cli_given(run, "output"))
        arguments->json = arguments->common.output == SHOW_JSON || arguments->common.output == SHOW_NDJSON;
    if (!cli_given(run, "address"))
        return show_info(arguments);
    if (arguments->json)
        arguments->common.output = SHOW_JSON;
    return cli_call_and_show(run);
}

const struct cli_command command_info = {
    .name = "info",
    .summary = "show what is in the folder of a store, or with --address what a service is",
    .doc =
        "Of a folder: writes nothing. Of a store that a service holds only what the files tell from outside is "
        "shown; `strata stats` asks the service for the rest. That the events are whole is not looked at here: "
        "`strata verify` does. When the head cannot be read what is known is shown, with the reason, and the exit code is 1. "
        "A folder is shown as text also when it is piped, unless --json asks for JSON.\n\n"
        "Examples:\n"
        "  strata info --path data\n"
        "  strata info --address 127.0.0.1:50051\n",
    .options = options,
    .arguments_bytes = sizeof(struct info_arguments),
    .defaults =
        &(const struct info_arguments){.common = CLI_COMMON_DEFAULTS, .path = "data", .store_id = "main"},
    .check = check_together,
    .run = run_command,
    .method = METHOD_SYSTEM_SERVICE_GET_INFO,
    .view = &view_info,
};
