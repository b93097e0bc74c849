/* strata verify: a store that no server holds, every checksum and the chain. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/entropy.h"
#include "base/files.h"
#include "cli/cli_internal.h"
#include "offline/verify.h"

#define PROGRESS_EVERY_US 200000

struct verify_arguments {
    const char *path;
    const char *store_id;
    bool quiet;
    int64_t shown_at_us;
};

static const struct argp_option options[] = {
    {"store", 's', "ID", 0, "name of the store inside the folder (default main)", 0},
    {"quiet", 'q', NULL, 0, "no progress", 0},
    {0},
};

static error_t take_option(int key, char *value, struct argp_state *state)
{
    struct verify_arguments *arguments = state->input;
    switch (key) {
    case 's':
        arguments->store_id = value;
        return 0;
    case 'q':
        arguments->quiet = true;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            argp_error(state, "one DIR only");
        arguments->path = value;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp verify_argp = {
    .options = options,
    .parser = take_option,
    .args_doc = "[DIR]",
    .doc =
        "Re-reads the embedded store in DIR (default data) and checks every checksum, every digest, the versions and the "
        "chain. Writes nothing; the service must not be running on it.\v"
        "DIR is what database.embedded.path of the service says. Neither a configuration nor STRATA_DATABASE_EMBEDDED_PATH "
        "is read here, so that what is proved is what was named.\n"
        "The chain that it prints identifies the whole history: two stores with equal chains hold equal events, and a "
        "copy of position and chain kept elsewhere proves later that nothing was rolled back.\n",
};

static void show_progress(void *context, const struct verify_report *so_far)
{
    struct verify_arguments *arguments = context;
    const int64_t now_us = clock_monotonic_us(&system_clock);
    if (arguments->quiet || now_us - arguments->shown_at_us < PROGRESS_EVERY_US)
        return;
    arguments->shown_at_us = now_us;
    (void)fprintf(stderr, "\r%lld events, %llu MiB read", (long long)so_far->head_position,
                  (unsigned long long)(so_far->bytes >> 20));
}

static struct status verify(struct verify_arguments *arguments)
{
    CLEANUP(posix_files_free_at) struct files *files = NULL;
    if (access(arguments->path, F_OK) != 0)
        return status_error(STATUS_NOT_FOUND, "there is no folder \"%s\"; name the one that holds the store",
                            arguments->path);
    STATUS_TRY(posix_files_new(arguments->path, &files));
    const struct verify_options verify_options = {arguments->store_id, show_progress, arguments};
    struct verify_report report = {0};
    struct status status = verify_store(files, &verify_options, &system_clock, &system_entropy, &report);
    if (!arguments->quiet && arguments->shown_at_us != 0)
        (void)fputc('\n', stderr);
    if (status.code != STATUS_OK)
        return status;
    (void)printf("good: %lld events of %lld aggregates in %u segments, %s stop\nchain: ",
                 (long long)report.head_position, (long long)report.aggregate_count, report.segment_count,
                 report.clean ? "clean" : "unclean");
    for (size_t i = 0; i < SHA256_BYTES; i++)
        (void)printf("%02x", report.chain.bytes[i]);
    (void)printf("\n");
    return status_ok();
}

int cli_verify(int argc, char **argv)
{
    struct verify_arguments arguments = {.path = "data"};
    if (argp_parse(&verify_argp, argc, argv, 0, NULL, &arguments) != 0)
        return CLI_USAGE;
    struct status status = verify(&arguments);
    return status.code == STATUS_OK ? CLI_OK : cli_fail(&status);
}
