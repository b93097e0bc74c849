#include "store/embedded/index_check.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layer_list_internal.h"
#include "store/embedded/index/index_manifest.h"

#define PLACES_PIECE 512U
#define ENTRIES      8U
#define POSITIONS    512U

/* What was read of a segment's events so far: hashes of names, to be compared with the part's lists when it ends. */
struct names {
    uint64_t *types;           /* by position - first */
    uint64_t *aggregate_types; /* likewise */
    uint32_t count;            /* 0 = the segment was not read from its beginning */
};

struct index_check {
    char folder[STORE_PATH_BYTES];
    struct arena *arena;
    struct index_manifest manifest;
    struct part **parts;
    struct run **runs;
    size_t parts_open;
    size_t runs_open;
    size_t part; /* that holds the present event */
    size_t run;
    struct names names;
    int64_t places_first; /* position of places[0] */
    uint32_t places_count;
    struct place places[PLACES_PIECE];
    int64_t events;
};

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to check the index");
}

static struct status wrong(const struct index_check *check, int64_t position, const char *what)
{
    return status_reason(
        REASON_DAMAGED,
        "%s is wrong: of the event at position %" PRId64
        " it %s; the log is not concerned: stop strata and remove the folder, the next start "
        "makes a new index",
        check->folder, position, what);
}

/* ---- opening ---- */

static struct status open_files(struct index_check *check, struct files *files,
                                const struct store_identity *identity)
{
    const struct index_manifest *manifest = &check->manifest;
    check->parts = arena_array(check->arena, manifest->part_count, sizeof *check->parts);
    check->runs = arena_array(check->arena, manifest->run_count, sizeof *check->runs);
    if (check->parts == NULL || check->runs == NULL)
        return no_memory();
    uint32_t most = 0;
    for (; check->parts_open < manifest->part_count; check->parts_open++) {
        STATUS_TRY(part_open(files, check->folder, manifest->parts[check->parts_open].first_position,
                             identity->uuid, &check->parts[check->parts_open]));
        const uint32_t count = part_facts(check->parts[check->parts_open])->count;
        most = count > most ? count : most;
    }
    for (; check->runs_open < manifest->run_count; check->runs_open++)
        STATUS_TRY(run_open(files, check->folder, manifest->runs[check->runs_open].first_position,
                            manifest->runs[check->runs_open].last_position, identity->uuid, NULL,
                            &check->runs[check->runs_open]));
    check->names.types = arena_array(check->arena, most, sizeof(uint64_t));
    check->names.aggregate_types = arena_array(check->arena, most, sizeof(uint64_t));
    return check->names.types == NULL || check->names.aggregate_types == NULL ? no_memory() : status_ok();
}

static struct status open_index(struct index_check *check, struct files *files, const char *store_id,
                                const struct store_identity *identity)
{
    check->arena = arena_new(0);
    if (check->arena == NULL)
        return no_memory();
    snprintf(check->folder, sizeof check->folder, "%s/index", store_id);
    STATUS_TRY(index_manifest_read(files, check->folder, identity->uuid, check->arena, &check->manifest));
    return open_files(check, files, identity);
}

struct status index_check_open(struct files *files, const char *store_id,
                               const struct store_identity *identity, struct index_check **ret)
{
    struct index_check *check = calloc(1, sizeof *check);
    if (check == NULL)
        return no_memory();
    const struct status status = open_index(check, files, store_id, identity);
    if (status.code == STATUS_OK)
        *ret = check;
    else
        index_check_free(check);
    return status;
}

void index_check_free(struct index_check *check)
{
    if (check == NULL)
        return;
    for (size_t i = 0; i < check->parts_open; i++)
        part_close(check->parts[i]);
    for (size_t i = 0; i < check->runs_open; i++)
        run_close(check->runs[i]);
    arena_free(check->arena);
    free(check);
}

/* ---- keys ---- */

static uint64_t name_hash(const struct index_check *check, struct bytes name)
{
    return index_hash(check->manifest.seed, INDEX_KEY_TAG,
                      name); /* of any kind: all are compared with each other */
}

