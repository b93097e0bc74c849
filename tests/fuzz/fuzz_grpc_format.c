/*
 * Any bytes as gRPC frames, texts and numbers: nothing is read outside of them, and what was made is read back.
 *
 *     build/…/fuzz_grpc_format -max_total_time=60 <folder for finds> tests/fuzz/corpus_grpc_format
 */
#include <stdlib.h>
#include <string.h>

#include "gateway/upstream/grpc_format_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* How many messages the input has, and what stands behind them. */
static void read_frames(struct bytes input)
{
    struct bytes message;
    while (grpc_frame_next(input, &message) == GRPC_FRAME_WHOLE) {
        const size_t used = GRPC_FRAME_HEAD_BYTES + message.size_bytes;
        require(message.data == input.data + GRPC_FRAME_HEAD_BYTES && used <= input.size_bytes);
        /* With one byte less it is no frame yet. */
        struct bytes none;
        require(grpc_frame_next((struct bytes){input.data, used - 1}, &none) == GRPC_FRAME_MORE);
        input = (struct bytes){input.data + used, input.size_bytes - used};
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct bytes input = {data, size};
    read_frames(input);

    struct buffer frame = buffer_make(0);
    struct bytes message;
    grpc_frame_add(&frame, input);
    require(grpc_frame_next(buffer_bytes(&frame), &message) == GRPC_FRAME_WHOLE &&
            bytes_equal(message, input));
    buffer_done(&frame);

    struct buffer text = buffer_make(0);
    grpc_message_decode(input, &text);
    require(text.size_bytes <= size && (size == 0 || text.size_bytes * 3 >= size));
    buffer_done(&text);

    const int number = grpc_number(input);
    require(number >= -1 && number <= 999999999);
    if (size >= sizeof(int64_t)) {
        char timeout[GRPC_TIMEOUT_TEXT_BYTES];
        int64_t left_us;
        memcpy(&left_us, data, sizeof left_us);
        grpc_timeout_write(left_us, timeout);
        const size_t length = strlen(timeout);
        require(length >= 2 && length <= 9 && timeout[length - 1] == 'm');
        require(grpc_number((struct bytes){(const uint8_t *)timeout, length - 1}) >= 1);
    }
    return 0;
}
