/* strata export: all events, as NDJSON or as records, from a service or from a folder. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli_internal.h"
#include "export_internal.h"
#include "gateway/transcode/transcode.h"
#include "offline/records_file.h"
#include "output_internal.h"

struct export_arguments {
    struct export_source source;
    const char *file;
    bool records;
    bool address_given;
};

enum { OPTION_PATH = 0x100, OPTION_RECORDS, OPTION_FROM, OPTION_TO };

static const struct argp_option options[] = {
    CLI_OPTION_ADDRESS,
    {"path", OPTION_PATH, "DIR", 0, "read the folder of a store that no service holds, instead of asking one",
     0},
    {"store", 's', "ID", 0, "with --path: name of the store inside the folder (default main)", 0},
    {"records", OPTION_RECORDS, NULL, 0,
     "everything as it is stored, with checksums, for `import --keep`, instead of NDJSON", 0},
    {"from", OPTION_FROM, "POSITION", 0, "the first event (default 1)", 0},
    {"to", OPTION_TO, "POSITION", 0, "the last event (default: the last there is when the export begins)", 0},
    {"quiet", 'q', NULL, 0, "no progress", 0},
    {0},
};

static error_t take_option(int key, char *value, struct argp_state *state)
{
    struct export_arguments *arguments = state->input;
    struct export_source *source = &arguments->source;
    switch (key) {
    case 'a':
        source->address = value;
        arguments->address_given = true;
        return 0;
    case OPTION_PATH:
        source->path = value;
        return 0;
    case 's':
        source->store_id = value;
        return 0;
    case OPTION_RECORDS:
        arguments->records = true;
        return 0;
    case OPTION_FROM:
        source->from = cli_number(state, "--from", value, 1, INT64_MAX - 1);
        return 0;
    case OPTION_TO:
        source->to = cli_number(state, "--to", value, 1, INT64_MAX - 1);
        return 0;
    case 'q':
        source->quiet = true;
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->file != NULL)
            argp_error(state, "one FILE only");
        arguments->file = value;
        return 0;
    case ARGP_KEY_END:
        if (source->path != NULL && arguments->address_given)
            argp_error(state, "--address and --path are two ways to say where the events are; give one");
        if (source->path == NULL && source->store_id != NULL)
            argp_error(state, "--store goes with --path; a service has one store");
        if (source->to != 0 && source->to < source->from)
            argp_error(state, "--to is before --from");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp export_argp = {
    .options = options,
    .parser = take_option,
    .args_doc = "[FILE]",
    .doc =
        "Writes the events in the order of their positions to FILE, or to the standard output.\v"
        "NDJSON is one event a line, as the REST API shows it; whether the service has processed an event is not part of "
        "the event, so `processed` is always false here and two exports of one store are equal.\n"
        "With --records FILE holds everything, salts and positions too (docs/export-format.md): `strata import --keep` "
        "makes a store with equal positions, times, ids and an equal chain of it. Records are kept in whole appends, and "
        "the chain is computed from the first event on, so --from still reads what comes before.\n"
        "FILE is written as FILE.tmp and gets its name when it is whole and on the disk; what was there before stays until "
        "then.\n\n"
        "Examples:\n"
        "  strata export events.ndjson\n"
        "  strata export --path data --records backup.strata\n"
        "  strata export --from 1001 | gzip > rest.ndjson.gz\n",
};

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
    STATUS_TRY(output_open(arguments->file, &run->output));
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

int cli_export(int argc, char **argv)
{
    struct export_arguments arguments = {.source = {.address = CLI_ADDRESS_DEFAULT, .from = 1}};
    if (argp_parse(&export_argp, argc, argv, 0, NULL, &arguments) != 0)
        return CLI_USAGE;
    arguments.source.from_start = arguments.records;
    struct status status = export_all(&arguments);
    return status.code == STATUS_OK ? CLI_OK : cli_fail(&status);
}
