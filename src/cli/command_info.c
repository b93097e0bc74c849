/* strata info: what is in the folder of a store. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/entropy.h"
#include "base/json.h"
#include "cli_internal.h"
#include "offline/info.h"
#include "output_internal.h"

struct info_arguments {
    const char *path;
    const char *store_id;
    bool json;
};

enum { OPTION_PATH = 0x100, OPTION_JSON };

static const struct argp_option options[] = {
    {"path", OPTION_PATH, "DIR", 0, "folder that holds the store (default data)", 0},
    {"store", 's', "ID", 0, "name of the store inside the folder (default main)", 0},
    {"json", OPTION_JSON, NULL, 0, "one JSON object, for programs", 0},
    {0},
};

static error_t take_option(int key, char *value, struct argp_state *state)
{
    struct info_arguments *arguments = state->input;
    switch (key) {
    case OPTION_PATH:
        arguments->path = value;
        return 0;
    case 's':
        arguments->store_id = value;
        return 0;
    case OPTION_JSON:
        arguments->json = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "name the folder with --path DIR");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp info_argp = {
    .options = options,
    .parser = take_option,
    .doc =
        "Shows what is in the folder of a store. Writes nothing.\v"
        "Of a store that a service holds only what the files tell from outside is shown; ask the service for the rest "
        "(GET /api/v1/stats). That the events are whole is not looked at here: `strata verify` does.\n",
};

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
                     info->held ? "a process holds the store; ask the service" : info->trouble);
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
    if (info->trouble[0] != '\0')
        add_json_text(&json, "trouble", info->trouble);
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
        return print_json(arguments->store_id, &info);
    print_text(arguments->store_id, &info);
    return status_ok();
}

int cli_info(int argc, char **argv)
{
    struct info_arguments arguments = {.path = "data", .store_id = "main"};
    if (argp_parse(&info_argp, argc, argv, 0, NULL, &arguments) != 0)
        return CLI_USAGE;
    struct status status = show_info(&arguments);
    return status.code == STATUS_OK ? CLI_OK : cli_fail(&status);
}
