#include "measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

int64_t measure_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void measure_sleep_until(int64_t monotonic_ns)
{
    const struct timespec at = {.tv_sec = monotonic_ns / 1000000000, .tv_nsec = monotonic_ns % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0)
        ;
}

static int compare(const void *a, const void *b)
{
    const int64_t left = *(const int64_t *)a;
    const int64_t right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

void measure_sort(int64_t *times_ns, size_t count)
{
    qsort(times_ns, count, sizeof *times_ns, compare);
}

double measure_us(const int64_t *sorted_ns, size_t count, unsigned per_mille)
{
    if (count == 0)
        return 0;
    const size_t at = count * per_mille / 1000;
    return (double)sorted_ns[at < count ? at : count - 1] / 1e3;
}

double measure_cpu_us(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6 +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

const char *measure_quotable(char *text)
{
    for (char *at = text; *at != '\0'; at++)
        if (*at == '"' || *at == '\\' || (unsigned char)*at < 0x20)
            *at = '\'';
    return text;
}

long measure_rss_anon_kib(long pid)
{
    char line[128];
    long kib = -1;
    (void)snprintf(line, sizeof line, "/proc/%ld/status", pid);
    FILE *status = fopen(line, "r");
    if (status == NULL)
        return -1;
    while (kib < 0 && fgets(line, sizeof line, status) != NULL)
        (void)sscanf(line, "RssAnon: %ld", &kib); /* another line leaves it alone */
    (void)fclose(status);
    return kib;
}
