#include "store/embedded/index/index_part.h"

#include <assert.h>
#include <stdlib.h>

#include "part_format_internal.h"
#include "posting_codec_internal.h"

#define PLACES_AT_ONCE  PART_PAGE_PLACES /* decoded in pieces of so many */
#define TERMS_AT_ONCE   64U              /* read at once */
#define SAMPLES_AT_ONCE 256U

static_assert(PART_PAGE_PLACES == INDEX_PAGE_DATA_BYTES / PLACE_BYTES, "a page is full of places");

struct part {
    struct index_reader *reader;
    struct part_layout layout;
};

static struct status damaged(const struct part *part, const char *what)
{
    return index_damaged(index_reader_path(part->reader), what);
}

struct status part_open(struct files *files, const char *folder, int64_t first_position,
                        const uint8_t store_uuid[INDEX_UUID_BYTES], struct part **ret)
{
    char name[INDEX_NAME_MAX_BYTES];
    index_part_name(first_position, name);
    CLEANUP(part_close_at) struct part *part = calloc(1, sizeof *part);
    if (part == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to open %s/%s", folder, name);
    uint8_t header[INDEX_PAGE_BYTES];
    const struct index_place place = {files, folder, name, store_uuid};
    STATUS_TRY(index_reader_open(&place, INDEX_PART_MAGIC, header, &part->reader));
    if (!part_layout_decode(header, &part->layout) || part->layout.end != index_reader_length(part->reader))
        return damaged(part, "its header contradicts itself");
    if (part->layout.facts.first_position != first_position)
        return damaged(part, "it is the index of another segment than its name says");
    *ret = TAKE_PTR(part);
    return status_ok();
}

void part_close(struct part *part)
{
    if (part == NULL)
        return;
    index_reader_close(part->reader);
    free(part);
}

const struct part_facts *part_facts(const struct part *part)
{
    return &part->layout.facts;
}

/* ---- places ---- */

typedef struct status (*read_function)(const struct index_reader *reader, uint64_t at, void *ret,
                                       size_t size);

static struct status places_read(const struct part *part, int64_t position, struct place *ret, size_t count,
                                 read_function read)
{
    const struct part_facts *facts = &part->layout.facts;
    assert(position >= facts->first_position);
    uint64_t number = (uint64_t)(position - facts->first_position);
    assert(number <= facts->count);
    assert(count <= facts->count - number);
    while (count > 0) {
        uint8_t bytes[PLACES_AT_ONCE * PLACE_BYTES];
        const size_t piece = count < PLACES_AT_ONCE ? count : PLACES_AT_ONCE;
        STATUS_TRY(
            read(part->reader, part->layout.places_at + number * PLACE_BYTES, bytes, piece * PLACE_BYTES));
        for (size_t i = 0; i < piece; i++)
            ret[i] =
                (struct place){get_u32_le(bytes + i * PLACE_BYTES), get_u32_le(bytes + i * PLACE_BYTES + 4)};
        ret += piece;
        number += piece;
        count -= piece;
    }
    return status_ok();
}

struct status part_places(const struct part *part, int64_t position, struct place *ret, size_t count)
{
    return places_read(part, position, ret, count, index_reader_read_unchecked);
}

struct status part_places_checked(const struct part *part, int64_t position, struct place *ret, size_t count)
{
    return places_read(part, position, ret, count, index_reader_read);
}

/* ---- terms ---- */

/* Decodes the entries number … number + count - 1. */
static struct status terms_read(const struct part *part, uint32_t number, uint32_t count,
                                struct part_term_entry ret[TERMS_AT_ONCE])
{
    const struct part_layout *layout = &part->layout;
    uint8_t bytes[TERMS_AT_ONCE * TERM_BYTES];
    assert(count <= TERMS_AT_ONCE);
    STATUS_TRY(index_reader_read(part->reader, layout->terms_at + (uint64_t)number * TERM_BYTES, bytes,
                                 (size_t)count * TERM_BYTES));
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *from = bytes + (size_t)i * TERM_BYTES;
        part_term_decode(from, &ret[i]);
        if (from[14] > PART_CREATED || ret[i].count == 0 || ret[i].count > layout->facts.count ||
            ret[i].last_delta >= layout->facts.count ||
            (uint64_t)ret[i].text_at + ret[i].text_bytes > layout->text_bytes)
            return damaged(part, "a term contradicts itself");
    }
    return status_ok();
}

