#include "base/text.h"

#include <string.h>

#define HIGH_BITS UINT64_C(0x8080808080808080)

size_t utf8_sequence(struct bytes text, size_t at, uint32_t *ret_point)
{
    const uint8_t *s = text.data + at;
    const size_t left = text.size_bytes - at;
    if (s[0] < 0x80) {
        *ret_point = s[0];
        return 1;
    }
    const size_t size = s[0] >= 0xF0 ? 4 : s[0] >= 0xE0 ? 3 : 2;
    if (s[0] < 0xC2 || s[0] > 0xF4 || left < size)
        return 0;
    uint32_t point = s[0] & (0x7FU >> size);
    for (size_t i = 1; i < size; i++) {
        if ((s[i] & 0xC0) != 0x80)
            return 0;
        point = point << 6 | (s[i] & 0x3FU);
    }
    /* RFC 3629 4. */
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (point < least[size] || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF))
        return 0;
    *ret_point = point;
    return size;
}

bool utf8_is_valid(struct bytes text)
{
    size_t at = 0;
    while (at < text.size_bytes) {
        if (text.size_bytes - at >= sizeof(uint64_t)) {
            uint64_t word;
            memcpy(&word, text.data + at, sizeof word);
            if ((word & HIGH_BITS) == 0) {
                at += sizeof word;
                continue;
            }
        }
        uint32_t point = 0;
        const size_t size = utf8_sequence(text, at, &point);
        if (size == 0)
            return false;
        at += size;
    }
    return true;
}

static bool is_control(uint32_t point)
{
    return point < 0x20 || (point >= 0x7F && point <= 0x9F);
}

/* Unicode's White_Space property. */
static bool is_white_space(uint32_t point)
{
    return point == 0x20 || (point >= 0x09 && point <= 0x0D) || point == 0x85 || point == 0xA0 ||
           point == 0x1680 || (point >= 0x2000 && point <= 0x200A) || point == 0x2028 || point == 0x2029 ||
           point == 0x202F || point == 0x205F || point == 0x3000;
}

#define ID_ALLOWED                                                                                           \
    "an id is 1 to 255 bytes of UTF-8 without control characters or white space, not \".\" or \"..\""

#define REPEAT(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Eight characters from '!' to '~', of which nearly all ids are made. Without a top bit no sum carries over. */
static bool is_visible_ascii(const uint8_t *eight)
{
    uint64_t word;
    memcpy(&word, eight, sizeof word);
    return ((word | (word + REPEAT(1))) & HIGH_BITS) == 0 && ((word + REPEAT(0x5F)) & HIGH_BITS) == HIGH_BITS;
}

static struct status check_characters(const char *field, struct bytes id)
{
    for (size_t at = 0; at < id.size_bytes;) {
        if (id.size_bytes - at >= sizeof(uint64_t) && is_visible_ascii(id.data + at)) {
            at += sizeof(uint64_t);
            continue;
        }
        uint32_t point = 0;
        const size_t size = utf8_sequence(id, at, &point);
        if (size == 0)
            return status_reason(REASON_INVALID_ID, "%s is not UTF-8 at byte %zu; " ID_ALLOWED, field, at);
        if (is_control(point))
            return status_reason(REASON_INVALID_ID,
                                 "%s has the control character U+%04X at byte %zu; " ID_ALLOWED, field, point,
                                 at);
        if (is_white_space(point))
            return status_reason(REASON_INVALID_ID, "%s has the white space U+%04X at byte %zu; " ID_ALLOWED,
                                 field, point, at);
        at += size;
    }
    return status_ok();
}

struct status id_check(const char *field, struct bytes id, enum id_rule rule)
{
    if (id.size_bytes == 0) {
        if ((rule & ID_OPTIONAL) != 0)
            return status_ok();
        return status_reason(REASON_INVALID_ID, "%s is empty; " ID_ALLOWED, field);
    }
    if (id.size_bytes > ID_MAX_BYTES)
        return status_reason(REASON_INVALID_ID, "%s is %zu bytes long; " ID_ALLOWED, field, id.size_bytes);
    STATUS_TRY(check_characters(field, id));
    if (bytes_equal(id, BYTES_LITERAL(".")) || bytes_equal(id, BYTES_LITERAL("..")))
        return status_reason(REASON_INVALID_ID, "%s is \"%.*s\"; " ID_ALLOWED, field, BYTES_FORMAT(id));
    if (id.data[0] == '$' && (rule & ID_SYSTEM_ALLOWED) == 0)
        return status_reason(REASON_INVALID_ID,
                             "%s is \"%.*s\"; names that begin with '$' are the system's, choose another",
                             field, BYTES_FORMAT(id));
    return status_ok();
}
