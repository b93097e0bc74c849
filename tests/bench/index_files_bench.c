/*
 * What one run of the index costs: building, merging, asking and finding, on real files.
 *
 *     build/…/index_files_bench <folder> [segments to merge, 16]
 *
 * Each segment has 250,000 events with random ids, 220,000 aggregates chosen from a million. Prints one line a figure;
 * times are of the CPU but for the merge's.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "store/embedded/index/index_run.h"

#define EVENTS     250000U
#define AGGREGATES 1000000U
#define BATCH      128U
#define LOOKUPS    1000000U
#define FINDS      200000U
#define RUNS_MOST  64U
#define SEED       42U

static const uint8_t uuid[INDEX_UUID_BYTES] = {1};

static double now_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double cpu_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static uint64_t random_next(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static void must(struct status status)
{
    if (status.code == STATUS_OK)
        return;
    (void)fprintf(stderr, "%s\n", status.message);
    exit(1);
}

static uint64_t id_hash(uint64_t number)
{
    char text[40];
    uint64_t state = number;
    const uint64_t high = random_next(&state);
    const int size = snprintf(text, sizeof text, "%08x-%04x-4%03x-8%03x-%012" PRIx64, (unsigned)(high >> 32),
                              (unsigned)(high >> 16) & 0xFFFF, (unsigned)high & 0xFFF,
                              (unsigned)(high >> 4) & 0xFFF, random_next(&state) >> 16);
    return index_hash(SEED, INDEX_KEY_EVENT_ID, bytes_of(text, (size_t)size));
}

static uint64_t aggregate_hash(uint32_t number)
{
    char text[32];
    const int size = snprintf(text, sizeof text, "account-%07u", number);
    return index_hash(SEED, INDEX_KEY_AGGREGATE, bytes_of(text, (size_t)size));
}

struct owner {
    uint32_t aggregate;
    uint32_t event;
};

static int by_aggregate(const void *a, const void *b)
{
    const struct owner *first = a;
    const struct owner *second = b;
    if (first->aggregate != second->aggregate)
        return first->aggregate < second->aggregate ? -1 : 1;
    return first->event < second->event ? -1 : first->event > second->event;
}

static void segment_build(struct files *files, uint32_t segment, double *ret_add_s, double *ret_write_s)
{
    const int64_t first = 1 + (int64_t)segment * EVENTS;
    const struct run_facts facts = {.first_position = first, .last_position = first + EVENTS - 1};
    static struct owner owners[EVENTS];
    static uint64_t hashes[EVENTS];
    static int64_t positions[EVENTS];
    static uint64_t keys[EVENTS]; /* hash of the aggregate of owners[i] */
    uint64_t state = segment;
    for (uint32_t i = 0; i < EVENTS; i++) {
        owners[i] = (struct owner){(uint32_t)(random_next(&state) % AGGREGATES), i};
        hashes[i] = id_hash((uint64_t)first + i);
    }
    qsort(owners, EVENTS, sizeof *owners, by_aggregate);
    for (uint32_t i = 0; i < EVENTS; i++)
        keys[i] = aggregate_hash(owners[i].aggregate);
    struct run_builder *builder = NULL;
    const double start = cpu_s();
    must(run_builder_new(&facts, &builder));
    for (uint32_t i = 0; i < EVENTS; i++)
        must(run_builder_add_id(builder, hashes[i], BYTES_LITERAL("0123456789abcdef0123456789abcdef0123"),
                                first + i));
    for (uint32_t i = 0; i < EVENTS;) {
        uint32_t count = 0;
        const uint32_t aggregate = owners[i].aggregate;
        const uint64_t hash = keys[i];
        for (; i < EVENTS && owners[i].aggregate == aggregate; i++)
            positions[count++] = first + owners[i].event;
        must(run_builder_add_key(builder, hash, count, positions, count));
    }
    const double added = cpu_s();
    must(run_builder_write(builder, files, "index", uuid, segment + 1, NULL));
    *ret_add_s = added - start;
    *ret_write_s = cpu_s() - added;
    run_builder_free(builder);
}

static void ask(const struct run *run, const char *what)
{
    uint64_t state = 5;
    unsigned hits = 0;
    const double start = cpu_s();
    for (uint32_t done = 0; done < LOOKUPS; done += BATCH) {
        uint64_t hashes[BATCH];
        for (uint32_t i = 0; i < BATCH; i++) {
            hashes[i] = random_next(&state);
            run_prefetch_id(run, hashes[i]);
        }
        for (uint32_t i = 0; i < BATCH; i++)
            hits += run_may_have_id(run, hashes[i], -1);
    }
    printf("%s: may_have_id in batches of %u: %.1f ns, %.2f %% false\n", what, BATCH,
           (cpu_s() - start) / LOOKUPS * 1e9, 100.0 * hits / LOOKUPS);
}