static struct status text_read(const struct part *part, const struct part_term_entry *entry, uint8_t *ret)
{
    return index_reader_read(part->reader, part->layout.texts_at + entry->text_at, ret, entry->text_bytes);
}

static struct posting_list list_of(const struct part *part, const struct part_term_entry *entry)
{
    return (struct posting_list){
        .count = entry->count,
        .last_position = part->layout.facts.first_position + entry->last_delta,
        .at = part->layout.lists_at + (uint64_t)entry->list_quarter * POSTING_ALIGN_BYTES,
    };
}

/* Narrows [*low, *high) to at most TERMS_AT_ONCE entries that hold the first one of this hash, if there is one. */
static struct status terms_narrow(const struct part *part, uint64_t hash, uint32_t *low, uint32_t *high)
{
    while (*high - *low > TERMS_AT_ONCE) {
        const uint32_t middle = *low + (*high - *low) / 2;
        struct part_term_entry entries[TERMS_AT_ONCE];
        STATUS_TRY(terms_read(part, middle, 1, entries));
        if (entries[0].hash < hash)
            *low = middle + 1;
        else
            *high = middle + 1;
    }
    return status_ok();
}

static struct status term_matches(const struct part *part, const struct part_term_entry *entry,
                                  enum part_term_kind kind, struct bytes text, bool *ret)
{
    uint8_t bytes[UINT16_MAX];
    *ret = false;
    if (entry->kind != kind || entry->text_bytes != text.size_bytes)
        return status_ok();
    STATUS_TRY(text_read(part, entry, bytes));
    *ret = bytes_equal(bytes_of(bytes, entry->text_bytes), text);
    return status_ok();
}

struct status part_term(const struct part *part, enum part_term_kind kind, struct bytes text,
                        struct posting_list *ret)
{
    const uint64_t hash = part_term_hash(index_reader_nonce(part->reader), kind, text);
    uint32_t low = 0;
    uint32_t high = part->layout.term_count;
    STATUS_TRY(terms_narrow(part, hash, &low, &high));
    /* Equal hashes may go on behind the narrowed range: the walk ends at a greater one. */
    while (low < part->layout.term_count) {
        struct part_term_entry entries[TERMS_AT_ONCE];
        const uint32_t left = part->layout.term_count - low;
        const uint32_t count = left < TERMS_AT_ONCE ? left : TERMS_AT_ONCE;
        STATUS_TRY(terms_read(part, low, count, entries));
        for (uint32_t i = 0; i < count; i++) {
            bool found = false;
            if (entries[i].hash > hash) {
                *ret = (struct posting_list){0};
                return status_ok();
            }
            if (entries[i].hash == hash)
                STATUS_TRY(term_matches(part, &entries[i], kind, text, &found));
            if (found) {
                *ret = list_of(part, &entries[i]);
                return status_ok();
            }
        }
        low += count;
    }
    *ret = (struct posting_list){0};
    return status_ok();
}

struct status part_terms(const struct part *part, part_term_sink sink, void *context)
{
    for (uint32_t number = 0; number < part->layout.term_count;) {
        struct part_term_entry entries[TERMS_AT_ONCE];
        const uint32_t left = part->layout.term_count - number;
        const uint32_t count = left < TERMS_AT_ONCE ? left : TERMS_AT_ONCE;
        STATUS_TRY(terms_read(part, number, count, entries));
        for (uint32_t i = 0; i < count; i++) {
            uint8_t bytes[UINT16_MAX];
            const struct posting_list list = list_of(part, &entries[i]);
            STATUS_TRY(text_read(part, &entries[i], bytes));
            if (!sink(context, entries[i].kind, bytes_of(bytes, entries[i].text_bytes), &list))
                return status_ok();
        }
        number += count;
    }
    return status_ok();
}

/* ---- lists ---- */

static struct posting_source source_of(const struct part *part)
{
    const struct part_layout *layout = &part->layout;
    return (struct posting_source){
        .reader = part->reader,
        .at = layout->lists_at,
        .end = layout->texts_at,
        .first_position = layout->facts.first_position,
        .last_position = layout->facts.first_position + layout->facts.count - 1,
    };
}

