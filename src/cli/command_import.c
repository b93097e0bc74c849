/* strata import: NDJSON as new appends of a service, or records into a folder with all that they were. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/entropy.h"
#include "cli_internal.h"
#include "commands_internal.h"
#include "import_internal.h"
#include "offline/keep.h"
#include "output_internal.h"
#include "cli/progress.h"

struct import_arguments {
    struct import_options lines;
    bool keep;
    const char *path;
    const char *store_id;
};

static const struct cli_option options[] = {
    {NULL, "FILE", "NDJSON, or with --keep records; - or nothing is the standard input", CLI_FILE,
     .place = offsetof(struct import_arguments, lines.file)},
    CLI_OPTION_ADDRESS_AT(struct import_arguments, lines.address),
    {"key", "NAME", "make ids of NAME and the line's number where lines have none", CLI_TEXT,
     .place = offsetof(struct import_arguments, lines.key)},
    {"batch", "N", "so many events make one append (default 100, at most 1000)", CLI_NUMBER, 'b',
     .place = offsetof(struct import_arguments, lines.batch_events), .least = 1, .most = 1000},
    {"keep", NULL, "FILE holds records: keep positions, times and ids, into the store of --path", CLI_SWITCH,
     .place = offsetof(struct import_arguments, keep)},
    {"path", "DIR", "with --keep: the folder of a store that no service holds, or of a new one", CLI_FOLDER,
     .place = offsetof(struct import_arguments, path)},
    {"store", "ID", "with --keep: name of the store inside the folder (default main)", CLI_TEXT, 's',
     .place = offsetof(struct import_arguments, store_id)},
    {"quiet", NULL, "no progress", CLI_SWITCH, 'q', .place = offsetof(struct import_arguments, lines.quiet)},
    {0},
};

static void check_together(struct argp_state *state, struct cli_run *run)
{
    const struct import_arguments *arguments = run->arguments;
    if (!arguments->keep && (arguments->path != NULL || arguments->store_id != NULL))
        argp_error(state, "--path and --store go with --keep; NDJSON is imported through a running service");
    if (arguments->keep && (arguments->path == NULL || arguments->lines.file == NULL))
        argp_error(state, "--keep needs FILE and --path DIR");
    if (arguments->keep && (cli_given(run, "address") || cli_given(run, "key")))
        argp_error(state, "--keep works on a folder; --address and --key go with NDJSON");
}

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

static struct status run_command(struct cli_run *run)
{
    const struct import_arguments *arguments = run->arguments;
    if (arguments->keep)
        return import_records(arguments);
    CLEANUP(arena_free_at) struct arena *line_arena = arena_new(0);
    struct status status = status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the import");
    run->asks_service = true;
    if (line_arena != NULL)
        status = import_ndjson(arguments, line_arena, run->replies);
    if (status.code != STATUS_OK)
        run->exit_code = cli_fail_run(run, &status); /* while what it says of a line's fields is there */
    return status_ok();
}

const struct cli_command command_import = {
    .name = "import",
    .summary = "append the events of a file, in their order, as `strata export` writes them",
    .doc =
        "Events are new appends: they get new positions and versions, their time becomes occurred_at (their own, "
        "else their timestamp), and they keep their ids. So an import that was interrupted is simply repeated: "
        "what is there already is recognised by its id and not doubled. What validates appends validates these "
        "too.\n"
        "System events cannot be appended. $aggregate_created becomes a call that creates the aggregate, "
        "$state_replaced, $metadata_changed, $activated and $deactivated become saves, so states and versions come "
        "out as they were; their ids are new and their times are now. What a store says about itself (aggregates "
        "that begin with $) is left out. Each is counted in the report.\n"
        "A line that cannot be imported ends the import; the message names it. What comes before it stays.\n\n"
        "With --keep FILE holds records (`strata export --records`). They are checked as a whole first, then "
        "become the store, or the end of the store, in DIR with positions, times, ids and chain as they were. What "
        "the store has already must be equal. Snapshots are not part of it; they are taken anew.\n\n"
        "Examples:\n"
        "  strata import events.ndjson\n"
        "  strata import --keep backup.strata --path data\n",
    .options = options,
    .arguments_bytes = sizeof(struct import_arguments),
    .defaults =
        &(const struct import_arguments){
            .lines = {.address = CLI_ADDRESS_DEFAULT, .key = "", .batch_events = 100}},
    .check = check_together,
    .run = run_command,
    .method = -1,
};
