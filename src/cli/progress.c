#include "cli/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

#define SHOW_EVERY_US 200000
#define BAR_CELLS     24U
#define HOUR_S        3600

struct progress progress_begin(const char *what, enum progress_unit unit, uint64_t total, uint64_t from,
                               bool quiet)
{
    return (struct progress){
        .on = !quiet && isatty(STDERR_FILENO) == 1,
        .what = what,
        .unit = unit,
        .total = total,
        .started_at_us = clock_monotonic_us(&system_clock),
        .started_from = from,
    };
}

static void print_amount(enum progress_unit unit, double amount, const char *suffix)
{
    if (unit == PROGRESS_EVENTS)
        (void)fprintf(stderr, "  %.0f events%s", amount, suffix);
    else if (unit == PROGRESS_ITEMS)
        (void)fprintf(stderr, "  %.0f%s", amount, suffix);
    else if (amount >= 1073741824.0)
        (void)fprintf(stderr, "  %.1f GiB%s", amount / 1073741824.0, suffix);
    else
        (void)fprintf(stderr, "  %.1f MiB%s", amount / 1048576.0, suffix);
}

static void print_bar(const struct progress *progress, uint64_t done)
{
    const double share = done >= progress->total ? 1.0 : (double)done / (double)progress->total;
    const unsigned full = (unsigned)(share * BAR_CELLS);
    (void)fputs("  [", stderr);
    for (unsigned i = 0; i < BAR_CELLS; i++)
        (void)fputc(i < full ? '#' : '.', stderr);
    (void)fprintf(stderr, "] %3.0f %%", share * 100);
}

static void print_left(double seconds)
{
    const int64_t left_s = (int64_t)seconds;
    if (left_s >= HOUR_S)
        (void)fprintf(stderr, "  %" PRId64 ":%02" PRId64 ":%02" PRId64 " left", left_s / HOUR_S,
                      left_s % HOUR_S / 60, left_s % 60);
    else
        (void)fprintf(stderr, "  %" PRId64 ":%02" PRId64 " left", left_s / 60, left_s % 60);
}

void progress_show(struct progress *progress, uint64_t done, int64_t events)
{
    if (!progress->on)
        return;
    const int64_t now_us = clock_monotonic_us(&system_clock);
    if (now_us - progress->shown_at_us < SHOW_EVERY_US)
        return;
    progress->shown_at_us = now_us;
    const double seconds = (double)(now_us - progress->started_at_us) / 1e6;
    const double rate = seconds > 0 ? (double)(done - progress->started_from) / seconds : 0;
    (void)fprintf(stderr, "\r%s", progress->what);
    if (progress->total > 0)
        print_bar(progress, done);
    print_amount(progress->unit, (double)done, "");
    if (progress->unit == PROGRESS_BYTES && events > 0)
        (void)fprintf(stderr, ", %" PRId64 " events", events);
    print_amount(progress->unit, rate, "/s");
    if (progress->total > done && rate > 0)
        print_left((double)(progress->total - done) / rate);
    (void)fputs("\033[K", stderr);
}

void progress_end(struct progress *progress)
{
    if (progress->shown_at_us != 0)
        (void)fputs("\r\033[K", stderr);
    progress->shown_at_us = 0;
}