/* Whether the list has the position; *ret_number = which one it is. */
static struct status list_has(const struct run *run, const struct posting_list *list, int64_t position,
                              uint32_t *ret_number, bool *ret)
{
    uint32_t behind = 0;
    int64_t found = 0;
    *ret = false;
    STATUS_TRY(run_list_behind(run, list, position, &behind));
    if (behind == 0)
        return status_ok();
    STATUS_TRY(run_list_read(run, list, behind - 1, &found, 1));
    *ret_number = behind - 1;
    *ret = found == position;
    return status_ok();
}

/* `version`: what the entry must say of the event, when it is an aggregate's. */
static bool says(enum read_by by, const struct run_key *entry, uint32_t number, int32_t version)
{
    if (by != READ_BY_AGGREGATE)
        return entry->value == run_value_of(by, 0);
    return (int64_t)entry->value - (entry->list.count - 1 - number) == version;
}

static struct status check_key(struct index_check *check, enum read_by by, enum index_key_kind kind,
                               struct bytes text, const struct event_fields *fields)
{
    const struct run *run = check->runs[check->run];
    const uint64_t hash = index_hash(check->manifest.seed, kind, text);
    uint32_t got = ENTRIES;
    if (!run_may_have_key(run, hash))
        return wrong(check, fields->position, "lacks a key by the filter");
    for (uint32_t skip = 0; got == ENTRIES; skip += got) {
        struct run_key entries[ENTRIES];
        STATUS_TRY(run_find_key(run, hash, skip, entries, ENTRIES, &got));
        for (uint32_t i = 0; i < got; i++) {
            uint32_t number = 0;
            bool has = false;
            STATUS_TRY(list_has(run, &entries[i].list, fields->position, &number, &has));
            if (has && says(by, &entries[i], number, fields->version))
                return status_ok();
        }
    }
    return wrong(check, fields->position, "lacks a key, or has another version");
}

static struct status check_id(struct index_check *check, const struct event_fields *fields)
{
    const struct run *run = check->runs[check->run];
    const uint64_t hash = index_hash(check->manifest.seed, INDEX_KEY_EVENT_ID, fields->id);
    uint32_t got = ENTRIES;
    if (!run_may_have_id(run, hash, index_uuid7_ms(fields->id)))
        return wrong(check, fields->position, "lacks the id by the filter");
    for (uint32_t skip = 0; got == ENTRIES; skip += got) {
        int64_t positions[ENTRIES];
        STATUS_TRY(run_find_id(run, hash, skip, positions, ENTRIES, &got));
        for (uint32_t i = 0; i < got; i++)
            if (positions[i] == fields->position)
                return status_ok();
    }
    return wrong(check, fields->position, "lacks the id");
}

static struct status check_keys(struct index_check *check, const struct event_fields *fields)
{
    STATUS_TRY(check_id(check, fields));
    STATUS_TRY(check_key(check, READ_BY_AGGREGATE, INDEX_KEY_AGGREGATE, fields->aggregate_id, fields));
    if (fields->correlation_id.size_bytes > 0)
        STATUS_TRY(
            check_key(check, READ_BY_CORRELATION, INDEX_KEY_CORRELATION, fields->correlation_id, fields));
    for (size_t i = 0; i < fields->tag_count; i++)
        STATUS_TRY(check_key(check, READ_BY_TAG, INDEX_KEY_TAG, fields->tags[i], fields));
    return status_ok();
}

/* ---- the part ---- */

static struct status check_place(struct index_check *check, const struct scanned_event *event)
{
    const struct part *part = check->parts[check->part];
    const struct part_facts *facts = part_facts(part);
    const int64_t position = event->position;
    if (position < check->places_first || position >= check->places_first + check->places_count) {
        const int64_t left = facts->first_position + facts->count - position;
        check->places_first = position;
        check->places_count = left < PLACES_PIECE ? (uint32_t)left : PLACES_PIECE;
        STATUS_TRY(part_places_checked(part, position, check->places, check->places_count));
    }
    const struct place *place = &check->places[position - check->places_first];
    if (place->offset != event->offset || place->header_crc != event->header_crc)
        return wrong(check, position, "says another place");
    return status_ok();
}

