#include "load_report.h"

#include <stdio.h>

#include "measure.h"

void load_report(const struct load_figures *figures)
{
    const int64_t *times_ns = figures->times_ns;
    const size_t calls = figures->calls;
    measure_sort(figures->times_ns, calls);
    printf("{\"calls\": %zu, \"seconds\": %.3f, \"calls_per_s\": %.0f", calls, figures->seconds,
           (double)calls / figures->seconds);
    if (figures->events_a_call > 0)
        printf(", \"events_per_s\": %.0f", (double)calls * (double)figures->events_a_call / figures->seconds);
    printf(", \"p50_us\": %.0f, \"p99_us\": %.0f, \"p999_us\": %.0f, \"reply_bytes\": %zu, \"errors\": %ld, "
           "\"first_error\": \"%s\"}\n",
           measure_us(times_ns, calls, 500), measure_us(times_ns, calls, 990),
           measure_us(times_ns, calls, 999), figures->reply_bytes, figures->errors,
           measure_quotable(figures->first_error));
}
