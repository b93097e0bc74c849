/* strata import: NDJSON as new appends of a service, or records into a folder with all that they were. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/entropy.h"
#include "cli_internal.h"
#include "import_internal.h"
#include "offline/keep.h"
#include "output_internal.h"
#include "progress_internal.h"

struct import_arguments {
    struct import_options lines;
    bool keep;
    bool address_given;
    const char *path;
    const char *store_id;
};

enum { OPTION_PATH = 0x100, OPTION_KEEP, OPTION_KEY };

static const struct argp_option options[] = {
    CLI_OPTION_ADDRESS,
    {"key", OPTION_KEY, "NAME", 0, "make ids of NAME and the line's number where lines have none", 0},
    {"batch", 'b', "N", 0, "so many events make one append (default 100, at most 1000)", 0},
    {"keep", OPTION_KEEP, NULL, 0,
     "FILE holds records: keep positions, times and ids, into the store of --path", 0},
    {"path", OPTION_PATH, "DIR", 0,
     "with --keep: the folder of a store that no service holds, or of a new one", 0},
    {"store", 's', "ID", 0, "with --keep: name of the store inside the folder (default main)", 0},
    {"quiet", 'q', NULL, 0, "no progress", 0},
    {0},
};

static void check_together(struct argp_state *state, const struct import_arguments *arguments)
{
    if (!arguments->keep && (arguments->path != NULL || arguments->store_id != NULL))
        argp_error(state, "--path and --store go with --keep; NDJSON is imported through a running service");
    if (arguments->keep && (arguments->path == NULL || arguments->lines.file == NULL))
        argp_error(state, "--keep needs FILE and --path DIR");
    if (arguments->keep && (arguments->address_given || arguments->lines.key[0] != '\0'))
        argp_error(state, "--keep works on a folder; --address and --key go with NDJSON");
}

static error_t take_option(int key, char *value, struct argp_state *state)
{
    struct import_arguments *arguments = state->input;
    switch (key) {
    case 'a':
        arguments->lines.address = value;
        arguments->address_given = true;
        return 0;
    case OPTION_KEY:
        arguments->lines.key = value;
        return 0;
    case 'b':
        arguments->lines.batch_events = (int32_t)cli_number(state, "--batch", value, 1, 1000);
        return 0;
    case OPTION_KEEP:
        arguments->keep = true;
        return 0;
    case OPTION_PATH:
        arguments->path = value;
        return 0;
    case 's':
        arguments->store_id = value;
        return 0;
    case 'q':
        arguments->lines.quiet = true;
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->lines.file != NULL)
            argp_error(state, "one FILE only");
        arguments->lines.file = value;
        return 0;
    case ARGP_KEY_END:
        check_together(state, arguments);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp import_argp = {
    .options = options,
    .parser = take_option,
    .args_doc = "[FILE]",
    .doc =
        "Appends the events of FILE (or of the standard input), NDJSON as `strata export` writes it, in their order.\v"
        "Events are new appends: they get new positions and versions, their time becomes occurred_at (their own, else their "
        "timestamp), and they keep their ids. So an import that was interrupted is simply repeated: what is there already is "
        "recognised by its id and not doubled. What validates appends validates these too.\n"
        "System events cannot be appended. $aggregate_created becomes a call that creates the aggregate, $state_replaced, "
        "$metadata_changed, $activated and $deactivated become saves, so states and versions come out as they were; their ids "
        "are new and their times are now. What a store says about itself (aggregates that begin with $) is left out. Each is "
        "counted in the report.\n"
        "A line that cannot be imported ends the import; the message names it. What comes before it stays.\n\n"
        "With --keep FILE holds records (`strata export --records`). They are checked as a whole first, then become the "
        "store, or the end of the store, in DIR with positions, times, ids and chain as they were. What the store has "
        "already must be equal. Snapshots are not part of it; they are taken anew.\n\n"
        "Examples:\n"
        "  strata import events.ndjson\n"
        "  strata import --keep backup.strata --path data\n",
};

/* --- lines --- */

