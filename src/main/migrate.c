#include "main/migrate_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
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
#define FOLLOW_PAUSE_US INT64_C(20000)
/* How long one that is out of reach is: at first, at most. */
#define RETRY_FIRST_US INT64_C(100000)
#define RETRY_MOST_US  INT64_C(5000000)

struct migrate_arguments {
    const char *from;
    const char *to;
    int64_t retry_for_us; /* 0 = until somebody ends it */
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
    {"retry-for", "DURATION",
     "with --follow: how long a database that is out of reach is asked again, by then it ends (default: until a second "
     "signal)",
     CLI_DURATION, PLACE(retry_for_us)},
    {"quiet", NULL, "no progress bar", CLI_SWITCH, 'q', PLACE(quiet)},
    {0},
};

/* One of the two stores with the configuration that it is of. */
struct side {
    struct config *config;
    struct stores stores;
};

static struct status read_side(const char *file, struct side *ret)
{
    ret->config = config_new();
    if (ret->config == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for a configuration");
    STATUS_TRY(config_read_file(ret->config, file));
    config_settle(ret->config);
    STATUS_TRY(config_check_built(ret->config, false));
    const struct status status = config_check_files(ret->config);
    return status.code == STATUS_OK ? status : status_prefix(status, "%s", file);
}

static struct status open_side(const char *option, const char *file, struct log *log, struct side *ret)
{
    static const struct serve_options once = {.parts = SERVE_ALL};
    stores_log_exposures(ret->config, log);
    struct status status = stores_open(ret->config, &once, log, &ret->stores);
    if (status.code == STATUS_OK) /* a database that is out of reach opens all the same */
        status = ret->stores.events->ops->health(ret->stores.events);
    return status.code == STATUS_OK ? status : status_prefix(status, "--%s %s", option, file);
}

/* ---- what cannot be meant ---- */

static struct status check_stays(const struct config *config, const char *option, const char *file)
{
    if (strcmp(config_event_store(config), "memory") != 0)
        return status_ok();
    return status_error(
        STATUS_INVALID_ARGUMENT,
        "--%s %s: database.event_store is \"memory\", which ends with this command; name one that stays",
        option, file);
}

/* Opening an embedded store makes it when it is not there: a mistyped path would be an empty source. */
static struct status check_is_there(const struct config *config, const char *file)
{
    char store[PATH_MAX];
    const char *path = config_text(config, CONFIG_EMBEDDED_PATH);
    const char *id = config_text(config, CONFIG_EMBEDDED_STORE_ID);
    (void)snprintf(store, sizeof store, "%s/%s", path, id); /* a path that long cannot be opened either */
    if (strcmp(config_event_store(config), "embedded") != 0 || access(store, F_OK) == 0 ||
        (errno != ENOENT && errno != ENOTDIR))
        return status_ok();
    return status_error(STATUS_NOT_FOUND,
                        "--from %s: there is no store \"%s\" in the folder \"%s\"; correct "
                        "database.embedded.path, which begins where the command is run if it is not absolute",
                        file, id, path);
}

static bool is_same(const struct config *one, const struct config *other, enum config_key key)
{
    return config_key_type(key) == CONFIG_INT ? config_int(one, key) == config_int(other, key)
                                              : strcmp(config_text(one, key), config_text(other, key)) == 0;
}

static struct status check_differ(const struct config *from, const struct config *to)
{
    static const enum config_key embedded[] = {CONFIG_EMBEDDED_PATH, CONFIG_EMBEDDED_STORE_ID};
    static const enum config_key mysql[] = {CONFIG_MYSQL_HOST, CONFIG_MYSQL_PORT, CONFIG_MYSQL_DATABASE,
                                            CONFIG_MYSQL_STORE_ID};
    static const enum config_key mongodb[] = {CONFIG_MONGODB_URI, CONFIG_MONGODB_URI_FILE,
                                              CONFIG_MONGODB_DATABASE, CONFIG_MONGODB_STORE_ID};
    static const struct {
        const char *engine;
        const enum config_key *keys;
        size_t count;
    } stores[] = {{"embedded", embedded, 2}, {"mysql", mysql, 4}, {"mongodb", mongodb, 4}};
    const char *engine = config_event_store(from);
    for (size_t i = 0; i < sizeof stores / sizeof stores[0]; i++) {
        size_t equal = 0;
        if (strcmp(engine, stores[i].engine) != 0 || strcmp(engine, config_event_store(to)) != 0)
            continue;
        while (equal < stores[i].count && is_same(from, to, stores[i].keys[equal]))
            equal++;
        if (equal == stores[i].count)
            return status_error(STATUS_INVALID_ARGUMENT,
                                "--from and --to name the same %s store; give --to another one", engine);
    }
    return status_ok();
}

static struct status check_sides(const struct migrate_arguments *arguments, const struct side *from,
                                 const struct side *to)
{
    STATUS_TRY(check_stays(from->config, "from", arguments->from));
    STATUS_TRY(check_stays(to->config, "to", arguments->to));
    STATUS_TRY(check_differ(from->config, to->config));
    return check_is_there(from->config, arguments->from);
}

static void close_side(struct side *side)
{
    stores_close(&side->stores);
    config_free(side->config);
}

struct moving {
    struct progress progress;
    bool quiet;
    bool closed; /* somebody has said so by a signal */
    int64_t retry_for_us;
    int64_t failing_since_us; /* monotonic; 0 = the last step went well */
    int64_t retry_wait_us;
};

static void went_well(struct moving *moving)
{
    if (moving->failing_since_us == 0)
        return;
    const int64_t away_us = clock_monotonic_us(&system_clock) - moving->failing_since_us;
    (void)fprintf(stderr, "strata: went on after %.1f s\n", (double)away_us / 1e6);
    moving->failing_since_us = 0;
}

static void on_progress(void *context, int64_t position, int64_t head)
{
    struct moving *moving = context;
    went_well(moving);
    if (moving->progress.what == NULL)
        moving->progress = progress_begin("moving", PROGRESS_EVENTS, (uint64_t)head, 0, moving->quiet);
    moving->progress.total = (uint64_t)head;
    progress_show(&moving->progress, (uint64_t)position, position);
}

/* True = SIGINT or SIGTERM has come within that time. */
static bool wait_for_signal(int64_t wait_us)
{
    sigset_t signals;
    const struct timespec wait = {.tv_sec = wait_us / 1000000, .tv_nsec = wait_us % 1000000 * 1000};
    (void)sigemptyset(&signals); /* a set and valid signals cannot fail */
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGTERM);
    return sigtimedwait(&signals, NULL, &wait) > 0;
}

