/* strata export: all events, as NDJSON or as records, from a service or from a folder. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli_internal.h"
#include "commands_internal.h"
#include "export_internal.h"
#include "gateway/transcode/transcode.h"
#include "offline/records_file.h"
#include "output_internal.h"

struct export_arguments {
    struct export_source source;
    const char *file;
    bool records;
    bool force;
};

static const struct cli_option options[] = {
    {NULL, "FILE", "where to; - or nothing is the standard output", CLI_FILE,
     .place = offsetof(struct export_arguments, file)},
    CLI_OPTION_ADDRESS_AT(struct export_arguments, source.address),
    {"path", "DIR", "read the folder of a store that no service holds, instead of asking one", CLI_FOLDER,
     .place = offsetof(struct export_arguments, source.path)},
    {"store", "ID", "with --path: name of the store inside the folder (default main)", CLI_TEXT, 's',
     .place = offsetof(struct export_arguments, source.store_id)},
    {"records", NULL, "everything as it is stored, with checksums, for `import --keep`, instead of NDJSON",
     CLI_SWITCH, .place = offsetof(struct export_arguments, records)},
    {"from", "POSITION", "the first event (default 1)", CLI_NUMBER,
     .place = offsetof(struct export_arguments, source.from), .least = 1, .most = INT64_MAX - 1},
    {"to", "POSITION", "the last event (default: the last there is when the export begins)", CLI_NUMBER,
     .place = offsetof(struct export_arguments, source.to), .least = 1, .most = INT64_MAX - 1},
    {"force", NULL, "replace FILE when it is there", CLI_SWITCH, 'f',
     .place = offsetof(struct export_arguments, force)},
    {"quiet", NULL, "no progress", CLI_SWITCH, 'q', .place = offsetof(struct export_arguments, source.quiet)},
    {0},
};

static void check_together(struct argp_state *state, struct cli_run *run)
{
    const struct export_source *source = &((const struct export_arguments *)run->arguments)->source;
    if (source->path != NULL && cli_given(run, "address"))
        argp_error(state, "--address and --path are two ways to say where the events are; give one");
    if (source->path == NULL && source->store_id != NULL)
        argp_error(state, "--store goes with --path; a service has one store");
    if (source->to != 0 && source->to < source->from)
        argp_error(state, "--to is before --from");
}

struct export_run {
    const struct export_arguments *arguments;
    struct output output;
    struct buffer json;
    struct records_writer *writer; /* NULL = NDJSON */
    int64_t count;
    struct records_trailer trailer;
};

static struct status write_out(void *context, struct bytes bytes)
{
    return output_add(&((struct export_run *)context)->output, bytes);
}

static struct status begin_records(void *context, const uint8_t *store_uuid)
{
    static const uint8_t not_known[RECORDS_FILE_UUID_BYTES];
    struct export_run *run = context;
    return records_writer_new(store_uuid == NULL ? not_known : store_uuid, clock_now_us(&system_clock),
                              run->arguments->source.from, write_out, run, &run->writer);
}

static struct status add_record(void *context, int64_t position, struct bytes stored)
{
    struct export_run *run = context;
    run->count += position >= run->arguments->source.from;
    return records_writer_add(run->writer, stored);
}

static struct status begin_lines(void *context, const uint8_t *store_uuid)
{
    (void)context;
    (void)store_uuid;
    return status_ok();
}

static struct status add_line(void *context, int64_t position, struct bytes stored)
{
    struct export_run *run = context;
    buffer_clear(&run->json);
    const struct status status = transcode_to_json(schema_event, stored, &run->json);
    if (status.code != STATUS_OK)
        return status_prefix(status, "position %" PRId64, position);
    buffer_add_byte(&run->json, '\n');
    STATUS_TRY(buffer_status(&run->json));
    run->count++;
    return output_add(&run->output, buffer_bytes(&run->json));
}

static struct status run_export(struct export_run *run)
{
    const struct export_arguments *arguments = run->arguments;
    const bool records = arguments->records;
    const struct export_sink sink = {
        .context = run,
        .on_begin = records ? begin_records : begin_lines,
        .on_event = records ? add_record : add_line,
    };
    STATUS_TRY(output_open(arguments->file, arguments->force, &run->output));
    STATUS_TRY(export_events(&arguments->source, &sink));
    if (records)
        STATUS_TRY(records_writer_finish(run->writer, &run->trailer));
    return output_finish(&run->output);
}

static void report(const struct export_run *run)
{
    const int64_t from = run->arguments->source.from;
    (void)printf("exported %" PRId64 " events", run->count);
    if (run->count > 0)
        (void)printf(", positions %" PRId64 " to %" PRId64, from, from + run->count - 1);
    (void)printf(", to %s\n", run->arguments->file);
    if (run->arguments->records)
        cli_print_chain(&run->trailer.after.chain);
}

static struct status export_all(const struct export_arguments *arguments)
{
    const bool to_file = arguments->file != NULL && strcmp(arguments->file, "-") != 0;
    if (arguments->records && !to_file && isatty(STDOUT_FILENO) == 1)
        return status_error(STATUS_INVALID_ARGUMENT,
                            "records are bytes for programs, not for a terminal; name a FILE");
    struct export_run run = {.arguments = arguments, .json = buffer_make(0)};
    const struct status status = run_export(&run);
    const bool begun = run.output.file != NULL;
    if (status.code == STATUS_OK && to_file)
        report(&run);
    records_writer_free(run.writer);
    buffer_done(&run.json);
    output_done(&run.output);
    if (status.code != STATUS_OK && begun)
        (void)fprintf(stderr, "strata: %s is as it was; what was written until the failure is in %s.tmp\n",
                      arguments->file, arguments->file);
    return status;
}

static struct status run_command(struct cli_run *run)
{
    struct export_arguments *arguments = run->arguments;
    arguments->source.from_start = arguments->records;
    run->asks_service = arguments->source.path == NULL;
    return export_all(arguments);
}

const struct cli_command command_export = {
    .name = "export",
    .summary = "write all events, in the order of their positions, to a file: as NDJSON or as records",
    .doc =
        "NDJSON is one event a line, as the REST API shows it; whether the service has processed an event is not "
        "part of the event, so `processed` is always false here and two exports of one store are equal.\n"
        "With --records FILE holds everything, salts and positions too (docs/export-format.md): `strata import "
        "--keep` makes a store with equal positions, times, ids and an equal chain of it. Records are kept in "
        "whole appends, and the chain is computed from the first event on, so --from still reads what comes "
        "before.\n"
        "FILE is written as FILE.tmp and gets its name when it is whole and on the disk; what was there before "
        "is refused, or with --force stays until then.\n\n"
        "Examples:\n"
        "  strata export events.ndjson\n"
        "  strata export --path data --records backup.strata\n"
        "  strata export --from 1001 | gzip > rest.ndjson.gz\n",
    .options = options,
    .arguments_bytes = sizeof(struct export_arguments),
    .defaults = &(const struct export_arguments){.source = {.address = CLI_ADDRESS_DEFAULT, .from = 1}},
    .check = check_together,
    .run = run_command,
    .method = -1,
};