static void report_lines(FILE *to, const struct import_report *report)
{
    (void)fprintf(to, "imported %" PRId64 " events", report->appended);
    if (report->repeated > 0)
        (void)fprintf(to, ", %" PRId64 " were there already", report->repeated);
    if (report->by_call > 0)
        (void)fprintf(to, "; %" PRId64 " of both are system events, made anew", report->by_call);
    if (report->skipped > 0)
        (void)fprintf(to, "; %" PRId64 " about the other store itself left out", report->skipped);
    (void)fprintf(to, "\n");
}

static struct status import_ndjson(const struct import_arguments *arguments, struct arena *line_arena,
                                   struct arena *reply_arena)
{
    struct import_report report;
    const struct status status = import_lines(&arguments->lines, line_arena, reply_arena, &report);
    if (status.code == STATUS_OK) {
        report_lines(stdout, &report);
    } else if (report.lines > 0) {
        (void)fprintf(stderr, "strata: until then: ");
        report_lines(stderr, &report);
        (void)fprintf(stderr,
                      "strata: that stays; import again when the cause is gone, nothing is doubled\n");
    }
    return status;
}

/* --- records --- */

struct keep_show {
    struct progress progress;
    enum keep_phase phase;
    uint64_t total;
    bool quiet;
};

static void show_keep(void *context, enum keep_phase phase, uint64_t bytes)
{
    struct keep_show *show = context;
    if (phase != show->phase) {
        progress_end(&show->progress);
        show->progress = progress_begin("importing", PROGRESS_BYTES, show->total, 0, show->quiet);
        show->phase = phase;
    }
    progress_show(&show->progress, bytes, 0);
}

static struct status keep(const struct import_arguments *arguments, struct keep_report *ret)
{
    CLEANUP(posix_files_free_at) struct files *from = NULL;
    CLEANUP(posix_files_free_at) struct files *to = NULL;
    CLEANUP(file_close_at) struct file *file = NULL;
    char name[OUTPUT_NAME_MAX_BYTES];
    struct keep_show show = {.phase = KEEP_CHECKING, .quiet = arguments->lines.quiet};
    STATUS_TRY(cli_folder_of(arguments->lines.file, &from, name));
    STATUS_TRY(files_open(from, name, FILE_READ, &file));
    STATUS_TRY(file_size(file, &show.total));
    STATUS_TRY(posix_files_new(arguments->path, &to)); /* a new store may want a new folder */
    show.progress = progress_begin("checking", PROGRESS_BYTES, show.total, 0, show.quiet);
    const struct keep_options keep_options = {arguments->store_id, show_keep, &show};
    const struct status status =
        keep_records(to, &keep_options, file, arguments->lines.file, &system_clock, &system_entropy, ret);
    progress_end(&show.progress);
    return status;
}

static void report_kept(FILE *to, const struct keep_report *report)
{
    (void)fprintf(to, "imported %" PRId64 " events", report->adopted);
    if (report->skipped > 0)
        (void)fprintf(to, ", %" PRId64 " were there already", report->skipped);
    (void)fprintf(to, "; the store%s ends at position %" PRId64 "\n",
                  report->created ? ", which is new," : "", report->end.position);
}

static struct status import_records(const struct import_arguments *arguments)
{
    struct keep_report report = {0};
    const struct status status = keep(arguments, &report);
    if (status.code == STATUS_OK) {
        report_kept(stdout, &report);
        cli_print_chain(&report.end.chain);
    } else if (report.adopted > 0) {
        (void)fprintf(stderr, "strata: until then: ");
        report_kept(stderr, &report);
        (void)fprintf(stderr, "strata: that stays; import again when the cause is gone\n");
    }
    return status;
}

int cli_import(int argc, char **argv)
{
    struct import_arguments arguments = {
        .lines = {.address = CLI_ADDRESS_DEFAULT, .key = "", .batch_events = 100}};
    if (argp_parse(&import_argp, argc, argv, 0, NULL, &arguments) != 0)
        return CLI_USAGE;
    CLEANUP(arena_free_at) struct arena *line_arena = arena_new(0);
    CLEANUP(arena_free_at) struct arena *reply_arena = arena_new(0);
    struct status status = status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the import");
    if (line_arena != NULL && reply_arena != NULL)
        status =
            arguments.keep ? import_records(&arguments) : import_ndjson(&arguments, line_arena, reply_arena);
    return status.code == STATUS_OK ? CLI_OK : cli_fail(&status);
}
