#include "base/json.h"

#include <assert.h>
#include <string.h>

#include "base/json_internal.h"

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    const uint8_t lower = c | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

int32_t json_hex4(const uint8_t *at, const uint8_t *end)
{
    if (end - at < 4)
        return -1;
    int32_t unit = 0;
    for (int i = 0; i < 4; i++) {
        const int digit = hex_value(at[i]);
        if (digit < 0)
            return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

static size_t put_utf8(uint8_t *to, uint32_t point)
{
    if (point < 0x80) {
        to[0] = (uint8_t)point;
        return 1;
    }
    const size_t size = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t i = size - 1; i > 0; i--) {
        to[i] = (uint8_t)(0x80 | (point & 0x3F));
        point >>= 6;
    }
    to[0] = (uint8_t)((0xF00U >> size) | point); /* C0, E0 or F0: as many ones as bytes */
    return size;
}

/* Replaces one escape at `at`, which a reader has checked; gives the bytes read and written. */
static size_t put_escape(const uint8_t *at, const uint8_t *end, uint8_t *to, size_t *ret_written)
{
    static const char letters[] = "\"\\/bfnrt";
    static const uint8_t meanings[] = "\"\\/\b\f\n\r\t";
    if (at[1] != 'u') {
        const char *letter = strchr(letters, at[1]);
        assert(letter != NULL);
        *to = meanings[letter - letters];
        *ret_written = 1;
        return 2;
    }
    uint32_t point = (uint32_t)json_hex4(at + 2, end);
    size_t read = 6;
    if (point >= 0xD800 && point <= 0xDBFF) {
        point = 0x10000 + ((point - 0xD800) << 10) + ((uint32_t)json_hex4(at + 8, end) - 0xDC00);
        read = 12;
    }
    assert(point <= 0x10FFFF);
    *ret_written = put_utf8(to, point);
    return read;
}

struct status json_unescape(struct arena *arena, const struct json_token *token, struct bytes *ret)
{
    assert(token->kind == JSON_STRING || token->kind == JSON_NAME);
    assert(token->text.size_bytes >= 2);
    const uint8_t *at = token->text.data + 1;
    const uint8_t *end = token->text.data + token->text.size_bytes - 1;
    if (!token->escaped) {
        *ret = bytes_of(at, (size_t)(end - at));
        return status_ok();
    }
    uint8_t *content =
        arena_alloc(arena, (size_t)(end - at)); /* an escape is longer than what it stands for */
    if (content == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory left for a string of %zu bytes",
                            token->text.size_bytes);
    uint8_t *to = content;
    while (at < end) {
        const uint8_t *escape = memchr(at, '\\', (size_t)(end - at));
        const size_t plain = (size_t)((escape == NULL ? end : escape) - at);
        memcpy(to, at, plain);
        to += plain;
        at += plain;
        if (at < end) {
            size_t written = 0;
            at += put_escape(at, end, to, &written);
            to += written;
        }
    }
    *ret = bytes_of(content, (size_t)(to - content));
    return status_ok();
}

static bool must_be_escaped(uint8_t c)
{
    return c < 0x20 || c == '"' || c == '\\';
}

#define EACH_BYTE(c) (UINT64_C(0x0101010101010101) * (c))
#define HIGH_BITS    EACH_BYTE(0x80)
#define ZERO_BYTE(word)                                                                                      \
    (((word)-EACH_BYTE(1)) & ~(word)) /* its high bit is set in a byte of zero, below it exactly */

/* How many bytes from `at` on stand for themselves; eight at a time as long as none of them must be escaped. */
static size_t plain_bytes(const uint8_t *text, size_t size_bytes)
{
    size_t at = 0;
    for (; size_bytes - at >= sizeof(uint64_t); at += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, text + at, sizeof word);
        const uint64_t control = (word - EACH_BYTE(0x20)) & ~word;
        const uint64_t quote = word ^ EACH_BYTE('"');
        const uint64_t backslash = word ^ EACH_BYTE('\\');
        if (((control | ZERO_BYTE(quote) | ZERO_BYTE(backslash)) & HIGH_BITS) != 0)
            break;
    }
    while (at < size_bytes && !must_be_escaped(text[at]))
        at++;
    return at;
}

void json_add_string(struct buffer *to, struct bytes content)
{
    static const char hex[] = "0123456789abcdef";
    static const char letters[0x20] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    size_t at = plain_bytes(content.data, content.size_bytes);
    uint8_t *room = buffer_extend(to, at + 2); /* nearly always it is all */
    if (room == NULL)
        return; /* the buffer tells */
    *room = '"';
    if (at > 0)
        memcpy(room + 1, content.data, at);
    room[at + 1] = '"';
    if (at == content.size_bytes)
        return;
    to->size_bytes--;
    while (at < content.size_bytes) {
        const uint8_t c = content.data[at];
        const char letter = c < 0x20 ? letters[c] : (char)c;
        if (letter != '\0') {
            buffer_add(to, (const char[]){'\\', letter}, 2);
        } else {
            buffer_add(to, (const char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
        }
        const size_t plain = plain_bytes(content.data + at + 1, content.size_bytes - at - 1);
        buffer_add(to, content.data + at + 1, plain);
        at += 1 + plain;
    }
    buffer_add_byte(to, '"');
}
