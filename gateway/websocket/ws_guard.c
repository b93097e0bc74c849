/*
 * Judges the client's frames (RFC 6455 5.2 to 5.5, 7.4 and 8.1) before libwebsockets sees them, byte by byte however they
 * arrive. What libwebsockets would refuse is refused here too: it cuts such connections, and the close frame that says why
 * is then lost now and then. It never gets the byte that completes a fault.
 *
 * Nor does it get pings: while it owes the pong of one it drops the next, and a client that waits for that one's pong waits
 * for ever. They reach it as pongs, which it ignores, and the pongs for them are written like messages.
 *
 *     FIRST ─► SECOND ─► LENGTH (0, 2 or 8 bytes) ─► MASK (4) ─► PAYLOAD ─► FIRST
 *                                                                   └─ of a close frame ─► OVER
 */
#include <string.h>

#include "gateway/websocket/websocket_internal.h"

enum guard_state { GUARD_FIRST, GUARD_SECOND, GUARD_LENGTH, GUARD_MASK, GUARD_PAYLOAD, GUARD_OVER };

#define OPCODE_CONTINUATION 0x0U
#define OPCODE_TEXT         0x1U
#define OPCODE_BINARY       0x2U
#define OPCODE_CLOSE        0x8U
#define OPCODE_PING         0x9U
#define OPCODE_PONG         0xaU

static const struct ws_breach not_masked = {1002, "a frame is not masked"};
static const struct ws_breach reserved = {1002, "a frame has a reserved bit or an unknown opcode"};
static const struct ws_breach control_split = {1002, "a control frame is fragmented"};
static const struct ws_breach control_long = {1002, "a control frame is longer than 125 bytes"};
static const struct ws_breach not_begun = {1002, "a continuation of no message"};
static const struct ws_breach not_ended = {1002, "a message begins before the last one has ended"};
static const struct ws_breach close_short = {1002, "a close frame of one byte"};
static const struct ws_breach close_code = {1002, "a close code that must not be sent"};
static const struct ws_breach binary = {1003, "binary is not understood; send text"};
static const struct ws_breach not_utf8 = {1007, "the text is not valid UTF-8"};
static const struct ws_breach too_large = {1009, "the message is too large"};

/* --- UTF-8, one byte after the other (RFC 3629 4) --- */

static bool utf8_first(struct ws_utf8 *utf8, uint8_t byte)
{
    if (byte < 0x80)
        return true;
    if (byte < 0xc2 || byte > 0xf4)
        return false;
    utf8->left = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    /* No overlong forms, no surrogates, nothing above U+10FFFF. */
    utf8->low = byte == 0xe0 ? 0xa0 : byte == 0xf0 ? 0x90 : 0x80;
    utf8->high = byte == 0xed ? 0x9f : byte == 0xf4 ? 0x8f : 0xbf;
    return true;
}

static bool utf8_take(struct ws_utf8 *utf8, uint8_t byte)
{
    if (utf8->left == 0)
        return utf8_first(utf8, byte);
    if (byte < utf8->low || byte > utf8->high)
        return false;
    utf8->left--;
    utf8->low = 0x80;
    utf8->high = 0xbf;
    return true;
}

/* --- a frame's head --- */

static unsigned opcode_of(const struct ws_guard *guard)
{
    return guard->first & 0x0fU;
}

static bool is_control(const struct ws_guard *guard)
{
    return (guard->first & 0x08U) != 0;
}

static bool is_final(const struct ws_guard *guard)
{
    return (guard->first & 0x80U) != 0;
}

/* May a frame that begins with this byte come now? */
static const struct ws_breach *take_first(struct ws_guard *guard, uint8_t byte)
{
    guard->first = byte;
    guard->state = GUARD_SECOND;
    const unsigned opcode = opcode_of(guard);
    if ((guard->first & 0x70U) != 0 || opcode > OPCODE_PONG ||
        (opcode > OPCODE_BINARY && opcode < OPCODE_CLOSE))
        return &reserved; /* no extension was agreed on */
    if (is_control(guard))
        return is_final(guard) ? NULL : &control_split;
    if (opcode == OPCODE_BINARY)
        return &binary;
    if (opcode == OPCODE_CONTINUATION)
        return guard->message_open ? NULL : &not_begun;
    return guard->message_open ? &not_ended : NULL;
}

static const struct ws_breach *check_size(const struct ws_guard *guard)
{
    /* Also while the length is still arriving: then it cannot overflow. */
    return !is_control(guard) && guard->payload_left > guard->message_max_bytes - guard->message_bytes
               ? &too_large
               : NULL;
}

static const struct ws_breach *take_second(struct ws_guard *guard, uint8_t byte)
{
    const unsigned length = byte & 0x7fU;
    if ((byte & 0x80U) == 0)
        return &not_masked; /* RFC 6455 5.1: the server must close */
    if (is_control(guard) && length > WS_CONTROL_MAX_BYTES)
        return &control_long;
    if (opcode_of(guard) == OPCODE_CLOSE && length == 1)
        return &close_short;
    guard->payload_at = 0;
    guard->mask_at = 0;
    guard->length_left = length == 127 ? 8 : length == 126 ? 2 : 0;
    guard->payload_left = guard->length_left == 0 ? length : 0;
    guard->state = guard->length_left == 0 ? GUARD_MASK : GUARD_LENGTH;
    return check_size(guard);
}

