/* What came of a bench: one JSON object, or the same as a table. */
#include <inttypes.h>
#include <string.h>

#include "base/json.h"
#include "cli/bench_internal.h"
#include "cli/show_internal.h"
#include "cli/terminal_internal.h"
#include "cli/views_internal.h"

struct sum {
    struct histogram latency;
    int64_t calls;
    int64_t events;
    int64_t bytes;
    int64_t errors;
    const struct status *error; /* NULL = none */
};

/* What an answer of this store promises. */
static const char *durability_of(const char *store)
{
    if (strcmp(store, "embedded") == 0)
        return "every append is answered after its events are synced to disk (fdatasync); appends that wait together "
               "share a sync";
    if (strcmp(store, "memory") == 0)
        return "none: the store keeps its events in memory";
    return "that of the store's engine";
}

static void add_up(const struct bench *bench, struct sum *sum)
{
    for (int64_t i = 0; i < bench_worker_count(bench); i++) {
        const struct bench_worker *worker = &bench->workers[i];
        sum->errors += worker->errors;
        if (worker->errors > 0 && sum->error == NULL)
            sum->error = &worker->error;
        if (bench->kind->appends_beside && i == 0)
            continue; /* what it appended comes back to the others */
        histogram_merge(&sum->latency, &worker->latency);
        sum->calls += worker->calls;
        sum->events += worker->events;
        sum->bytes += worker->bytes;
    }
}

static void add_text(struct buffer *to, const char *name, const char *text)
{
    buffer_printf(to, "%s\"%s\":", to->size_bytes > 1 ? "," : "", name);
    json_add_string(to, bytes_of_text(text));
}

static void add_rates(const struct bench *bench, const struct sum *sum, struct buffer *to)
{
    const double seconds = (double)bench->elapsed_us / 1e6;
    const bool of_events = bench->kind != &bench_get;
    buffer_printf(to, ",\"seconds\":%.3f,\"calls\":%" PRId64 ",\"calls_per_second\":%.1f", seconds,
                  sum->calls, (double)sum->calls / seconds);
    if (of_events)
        buffer_printf(to, ",\"events\":%" PRId64 ",\"events_per_second\":%.1f", sum->events,
                      (double)sum->events / seconds);
    buffer_printf(to, ",\"megabytes_per_second\":%.2f", (double)sum->bytes / seconds / 1e6);
    buffer_printf(to,
                  ",\"latency_us\":{\"p50\":%" PRId64 ",\"p99\":%" PRId64 ",\"p99.9\":%" PRId64
                  ",\"max\":%" PRId64 "}",
                  histogram_at(&sum->latency, 0.5), histogram_at(&sum->latency, 0.99),
                  histogram_at(&sum->latency, 0.999), sum->latency.max_us);
}

static void add_load(const struct bench *bench, struct buffer *to)
{
    const struct bench_options *options = bench->options;
    buffer_printf(to, ",\"clients\":%" PRId64, options->clients);
    if (bench->kind != &bench_get)
        buffer_printf(to, ",\"batch\":%" PRId64, options->batch);
    if (bench->kind == &bench_append)
        add_text(to, "mode", options->stream ? "stream" : "unary");
    if (bench->kind == &bench_subscribe)
        buffer_printf(to, ",\"rate\":%" PRId64, options->rate);
    if (bench->kind == &bench_append || bench->kind == &bench_subscribe) {
        buffer_printf(to, ",\"event_bytes\":%" PRId64, options->size_bytes);
        add_text(to, "aggregates", bench->name);
        add_text(to, "durability", durability_of(bench->store));
    }
}

/* What did not arrive was lost on the way or is late; either is a failure. */
static int64_t missing(const struct bench *bench, const struct sum *sum)
{
    if (!bench->kind->appends_beside)
        return 0;
    return bench->workers[0].events * bench->options->clients - sum->events;
}

static void add_errors(const struct bench *bench, const struct sum *sum, struct buffer *to)
{
    if (bench->kind->appends_beside)
        buffer_printf(to, ",\"missing\":%" PRId64, missing(bench, sum));
    buffer_printf(to, ",\"errors\":%" PRId64, sum->errors);
    if (sum->error != NULL)
        add_text(to, "error", sum->error->message);
}

struct status bench_report(struct bench *bench)
{
    struct sum sum = {0};
    struct show show;
    struct buffer json = buffer_in(bench->run->arena, 0);
    add_up(bench, &sum);
    if (sum.calls == 0 && sum.error != NULL)
        return *sum.error;
    buffer_add_byte(&json, '{');
    add_text(&json, "bench", bench->kind->name);
    add_text(&json, "store", bench->store);
    add_load(bench, &json);
    add_rates(bench, &sum, &json);
    add_text(&json, "latency_of", bench->kind->latency_of);
    add_errors(bench, &sum, &json);
    buffer_add_byte(&json, '}');
    STATUS_TRY(buffer_status(&json));
    if (sum.errors > 0 || missing(bench, &sum) != 0)
        bench->run->exit_code = CLI_FAILED;
    struct status status = show_open(&bench->options->common, &view_bench, &show);
    if (status.code == STATUS_OK)
        status = show_object(&show, buffer_bytes(&json));
    if (status.code == STATUS_OK)
        status = show_end(&show);
    show_done(&show);
    return status;
}
