/* strata verify: a store that no server holds, every checksum and the chain. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/entropy.h"
#include "base/files.h"
#include "cli_internal.h"
#include "commands_internal.h"
#include "offline/verify.h"
#include "output_internal.h"
#include "cli/progress.h"

struct verify_arguments {
    const char *path;
    const char *store_id;
    const char *resume;
    bool quiet;
};

struct verify_show {
    struct progress progress;
    bool begun;
    bool quiet;
};

/* Set by the handler of SIGINT and SIGTERM, asked after each segment. */
static volatile sig_atomic_t stop_wanted;

static const struct cli_option options[] = {
    {NULL, "DIR", "the folder of the store (default data)", CLI_FOLDER,
     .place = offsetof(struct verify_arguments, path)},
    {"store", "ID", "name of the store inside the folder (default main)", CLI_TEXT, 's',
     .place = offsetof(struct verify_arguments, store_id)},
    {"resume", "FILE", "keep in FILE what was verified, and go on from there when it exists", CLI_FILE, 'r',
     .place = offsetof(struct verify_arguments, resume)},
    {"quiet", NULL, "no progress", CLI_SWITCH, 'q', .place = offsetof(struct verify_arguments, quiet)},
    {0},
};

static void want_stop(int signal_number)
{
    (void)signal_number;
    stop_wanted = 1;
}

static bool wants_stop(void *context)
{
    (void)context;
    return stop_wanted != 0;
}

/* The second signal ends the program as if nobody handled it. */
static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = want_stop, .sa_flags = (int)(SA_RESETHAND | SA_RESTART)};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

static void show_progress(void *context, const struct verify_report *so_far)
{
    struct verify_show *show = context;
    if (!show->begun) {
        show->progress =
            progress_begin("verifying", PROGRESS_BYTES, so_far->total_bytes, so_far->bytes, show->quiet);
        show->begun = true;
    }
    progress_show(&show->progress, so_far->bytes, so_far->head_position);
}

static void report(const struct verify_report *report)
{
    if (report->resumed_position > 0)
        (void)printf("up to position %" PRId64 " by an earlier run; the rest now\n",
                     report->resumed_position);
    (void)printf("good: %" PRId64 " events of %" PRId64 " aggregates in %u segments, %s stop\n",
                 report->head_position, report->aggregate_count, report->segment_count,
                 report->clean ? "clean" : "unclean");
    if (report->index_events > 0)
        (void)printf("index: finds every event that it should\n");
    cli_print_chain(&report->chain);
}

/* Where ids go that memory does not hold, and what was verified. */
struct scratch {
    struct files *files;
    char checkpoint[OUTPUT_NAME_MAX_BYTES];
    char ids[OUTPUT_NAME_MAX_BYTES + 16];
};

static struct status find_scratch(const struct verify_arguments *arguments, struct scratch *ret)
{
    if (arguments->resume != NULL) {
        STATUS_TRY(cli_folder_of(arguments->resume, &ret->files, ret->checkpoint));
        snprintf(ret->ids, sizeof ret->ids, "%s.ids", ret->checkpoint);
        return status_ok();
    }
    const char *folder = getenv("TMPDIR");
    snprintf(ret->ids, sizeof ret->ids, "strata-verify-%ld.ids", (long)getpid());
    return cli_folder(folder == NULL || folder[0] == '\0' ? "/tmp" : folder, &ret->files);
}

static struct status verify_with(const struct verify_arguments *arguments, struct files *files,
                                 const struct scratch *scratch, struct verify_report *ret)
{
    struct verify_show show = {.quiet = arguments->quiet};
    const bool resumes = arguments->resume != NULL;
    const struct verify_options verify_options = {
        .store_id = arguments->store_id,
        .on_progress = show_progress,
        .wants_stop = wants_stop,
        .context = &show,
        .scratch = scratch->files,
        .scratch_name = scratch->ids,
        .checkpoint_name = resumes ? scratch->checkpoint : NULL,
    };
    if (resumes)
        catch_signals();
    const struct status status = verify_store(files, &verify_options, &system_clock, &system_entropy, ret);
    progress_end(&show.progress);
    return status;
}

static struct status verify(const struct verify_arguments *arguments)
{
    CLEANUP(posix_files_free_at) struct files *files = NULL;
    struct scratch scratch = {0};
    struct verify_report found = {0};
    STATUS_TRY(cli_folder(arguments->path, &files));
    struct status status = find_scratch(arguments, &scratch);
    if (status.code == STATUS_OK)
        status = verify_with(arguments, files, &scratch, &found);
    posix_files_free(scratch.files);
    if (found.resume_refused[0] != '\0')
        (void)fprintf(stderr, "strata: all was read, %s was no help: %s\n", arguments->resume,
                      found.resume_refused);
    if (status.code == STATUS_OK)
        report(&found);
    else if (status.code == STATUS_CANCELLED)
        return status_prefix(status, "go on with --resume %s", arguments->resume);
    return status;
}

static struct status run_command(struct cli_run *run)
{
    return verify(run->arguments);
}

const struct cli_command command_verify = {
    .name = "verify",
    .summary = "re-read a store that no service holds, and prove every checksum and the chain",
    .doc =
        "Checks every checksum, every digest, the versions, that no event id is there twice, the chain, the "
        "snapshots, and that the index finds every event. Writes nothing into DIR; the service must not be running "
        "on it.\n"
        "DIR is what database.embedded.path of the service says. Neither a configuration nor "
        "STRATA_DATABASE_EMBEDDED_PATH is read here, so that what is proved is what was named.\n"
        "The chain that it prints identifies the whole history: two stores with equal chains hold equal events, "
        "and a copy of position and chain kept elsewhere proves later that nothing was rolled back.\n"
        "With --resume FILE what was verified is kept in FILE and FILE.ids twice a minute, and when it is "
        "interrupted (Ctrl-C: after the segment being read; again: at once). The next run with the same FILE goes "
        "on there if the store is still the one it was, and says so; what was read before is not read again. Both "
        "files are removed when all is verified.\n"
        "Event ids are compared by 128 bits of their SHA-256. Beyond two million events they need 24 bytes an "
        "event in the folder of FILE, else in TMPDIR.\n",
    .options = options,
    .arguments_bytes = sizeof(struct verify_arguments),
    .defaults = &(const struct verify_arguments){.path = "data"},
    .run = run_command,
    .method = -1,
};