static const struct ws_breach *take_length(struct ws_guard *guard, uint8_t byte)
{
    guard->payload_left = guard->payload_left << 8 | byte;
    if (--guard->length_left == 0)
        guard->state = GUARD_MASK;
    return check_size(guard);
}

/* --- a frame's payload and end --- */

static const struct ws_breach *frame_ended(struct ws_guard *guard)
{
    guard->state = opcode_of(guard) == OPCODE_CLOSE ? GUARD_OVER : GUARD_FIRST;
    if (opcode_of(guard) == OPCODE_CLOSE)
        return guard->reason.left == 0 ? NULL : &not_utf8;
    if (opcode_of(guard) == OPCODE_PING) {
        guard->pinged = true;
        guard->ping_bytes = (size_t)guard->payload_at;
    }
    if (is_control(guard))
        return NULL;
    guard->message_open = !is_final(guard);
    if (guard->message_open)
        return NULL;
    guard->message_bytes = 0;
    return guard->text.left == 0 ? NULL : &not_utf8;
}

static const struct ws_breach *take_mask(struct ws_guard *guard, uint8_t byte)
{
    guard->mask[guard->mask_at++] = byte;
    if (guard->mask_at < sizeof guard->mask)
        return NULL;
    if (!is_control(guard))
        guard->message_bytes += (size_t)guard->payload_left;
    guard->state = GUARD_PAYLOAD;
    return guard->payload_left == 0 ? frame_ended(guard) : NULL;
}

/* RFC 6455 7.4: defined, registered by IANA since, or of libraries and applications. */
static bool close_code_is_good(unsigned code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

static const struct ws_breach *take_close(struct ws_guard *guard, uint8_t byte)
{
    if (guard->payload_at == 0) {
        guard->close_high = byte;
        return NULL;
    }
    if (guard->payload_at == 1)
        return close_code_is_good((unsigned)guard->close_high << 8 | byte) ? NULL : &close_code;
    return utf8_take(&guard->reason, byte) ? NULL : &not_utf8;
}

/* How many of these bytes are ASCII, in whole eights: most text is, and is passed over quickly. */
static size_t ascii_run(const struct ws_guard *guard, struct bytes bytes)
{
    uint8_t turned[8];
    uint64_t mask;
    size_t at = 0;
    for (size_t i = 0; i < sizeof turned; i++)
        turned[i] = guard->mask[(guard->payload_at + i) % sizeof guard->mask];
    memcpy(&mask, turned, sizeof mask);
    for (; at + sizeof mask <= bytes.size_bytes; at += sizeof mask) {
        uint64_t eight;
        memcpy(&eight, bytes.data + at, sizeof eight);
        if (((eight ^ mask) & UINT64_C(0x8080808080808080)) != 0)
            break;
    }
    return at;
}

static const struct ws_breach *take_payload_byte(struct ws_guard *guard, uint8_t byte)
{
    const uint8_t plain = byte ^ guard->mask[guard->payload_at % sizeof guard->mask];
    const struct ws_breach *breach = NULL;
    if (opcode_of(guard) == OPCODE_CLOSE)
        breach = take_close(guard, plain);
    else if (opcode_of(guard) == OPCODE_PING)
        guard->ping[guard->payload_at] = plain;
    else if (!is_control(guard) && !utf8_take(&guard->text, plain))
        breach = &not_utf8;
    guard->payload_at++;
    return breach != NULL || --guard->payload_left > 0 ? breach : frame_ended(guard);
}

/* Passes over what needs no look at each byte, but for the frame's last one; how much that was. */
static size_t skip_payload(struct ws_guard *guard, struct bytes bytes)
{
    struct bytes rest = bytes;
    if (rest.size_bytes >= guard->payload_left)
        rest.size_bytes = (size_t)guard->payload_left - 1;
    size_t size = rest.size_bytes;
    if (opcode_of(guard) == OPCODE_CLOSE || opcode_of(guard) == OPCODE_PING)
        size = 0;
    else if (!is_control(guard))
        size = guard->text.left > 0 ? 0 : ascii_run(guard, rest);
    guard->payload_at += size;
    guard->payload_left -= size;
    return size;
}

static const struct ws_breach *take(struct ws_guard *guard, uint8_t byte)
{
    switch ((enum guard_state)guard->state) {
    case GUARD_FIRST:
        return take_first(guard, byte);
    case GUARD_SECOND:
        return take_second(guard, byte);
    case GUARD_LENGTH:
        return take_length(guard, byte);
    case GUARD_MASK:
        return take_mask(guard, byte);
    case GUARD_PAYLOAD:
        return take_payload_byte(guard, byte);
    case GUARD_OVER:
        break;
    }
    return NULL;
}

size_t ws_guard_step(struct ws_guard *guard, uint8_t *bytes, size_t size_bytes,
                     const struct ws_breach **ret_breach)
{
    size_t at = 0;
    guard->pinged = false;
    while (at < size_bytes && guard->state != GUARD_OVER && !guard->pinged) {
        if (guard->state == GUARD_PAYLOAD)
            at += skip_payload(guard, bytes_of(bytes + at, size_bytes - at));
        if (at == size_bytes)
            break;
        const bool first = guard->state == GUARD_FIRST;
        const struct ws_breach *breach = take(guard, bytes[at]);
        if (breach != NULL) {
            *ret_breach = breach;
            return at;
        }
        if (first && opcode_of(guard) == OPCODE_PING)
            bytes[at] ^= OPCODE_PING ^ OPCODE_PONG;
        at++;
    }
    return at;
}