struct status part_list_read(const struct part *part, const struct posting_list *list, uint32_t from,
                             int64_t *ret, uint32_t count)
{
    const struct posting_source source = source_of(part);
    return posting_read(&source, list, from, ret, count);
}

struct status part_list_behind(const struct part *part, const struct posting_list *list, int64_t position,
                               uint32_t *ret)
{
    const struct posting_source source = source_of(part);
    return posting_behind(&source, list, position, ret);
}

/* ---- time ---- */

static struct status samples_read(const struct part *part, uint32_t number, uint32_t count,
                                  int64_t ret[SAMPLES_AT_ONCE])
{
    uint8_t bytes[SAMPLES_AT_ONCE * SAMPLE_BYTES];
    assert(count <= SAMPLES_AT_ONCE);
    STATUS_TRY(index_reader_read(part->reader, part->layout.samples_at + (uint64_t)number * SAMPLE_BYTES,
                                 bytes, (size_t)count * SAMPLE_BYTES));
    for (uint32_t i = 0; i < count; i++)
        ret[i] = (int64_t)get_u64_le(bytes + (size_t)i * SAMPLE_BYTES);
    return status_ok();
}

struct status part_sample(const struct part *part, int64_t time_us, int64_t *ret_position)
{
    int64_t times[SAMPLES_AT_ONCE];
    uint32_t low = 0; /* the sample is in [low, high): that of `low` is not later than the time */
    uint32_t high = part_sample_count(part->layout.facts.count);
    while (high - low > SAMPLES_AT_ONCE) {
        const uint32_t middle = low + (high - low) / 2;
        STATUS_TRY(samples_read(part, middle, 1, times));
        if (times[0] <= time_us)
            low = middle;
        else
            high = middle;
    }
    STATUS_TRY(samples_read(part, low, high - low, times));
    uint32_t i = 0;
    while (i + 1 < high - low && times[i + 1] <= time_us)
        i++;
    *ret_position = part->layout.facts.first_position + (int64_t)(low + i) * PART_SAMPLE_EVENTS;
    return status_ok();
}

/* ---- checking ---- */

static struct status samples_check(const struct part *part)
{
    const uint32_t all = part_sample_count(part->layout.facts.count);
    int64_t before = INT64_MIN;
    for (uint32_t number = 0; number < all;) {
        int64_t times[SAMPLES_AT_ONCE];
        const uint32_t count = all - number < SAMPLES_AT_ONCE ? all - number : SAMPLES_AT_ONCE;
        STATUS_TRY(samples_read(part, number, count, times));
        for (uint32_t i = 0; i < count; i++) {
            if (times[i] < before)
                return damaged(part, "its times do not rise");
            before = times[i];
        }
        number += count;
    }
    return status_ok();
}

static struct status terms_check(const struct part *part)
{
    const struct posting_source source = source_of(part);
    uint64_t before = 0;
    for (uint32_t number = 0; number < part->layout.term_count;) {
        struct part_term_entry entries[TERMS_AT_ONCE];
        const uint32_t left = part->layout.term_count - number;
        const uint32_t count = left < TERMS_AT_ONCE ? left : TERMS_AT_ONCE;
        STATUS_TRY(terms_read(part, number, count, entries));
        for (uint32_t i = 0; i < count; i++) {
            uint8_t text[UINT16_MAX];
            const struct posting_list list = list_of(part, &entries[i]);
            STATUS_TRY(text_read(part, &entries[i], text));
            const uint64_t hash = part_term_hash(index_reader_nonce(part->reader), entries[i].kind,
                                                 bytes_of(text, entries[i].text_bytes));
            if (entries[i].hash < before || entries[i].hash != hash)
                return damaged(part, "its terms are not in order");
            before = entries[i].hash;
            STATUS_TRY(posting_check(&source, &list));
        }
        number += count;
    }
    return status_ok();
}

struct status part_check(const struct part *part)
{
    STATUS_TRY(index_reader_check(part->reader));
    STATUS_TRY(samples_check(part));
    return terms_check(part);
}

uint64_t part_size_bytes(const struct part *part)
{
    return index_reader_size_bytes(part->reader);
}

uint64_t part_resident_bytes(const struct part *part)
{
    (void)part;
    return sizeof *part;
}