static bool is_closed(void *context)
{
    struct moving *moving = context;
    went_well(moving);
    moving->closed = moving->closed || wait_for_signal(FOLLOW_PAUSE_US);
    return moving->closed;
}

/* The first signal says that the source is closed; the second one that what is left is not waited for. */
static bool may_retry(void *context, const struct status *why)
{
    struct moving *moving = context;
    const int64_t now_us = clock_monotonic_us(&system_clock);
    if (moving->failing_since_us == 0) {
        moving->failing_since_us = now_us;
        moving->retry_wait_us = RETRY_FIRST_US;
    }
    if (moving->retry_for_us > 0 &&
        now_us + moving->retry_wait_us - moving->failing_since_us > moving->retry_for_us)
        return false;
    if (moving->progress.what != NULL)
        progress_end(&moving->progress);
    (void)fprintf(stderr, "strata: retrying in %.1f s: %s\n", (double)moving->retry_wait_us / 1e6,
                  why->message);
    if (wait_for_signal(moving->retry_wait_us)) {
        const bool again = !moving->closed;
        moving->closed = true;
        return again;
    }
    moving->retry_wait_us =
        moving->retry_wait_us * 2 < RETRY_MOST_US ? moving->retry_wait_us * 2 : RETRY_MOST_US;
    return true;
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
    struct moving moving = {.quiet = arguments->quiet, .retry_for_us = arguments->retry_for_us};
    const struct migrate_options how = {
        .on_progress = on_progress,
        .is_closed = arguments->follow ? is_closed : NULL,
        .may_retry = arguments->follow ? may_retry : NULL,
        .context = &moving,
    };
    const struct migrate_side source = {from->stores.events, from->stores.snapshots};
    const struct migrate_side target = {to->stores.events, to->stores.snapshots};
    struct migrate_report report;
    const struct status status = migrate_store(&source, &target, &how, &system_entropy, &report);
    if (moving.progress.what != NULL)
        progress_end(&moving.progress);
    if (status.code == STATUS_OK)
        print_report(&report);
    else if (moving.failing_since_us != 0)
        (void)fprintf(stderr, "strata: %" PRId64 " events are in the target; run it again to go on\n",
                      report.target.position);
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
    struct status status = read_side(arguments->from, &from);
    if (status.code == STATUS_OK)
        status = read_side(arguments->to, &to);
    if (status.code == STATUS_OK)
        status = check_sides(arguments, &from, &to);
    if (status.code == STATUS_OK)
        status = open_side("from", arguments->from, log, &from);
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
        "histories. Configuration is read from the two files alone, not from the environment. With --follow a database "
        "that is out of reach for a while is asked again, after 0.1 s to 5 s.\n\n"
        "Example:\n"
        "  strata migrate --from embedded.yaml --to mysql.yaml\n",
    .options = options,
    .arguments_bytes = sizeof(struct migrate_arguments),
    .run = run_migrate,
    .method = -1,
};