static void find(const struct run *run, const char *what)
{
    const struct run_facts *facts = run_facts(run);
    const uint64_t events = (uint64_t)(facts->last_position - facts->first_position + 1);
    uint64_t state = 6;
    static uint64_t hashes[FINDS];
    for (uint32_t i = 0; i < FINDS; i++)
        hashes[i] = id_hash((uint64_t)facts->first_position + random_next(&state) % events);
    uint64_t found = 0;
    double start = cpu_s();
    for (uint32_t i = 0; i < FINDS; i++) {
        int64_t position = 0;
        uint32_t count = 0;
        must(run_find_id(run, hashes[i], 0, &position, 1, &count));
        found += count;
    }
    printf("%s: find_id %.2f us (%.1f %% found)\n", what, (cpu_s() - start) / FINDS * 1e6,
           100.0 * (double)found / FINDS);
    for (uint32_t i = 0; i < FINDS; i++)
        hashes[i] = aggregate_hash((uint32_t)(random_next(&state) % AGGREGATES));
    found = 0;
    start = cpu_s();
    for (uint32_t i = 0; i < FINDS; i++) {
        struct run_last last;
        uint32_t count = 0;
        must(run_find_last(run, hashes[i], 0, &last, 1, &count));
        found += count;
    }
    printf("%s: find_last %.2f us (%.1f %% found)\n", what, (cpu_s() - start) / FINDS * 1e6,
           100.0 * (double)found / FINDS);
    found = 0;
    start = cpu_s();
    for (uint32_t i = 0; i < FINDS; i++) {
        struct run_key keys[16];
        uint32_t count = 0;
        must(run_find_key(run, hashes[i], 0, keys, 16, &count));
        for (uint32_t k = 0; k < count; k++) {
            int64_t positions[64];
            must(run_list_read(run, &keys[k].list, 0, positions,
                               keys[k].list.count < 64 ? keys[k].list.count : 64));
            found += keys[k].list.count;
        }
    }
    printf("%s: find_key and its lists %.2f us, %.2f positions each\n", what, (cpu_s() - start) / FINDS * 1e6,
           (double)found / FINDS);
}

static void sizes(const struct run *run, const char *what)
{
    const struct run_facts *facts = run_facts(run);
    const double events = (double)(facts->last_position - facts->first_position + 1);
    printf("%s: %.2f bytes an event on the disk, %.2f in memory\n", what,
           (double)run_size_bytes(run) / events, (double)run_resident_bytes(run) / events);
}

int main(int count, char **arguments)
{
    const uint32_t segments = count > 2 ? (uint32_t)strtoul(arguments[2], NULL, 10) : 16;
    struct files *files = NULL;
    struct run *runs[RUNS_MOST];
    if (count < 2 || segments < 2 || segments > RUNS_MOST) {
        (void)fprintf(stderr, "usage: index_files_bench <folder> [2 … 64]\n");
        return 2;
    }
    must(posix_files_new(arguments[1], &files));
    must(files_mkdir(files, "index"));
    double input_bytes = 0;
    for (uint32_t i = 0; i < segments; i++) {
        double add_s = 0;
        double write_s = 0;
        segment_build(files, i, &add_s, &write_s);
        const int64_t first = 1 + (int64_t)i * EVENTS;
        if (i < 3)
            printf("build of %u events: add %.1f ms, sort and write %.1f ms\n", EVENTS, add_s * 1e3,
                   write_s * 1e3);
        must(run_open(files, "index", first, first + EVENTS - 1, uuid, NULL, &runs[i]));
        input_bytes += (double)run_size_bytes(runs[i]);
    }
    sizes(runs[0], "one segment");
    ask(runs[0], "one segment");
    find(runs[0], "one segment");
    double start = now_s();
    const double cpu = cpu_s();
    must(run_merge(files, "index", runs, segments, uuid, 99, NULL));
    double took = now_s() - start;
    printf("merge of %u runs, %.1f MB: %.2f s, %.0f MB/s of input; CPU %.2f s a million events\n", segments,
           input_bytes / 1e6, took, input_bytes / 1e6 / took,
           (cpu_s() - cpu) / ((double)segments * EVENTS) * 1e6);
    struct run *merged = NULL;
    start = now_s();
    must(run_open(files, "index", 1, (int64_t)segments * EVENTS, uuid, NULL, &merged));
    printf("open of the result %.1f ms\n", (now_s() - start) * 1e3);
    sizes(merged, "merged");
    ask(merged, "merged");
    find(merged, "merged");
    start = cpu_s();
    must(run_check(merged));
    printf("check of the result %.2f s\n", cpu_s() - start);
    run_close(merged);
    for (uint32_t i = 0; i < segments; i++)
        run_close(runs[i]);
    posix_files_free(files);
    return 0;
}
