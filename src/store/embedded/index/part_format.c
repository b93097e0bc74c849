#include "part_format_internal.h"

#include <xxhash.h>

uint32_t part_sample_count(uint32_t event_count)
{
    return event_count / PART_SAMPLE_EVENTS + (event_count % PART_SAMPLE_EVENTS != 0);
}

void part_layout_encode(const struct part_layout *layout, uint8_t header[INDEX_PAGE_BYTES])
{
    const struct part_facts *facts = &layout->facts;
    put_u64_le(header + 48, (uint64_t)facts->first_position);
    put_u32_le(header + 56, facts->count);
    put_u32_le(header + 60, facts->system_count);
    put_u32_le(header + 64, facts->created_count);
    put_u32_le(header + 68, layout->term_count);
    put_u64_le(header + 72, facts->segment_epoch);
    put_u64_le(header + 80, facts->end_offset);
    memcpy(header + 88, facts->chain.bytes, SHA256_BYTES);
    put_u64_le(header + 120, (uint64_t)facts->first_timestamp_us);
    put_u64_le(header + 128, (uint64_t)facts->timestamp_us);
    put_u64_le(header + 136, facts->writer_epoch);
    put_u64_le(header + 144, layout->list_bytes);
    put_u64_le(header + 152, layout->text_bytes);
}

bool part_layout_decode(const uint8_t header[INDEX_PAGE_BYTES], struct part_layout *ret)
{
    struct part_facts *facts = &ret->facts;
    facts->first_position = (int64_t)get_u64_le(header + 48);
    facts->count = get_u32_le(header + 56);
    facts->system_count = get_u32_le(header + 60);
    facts->created_count = get_u32_le(header + 64);
    ret->term_count = get_u32_le(header + 68);
    facts->segment_epoch = get_u64_le(header + 72);
    facts->end_offset = get_u64_le(header + 80);
    memcpy(facts->chain.bytes, header + 88, SHA256_BYTES);
    facts->first_timestamp_us = (int64_t)get_u64_le(header + 120);
    facts->timestamp_us = (int64_t)get_u64_le(header + 128);
    facts->writer_epoch = get_u64_le(header + 136);
    ret->list_bytes = get_u64_le(header + 144);
    ret->text_bytes = get_u64_le(header + 152);
    if (facts->first_position < 1 || facts->count == 0 || facts->first_position > INT64_MAX - facts->count ||
        ret->list_bytes > (uint64_t)1 << 34 || ret->text_bytes > UINT32_MAX)
        return false;
    ret->places_at = INDEX_PAGE_DATA_BYTES;
    ret->samples_at = ret->places_at + (uint64_t)facts->count * PLACE_BYTES;
    ret->terms_at = ret->samples_at + (uint64_t)part_sample_count(facts->count) * SAMPLE_BYTES;
    ret->lists_at = ret->terms_at + (uint64_t)ret->term_count * TERM_BYTES;
    ret->texts_at = ret->lists_at + ret->list_bytes;
    ret->end = ret->texts_at + ret->text_bytes;
    return true;
}

uint64_t part_term_hash(uint32_t nonce, enum part_term_kind kind, struct bytes text)
{
    return XXH3_64bits_withSeed(text.data, text.size_bytes, nonce + ((uint64_t)kind << 32));
}

void part_term_encode(const struct part_term_entry *entry, uint8_t to[TERM_BYTES])
{
    put_u64_le(to, entry->hash);
    put_u32_le(to + 8, entry->text_at);
    index_put_u16(to + 12, entry->text_bytes);
    to[14] = (uint8_t)entry->kind;
    to[15] = 0;
    put_u32_le(to + 16, entry->count);
    put_u32_le(to + 20, entry->last_delta);
    put_u32_le(to + 24, entry->list_quarter);
    put_u32_le(to + 28, 0);
}

void part_term_decode(const uint8_t from[TERM_BYTES], struct part_term_entry *ret)
{
    ret->hash = get_u64_le(from);
    ret->text_at = get_u32_le(from + 8);
    ret->text_bytes = index_get_u16(from + 12);
    ret->kind = (enum part_term_kind)from[14];
    ret->count = get_u32_le(from + 16);
    ret->last_delta = get_u32_le(from + 20);
    ret->list_quarter = get_u32_le(from + 24);
}