static void note_names(struct index_check *check, const struct event_fields *fields)
{
    struct names *names = &check->names;
    const uint32_t number =
        (uint32_t)(fields->position - part_facts(check->parts[check->part])->first_position);
    if (number != names->count)
        return; /* begun in the middle */
    names->types[number] = name_hash(check, fields->type);
    names->aggregate_types[number] = name_hash(check, fields->aggregate_type);
    names->count++;
}

struct comparing {
    struct index_check *check;
    const struct part *part;
    uint64_t counts[3]; /* by part_term_kind */
    struct status status;
};

/* Every position of the list has the name. */
static struct status compare_list(struct comparing *comparing, const uint64_t *names, struct bytes text,
                                  const struct posting_list *list)
{
    const int64_t first = part_facts(comparing->part)->first_position;
    const uint64_t hash = name_hash(comparing->check, text);
    int64_t positions[POSITIONS];
    for (uint32_t from = 0; from < list->count; from += POSITIONS) {
        const uint32_t count = list->count - from < POSITIONS ? list->count - from : POSITIONS;
        STATUS_TRY(part_list_read(comparing->part, list, from, positions, count));
        for (uint32_t i = 0; i < count; i++)
            if (names[positions[i] - first] != hash)
                return wrong(comparing->check, positions[i], "says another type");
    }
    return status_ok();
}

static bool compare_term(void *context, enum part_term_kind kind, struct bytes text,
                         const struct posting_list *list)
{
    struct comparing *comparing = context;
    const struct names *names = &comparing->check->names;
    comparing->counts[kind] += list->count;
    comparing->status =
        compare_list(comparing, kind == PART_EVENT_TYPE ? names->types : names->aggregate_types, text, list);
    return comparing->status.code == STATUS_OK;
}

/* As many as there are, and each the right one: so none is missing. */
static struct status check_part_end(struct index_check *check, int64_t position)
{
    const struct part *part = check->parts[check->part];
    const struct part_facts *facts = part_facts(part);
    if (check->names.count != facts->count)
        return status_ok();
    struct comparing comparing = {.check = check, .part = part, .status = status_ok()};
    STATUS_TRY(part_terms(part, compare_term, &comparing));
    STATUS_TRY(comparing.status);
    if (comparing.counts[PART_EVENT_TYPE] != facts->count ||
        comparing.counts[PART_AGGREGATE_TYPE] != facts->count ||
        comparing.counts[PART_CREATED] != facts->created_count)
        return wrong(check, position, "counts other types in the segment");
    return status_ok();
}

/* ---- events ---- */

/* Moves to the part and run that hold the position; false behind the last one. */
static bool find_files(struct index_check *check, int64_t position)
{
    while (check->part < check->parts_open && check->manifest.parts[check->part].last_position < position) {
        check->part++;
        check->names.count = 0;
    }
    while (check->run < check->runs_open && check->manifest.runs[check->run].last_position < position)
        check->run++;
    return check->part < check->parts_open && check->run < check->runs_open;
}

struct status index_check_event(struct index_check *check, const struct scanned_event *event)
{
    if (!find_files(check, event->position))
        return status_ok();
    STATUS_TRY(check_place(check, event));
    STATUS_TRY(check_keys(check, event->fields));
    note_names(check, event->fields);
    check->events++;
    if (event->position == check->manifest.parts[check->part].last_position)
        return check_part_end(check, event->position);
    return status_ok();
}

struct status index_check_end(struct index_check *check, struct index_check_report *ret)
{
    *ret = (struct index_check_report){
        .events = check->events,
        .part_count = (uint32_t)check->parts_open,
        .run_count = (uint32_t)check->runs_open,
    };
    for (size_t i = 0; i < check->parts_open; i++) {
        STATUS_TRY(part_check(check->parts[i]));
        ret->bytes += part_size_bytes(check->parts[i]);
    }
    for (size_t i = 0; i < check->runs_open; i++) {
        STATUS_TRY(run_check(check->runs[i]));
        ret->bytes += run_size_bytes(check->runs[i]);
    }
    return status_ok();
}
