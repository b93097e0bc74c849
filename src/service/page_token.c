/*
 * Hexadecimal of: u64 LE filter · u64 LE head · u64 LE at · u32 LE version · id · u32 LE
 * CRC-32C of all before. The checksum finds a token that was cut or mistyped; a forged one can
 * only read what its caller may read anyway.
 */
#include "service/page_token_internal.h"

#include <string.h>

#include "base/crypto.h"
#include "base/text.h"

#define FIXED_BYTES ((size_t)28)
#define CRC_BYTES   ((size_t)4)
#define TOKEN_MAX   (FIXED_BYTES + ID_MAX_BYTES + CRC_BYTES)

struct first_event {
    struct sha256 leaf;
    bool found;
};

static bool take_first(void *context, int64_t position, struct record record)
{
    struct first_event *first = context;
    first->found = position == 1;
    if (first->found)
        first->leaf = record_leaf(record);
    return false;
}

/* The leaf of the first event tells stores apart, whatever they are called: a random salt is in it. Zeros while there
 * is none, and so no second page of anything. */
static struct status store_origin(struct service *service, struct sha256 *ret)
{
    pthread_mutex_lock(&service->origin_lock);
    const bool known = service->origin_known;
    *ret = service->origin;
    pthread_mutex_unlock(&service->origin_lock);
    struct event_store *store = service->parts.store;
    struct store_head head = {0};
    if (!known)
        STATUS_TRY(store->ops->head(store, &head));
    if (known || head.position == 0)
        return status_ok();
    struct first_event first = {.found = false};
    const struct read_query query = {.by = READ_BY_POSITION, .to_position = 1, .to_version = INT32_MAX};
    STATUS_TRY(store->ops->read(store, &query, take_first, &first));
    if (!first.found)
        return status_position_missing(1);
    pthread_mutex_lock(&service->origin_lock);
    service->origin = first.leaf;
    service->origin_known = true;
    pthread_mutex_unlock(&service->origin_lock);
    *ret = first.leaf;
    return status_ok();
}

struct status page_filter(struct service *service, const ProtobufCMessage *request, struct arena *arena,
                          uint64_t *ret)
{
    const size_t size_bytes = protobuf_c_message_get_packed_size(request);
    uint8_t *packed = arena_alloc(arena, size_bytes);
    if (packed == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the page token");
    (void)protobuf_c_message_pack(request, packed); /* writes exactly what it has just counted */
    struct sha256 origin;
    STATUS_TRY(store_origin(service, &origin));
    const struct bytes parts[] = {
        bytes_of(origin.bytes, sizeof origin.bytes),
        bytes_of_text(request->descriptor->name),
        bytes_of("", 1), /* ends the name */
        bytes_of(packed, size_bytes),
    };
    const struct sha256 digest = sha256_of(parts, ARRAY_COUNT(parts));
    *ret = get_u64_le(digest.bytes);
    return status_ok();
}

char *page_token_write(struct arena *arena, uint64_t filter, const struct page_token *token)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t bytes[TOKEN_MAX];
    put_u64_le(bytes, filter);
    put_u64_le(bytes + 8, (uint64_t)token->head);
    put_u64_le(bytes + 16, (uint64_t)token->at);
    put_u32_le(bytes + 24, (uint32_t)token->version);
    if (token->id.size_bytes > 0)
        memcpy(bytes + FIXED_BYTES, token->id.data, token->id.size_bytes);
    const size_t checked = FIXED_BYTES + token->id.size_bytes;
    put_u32_le(bytes + checked, crc32c(0, bytes_of(bytes, checked)));
    const size_t size_bytes = checked + CRC_BYTES;
    char *text = arena_alloc(arena, 2 * size_bytes + 1);
    if (text == NULL)
        return NULL;
    for (size_t i = 0; i < size_bytes; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    text[2 * size_bytes] = '\0';
    return text;
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool token_decode(const char *text, uint8_t bytes[TOKEN_MAX], size_t *ret_size_bytes)
{
    const size_t length = strlen(text);
    if (length % 2 != 0 || length < 2 * (FIXED_BYTES + CRC_BYTES) || length > 2 * TOKEN_MAX)
        return false;
    for (size_t i = 0; i < length; i += 2) {
        const int high = digit_of(text[i]);
        const int low = digit_of(text[i + 1]);
        if (high < 0 || low < 0)
            return false;
        bytes[i / 2] = (uint8_t)(high << 4 | low);
    }
    *ret_size_bytes = length / 2;
    const size_t checked = length / 2 - CRC_BYTES;
    return get_u32_le(bytes + checked) == crc32c(0, bytes_of(bytes, checked));
}

struct status page_token_read(const char *text, uint64_t filter, int64_t head, struct arena *arena,
                              struct page_token *ret)
{
    uint8_t bytes[TOKEN_MAX];
    size_t size_bytes = 0;
    if (!token_decode(text, bytes, &size_bytes))
        return status_reason(
            REASON_INVALID_FIELD,
            "page_token is not one that a former page answered; take next_page_token as it is, or "
            "leave it out to begin anew");
    if (get_u64_le(bytes) != filter)
        return status_reason(
            REASON_INVALID_FIELD,
            "page_token belongs to another store, or to a listing with other filters; repeat the request of "
            "its first page, or leave it out to begin anew");
    ret->head = (int64_t)get_u64_le(bytes + 8);
    ret->at = (int64_t)get_u64_le(bytes + 16);
    ret->version = (int32_t)get_u32_le(bytes + 24);
    ret->id = arena_bytes(arena, bytes_of(bytes + FIXED_BYTES, size_bytes - FIXED_BYTES - CRC_BYTES));
    if (ret->head < 0 || ret->head > head || ret->at < 0)
        return status_reason(
            REASON_INVALID_FIELD,
            "page_token names position %lld and the head is %lld: it comes from another store; leave it "
            "out to begin anew",
            (long long)ret->head, (long long)head);
    return status_ok();
}
