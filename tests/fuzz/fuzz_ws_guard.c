/*
 * Any bytes as a WebSocket client's: how they are cut into pieces must not matter, and what is passed on must be frames that
 * leave libwebsockets nothing to refuse.
 *
 *     build/…/fuzz_ws_guard -max_total_time=60 <folder for finds> tests/fuzz/corpus_ws_guard
 *
 * The first byte says how large the pieces of the second reading are.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "gateway/websocket/websocket_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MESSAGE_MAX_BYTES 300U

static void require(bool holds)
{
    if (!holds)
        abort();
}

struct reading {
    struct buffer passed; /* what libwebsockets gets */
    struct buffer pings;  /* size and payload of each */
    const struct ws_breach *breach;
};

static struct reading read_all(struct bytes data, size_t piece)
{
    struct reading reading = {buffer_make(0), buffer_make(0), NULL};
    struct ws_guard guard = {.message_max_bytes = MESSAGE_MAX_BYTES};
    buffer_add_bytes(&reading.passed, data);
    size_t passed = 0;
    for (size_t at = 0; at < data.size_bytes && reading.breach == NULL; at += piece) {
        const size_t end = data.size_bytes - at < piece ? data.size_bytes : at + piece;
        size_t done = at;
        do {
            done += ws_guard_step(&guard, reading.passed.data + done, end - done, &reading.breach);
            if (guard.pinged) {
                buffer_add_byte(&reading.pings, (uint8_t)guard.ping_bytes);
                buffer_add(&reading.pings, guard.ping, guard.ping_bytes);
            }
        } while (guard.pinged);
        passed += done - at;
        if (done < end)
            break;
    }
    reading.passed.size_bytes = passed;
    return reading;
}

static bool close_is_good(const uint8_t *payload, size_t size)
{
    const unsigned code = size < 2 ? 0 : (unsigned)payload[0] << 8 | payload[1];
    return size == 0 || (size >= 2 && code >= 1000 && code < 5000 && (code < 1004 || code > 1006) &&
                         (code < 1015 || code > 2999) && utf8_is_valid(bytes_of(payload + 2, size - 2)));
}

/* One whole frame at the beginning of `rest`; 0: it is not all there. */
static size_t check_frame(struct bytes rest, struct buffer *message, bool *open)
{
    const uint8_t *at = rest.data;
    if (rest.size_bytes < 2)
        return 0;
    const unsigned opcode = at[0] & 0x0fU;
    const bool final = (at[0] & 0x80U) != 0;
    size_t size = at[1] & 0x7fU;
    const size_t more = size == 127 ? 8 : size == 126 ? 2 : 0;
    require((at[1] & 0x80U) != 0 && (at[0] & 0x70U) == 0);
    if (rest.size_bytes < 2 + more + 4)
        return 0;
    for (size_t i = 0; i < more; i++)
        size = (i == 0 ? 0 : size << 8) | at[2 + i];
    const uint8_t *mask = at + 2 + more;
    if (rest.size_bytes - 2 - more - 4 < size)
        return 0;
    uint8_t plain[MESSAGE_MAX_BYTES];
    require(size <= sizeof plain);
    for (size_t i = 0; i < size; i++)
        plain[i] = mask[4 + i] ^ mask[i % 4];
    require(opcode <= 1 || opcode == 0x8 || opcode == 0xa);
    if (opcode >= 0x8) {
        require(final && size <= WS_CONTROL_MAX_BYTES && (opcode != 0x8 || close_is_good(plain, size)));
    } else {
        require((opcode == 0) == *open);
        *open = !final;
        buffer_add(message, plain, size);
        require(message->size_bytes <= MESSAGE_MAX_BYTES);
        require(!final || utf8_is_valid(buffer_bytes(message)));
        if (final)
            buffer_clear(message);
    }
    return 2 + more + 4 + size;
}

static void check(struct bytes passed)
{
    struct buffer message = buffer_make(0);
    bool open = false;
    for (size_t at = 0; at < passed.size_bytes;) {
        const size_t size = check_frame(bytes_of(passed.data + at, passed.size_bytes - at), &message, &open);
        const bool closed = size > 0 && (passed.data[at] & 0x0fU) == 0x8;
        if (size == 0)
            break;
        at += size;
        require(!closed || at == passed.size_bytes);
    }
    buffer_done(&message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const struct bytes bytes = bytes_of(data + 1, size - 1);
    struct reading whole = read_all(bytes, bytes.size_bytes + 1);
    struct reading cut = read_all(bytes, (size_t)data[0] % 16 + 1);
    require(whole.breach == cut.breach);
    require(bytes_equal(buffer_bytes(&whole.passed), buffer_bytes(&cut.passed)));
    require(bytes_equal(buffer_bytes(&whole.pings), buffer_bytes(&cut.pings)));
    check(buffer_bytes(&whole.passed));
    buffer_done(&whole.passed);
    buffer_done(&whole.pings);
    buffer_done(&cut.passed);
    buffer_done(&cut.pings);
    return 0;
}
