#include "main/migrate_internal.h"

#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/entropy.h"
#include "base/log.h"
#include "cli/progress.h"
#include "main/stores_internal.h"
#include "offline/migrate.h"

/* How long a source that is followed is left alone when nothing came. */
#define FOLLOW_PAUSE_NS 20000000L

struct migrate_arguments {
    const char *from;
    const char *to;
    bool follow;
    bool quiet;
};

#define PLACE(member) .place = offsetof(struct migrate_arguments, member)

static const struct cli_option options[] = {
    {"from", "FILE", "configuration of the service whose store is moved", CLI_FILE, 'f', CLI_NEEDED,
     PLACE(from)},
    {"to", "FILE", "configuration of the one that goes on with it", CLI_FILE, 't', CLI_NEEDED, PLACE(to)},
    {"follow", NULL,
     "when all is moved wait for more until SIGINT or SIGTERM: stop the writers, then this; for sources that several "
     "services share",
     CLI_SWITCH, PLACE(follow)},
    {"quiet", NULL, "no progress bar", CLI_SWITCH, 'q', PLACE(quiet)},
    {0},
};

/* One of the two stores with the configuration that it is of. */
struct side {
    struct config *config;
    struct stores stores;
};

static struct status open_side(const char *option, const char *file, struct log *log, struct side *ret)
{
    static const struct serve_options once = {.parts = SERVE_ALL};
    ret->config = config_new();
    if (ret->config == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for a configuration");
    STATUS_TRY(config_read_file(ret->config, file));
    config_settle(ret->config);
    STATUS_TRY(config_check_built(ret->config, false));
    struct status status = stores_open(ret->config, &once, log, &ret->stores);
    if (status.code == STATUS_OK) /* a database that is out of reach opens all the same */
        status = ret->stores.events->ops->health(ret->stores.events);
    return status.code == STATUS_OK ? status : status_prefix(status, "--%s %s", option, file);
}

static void close_side(struct side *side)
{
    stores_close(&side->stores);
    config_free(side->config);
}

struct moving {
    struct progress progress;
    bool quiet;
};

static void on_progress(void *context, int64_t position, int64_t head)
{
    struct moving *moving = context;
    if (moving->progress.what == NULL)
        moving->progress = progress_begin("moving", PROGRESS_EVENTS, (uint64_t)head, 0, moving->quiet);
    moving->progress.total = (uint64_t)head;
    progress_show(&moving->progress, (uint64_t)position, position);
}

static bool is_closed(void *context)
{
    (void)context;
    sigset_t signals;
    const struct timespec pause = {.tv_nsec = FOLLOW_PAUSE_NS};
    (void)sigemptyset(&signals); /* a set and valid signals cannot fail */
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGTERM);
    return sigtimedwait(&signals, NULL, &pause) > 0;
}

static void block_signals(void)
{
    sigset_t signals;
    (void)sigemptyset(&signals); /* a set and valid signals cannot fail */
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGTERM);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
}

static void print_chain(const char *what, const struct store_head *head)
{
    (void)printf("%s: position %" PRId64 ", chain ", what, head->position);
    for (size_t i = 0; i < sizeof head->chain.bytes; i++)
        (void)printf("%02x", head->chain.bytes[i]);
    (void)printf("\n");
}

static void print_report(const struct migrate_report *report)
{
    (void)printf("moved %" PRId64 " events (%" PRId64 " were there), %" PRId64 " snapshots, %" PRId64
                 " values, %" PRId64 " checkpoints\n",
                 report->moved, report->found, report->snapshots, report->values, report->checkpoints);
    print_chain("source", &report->source);
    print_chain("target", &report->target);
}

static struct status migrate(const struct migrate_arguments *arguments, const struct side *from,
                             const struct side *to)
{
    struct moving moving = {.quiet = arguments->quiet};
    const struct migrate_options how = {on_progress, arguments->follow ? is_closed : NULL, &moving};
    const struct migrate_side source = {from->stores.events, from->stores.snapshots};
    const struct migrate_side target = {to->stores.events, to->stores.snapshots};
    struct migrate_report report;
    const struct status status = migrate_store(&source, &target, &how, &system_entropy, &report);
    if (moving.progress.what != NULL)
        progress_end(&moving.progress);
    if (status.code == STATUS_OK)
        print_report(&report);
    return status;
}

static struct status run_migrate(struct cli_run *run)
{
    const struct migrate_arguments *arguments = cli_arguments(run);
    struct side from = {0};
    struct side to = {0};
    if (arguments->follow)
        block_signals(); /* before a store starts threads, so that all inherit it */
    struct log *log = log_new(STDERR_FILENO, LOG_WARN, LOG_FORMAT_TEXT, &system_clock);
    struct status status = open_side("from", arguments->from, log, &from);
    if (status.code == STATUS_OK)
        status = open_side("to", arguments->to, log, &to);
    if (status.code == STATUS_OK)
        status = migrate(arguments, &from, &to);
    close_side(&to);
    close_side(&from);
    log_free(log);
    return status;
}

const struct cli_command migrate_command = {
    .name = "migrate",
    .summary = "move a store to another engine, with positions, times, ids and bytes as they are",
    .doc =
        "Opens both stores itself, so no service may hold an embedded one. The target must be empty, or what an "
        "interrupted migration left: then it goes on. At the end both heads are printed: equal chains prove equal "
        "histories. Configuration is read from the two files alone, not from the environment.\n\n"
        "Example:\n"
        "  strata migrate --from embedded.yaml --to mysql.yaml\n",
    .options = options,
    .arguments_bytes = sizeof(struct migrate_arguments),
    .run = run_migrate,
    .method = -1,
};
