#include <assert.h>
#include <stdlib.h>

#include "part_format_internal.h"
#include "posting_codec_internal.h"
#include "store/embedded/index/index_part.h"

#define TEXT_MAX_BYTES 65535U

struct term {
    struct part_term_entry entry;
    struct bytes text;        /* borrowed until part_builder_write() has returned */
    const int64_t *positions; /* the same */
};

struct part_builder {
    struct part_facts facts;
    struct buffer places;  /* as in the file */
    struct buffer samples; /* as in the file */
    struct buffer terms;   /* of struct term */
    uint32_t place_count;
};

struct status part_builder_new(const struct part_facts *facts, struct part_builder **ret)
{
    assert(facts->first_position >= 1);
    assert(facts->count >= 1);
    struct part_builder *builder = calloc(1, sizeof *builder);
    if (builder == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to index a segment");
    builder->facts = *facts;
    builder->places = buffer_make(0);
    builder->samples = buffer_make(0);
    builder->terms = buffer_make(0);
    *ret = builder;
    return status_ok();
}

void part_builder_free(struct part_builder *builder)
{
    if (builder == NULL)
        return;
    buffer_done(&builder->places);
    buffer_done(&builder->samples);
    buffer_done(&builder->terms);
    free(builder);
}

struct status part_builder_add_place(struct part_builder *builder, struct place place, int64_t timestamp_us)
{
    assert(builder->place_count < builder->facts.count);
    uint8_t *to = buffer_extend(&builder->places, PLACE_BYTES);
    if (to == NULL)
        return buffer_status(&builder->places);
    put_u32_le(to, place.offset);
    put_u32_le(to + 4, place.header_crc);
    if (builder->place_count++ % PART_SAMPLE_EVENTS != 0)
        return status_ok();
    to = buffer_extend(&builder->samples, SAMPLE_BYTES);
    if (to == NULL)
        return buffer_status(&builder->samples);
    put_u64_le(to, (uint64_t)timestamp_us);
    return status_ok();
}

struct status part_builder_add_term(struct part_builder *builder, enum part_term_kind kind, struct bytes text,
                                    const int64_t *positions, size_t count)
{
    const struct part_facts *facts = &builder->facts;
    assert(count >= 1);
    assert(count <= facts->count);
    assert(positions[0] >= facts->first_position);
    assert(positions[count - 1] < facts->first_position + facts->count);
    assert(text.size_bytes <= TEXT_MAX_BYTES);
    struct term *term = (struct term *)(void *)buffer_extend(&builder->terms, sizeof *term);
    if (term == NULL)
        return buffer_status(&builder->terms);
    *term = (struct term){
        .entry = {.text_bytes = (uint32_t)text.size_bytes,
                  .kind = kind,
                  .count = (uint32_t)count,
                  .last_delta = (uint32_t)(positions[count - 1] - facts->first_position)},
        .text = text,
        .positions = positions,
    };
    return status_ok();
}

static int term_order(const void *a, const void *b)
{
    const uint64_t first = ((const struct term *)a)->entry.hash;
    const uint64_t second = ((const struct term *)b)->entry.hash;
    return first < second ? -1 : first > second;
}

/* Sorts the terms and fills their entries; what the file holds behind them goes to the buffers. */
static struct status terms_prepare(struct term *terms, size_t count, uint32_t nonce, struct buffer *lists,
                                   struct buffer *texts, const struct index_pace *pace)
{
    for (size_t i = 0; i < count; i++)
        terms[i].entry.hash = part_term_hash(nonce, terms[i].entry.kind, terms[i].text);
    if (count > 1)
        qsort(terms, count, sizeof *terms, term_order);
    for (size_t i = 0; i < count; i++) {
        struct part_term_entry *entry = &terms[i].entry;
        entry->list_quarter = (uint32_t)(lists->size_bytes / POSTING_ALIGN_BYTES);
        entry->text_at = (uint32_t)texts->size_bytes;
        if (entry->count > 1)
            posting_encode(lists, terms[i].positions, entry->count, pace);
        buffer_add_bytes(texts, terms[i].text);
        index_pace_rest(pace);
    }
    STATUS_TRY(buffer_status(lists));
    STATUS_TRY(buffer_status(texts));
    if (texts->size_bytes > UINT32_MAX || lists->size_bytes / POSTING_ALIGN_BYTES > UINT32_MAX)
        return status_error(STATUS_OUT_OF_RANGE,
                            "the types of one segment have over 4 GiB of text or positions");
    return status_ok();
}

static struct status sections_write(const struct part_builder *builder, struct index_writer *writer,
                                    const struct term *terms, size_t term_count, const struct buffer *lists,
                                    const struct buffer *texts)
{
    STATUS_TRY(index_writer_add(writer, builder->places.data, builder->places.size_bytes));
    STATUS_TRY(index_writer_add(writer, builder->samples.data, builder->samples.size_bytes));
    for (size_t i = 0; i < term_count; i++) {
        uint8_t bytes[TERM_BYTES];
        part_term_encode(&terms[i].entry, bytes);
        STATUS_TRY(index_writer_add(writer, bytes, sizeof bytes));
    }
    STATUS_TRY(index_writer_add(writer, lists->data, lists->size_bytes));
    STATUS_TRY(index_writer_add(writer, texts->data, texts->size_bytes));
    uint8_t header[INDEX_PAGE_BYTES] = {0};
    part_layout_encode(&(struct part_layout){.facts = builder->facts,
                                             .term_count = (uint32_t)term_count,
                                             .list_bytes = lists->size_bytes,
                                             .text_bytes = texts->size_bytes},
                       header);
    return index_writer_finish(writer, INDEX_PART_MAGIC, header);
}

struct status part_builder_write(struct part_builder *builder, struct files *files, const char *folder,
                                 const uint8_t store_uuid[INDEX_UUID_BYTES], uint32_t nonce,
                                 const struct index_pace *pace)
{
    assert(builder->place_count == builder->facts.count);
    char name[INDEX_NAME_MAX_BYTES];
    index_part_name(builder->facts.first_position, name);
    const struct index_place place = {files, folder, name, store_uuid};
    struct term *terms = (struct term *)(void *)builder->terms.data;
    const size_t term_count = builder->terms.size_bytes / sizeof *terms;
    struct buffer lists = buffer_make(0);
    struct buffer texts = buffer_make(0);
    struct index_writer *writer = NULL;
    struct status status = terms_prepare(terms, term_count, nonce, &lists, &texts, pace);
    if (status.code == STATUS_OK)
        status = index_writer_open(&place, nonce, pace, &writer);
    if (status.code == STATUS_OK)
        status = sections_write(builder, writer, terms, term_count, &lists, &texts);
    index_writer_free(writer);
    buffer_done(&lists);
    buffer_done(&texts);
    return status;
}
