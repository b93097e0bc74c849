/*
 * Any bytes as JSON: nothing may crash, and the two ways to read must agree.
 *
 *     build/…/fuzz_json -max_total_time=60 <folder for finds> tests/fuzz/corpus_json
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* What was accepted must stay as it is when it is read again, and equal itself. */
static void check_accepted(struct arena *arena, struct bytes text, struct bytes compacted)
{
    struct buffer again = buffer_make(0);
    struct buffer written = buffer_make(0);
    struct json_value *value = NULL;
    struct json_value *same = NULL;
    bool equal = false;
    require(json_compact(arena, compacted, false, &again).code == STATUS_OK);
    require(bytes_equal(buffer_bytes(&again), compacted));
    require(json_parse(arena, text, &value).code == STATUS_OK);
    json_write(value, &written);
    require(bytes_equal(buffer_bytes(&written), compacted));
    require(json_parse(arena, compacted, &same).code == STATUS_OK);
    require(json_equal(arena, value, same, &equal).code == STATUS_OK);
    require(equal);
    buffer_done(&again);
    buffer_done(&written);
}

/* Every string content survives unescaping and escaping. */
static void check_tokens(struct arena *arena, struct bytes text)
{
    struct json_reader *reader = json_reader_new(arena, text);
    struct json_token token = {.kind = JSON_NULL};
    while (token.kind != JSON_END) {
        require(json_next(reader, &token).code == STATUS_OK);
        if (token.kind != JSON_STRING && token.kind != JSON_NAME)
            continue;
        struct bytes content = BYTES_NONE;
        struct bytes again = BYTES_NONE;
        struct json_token rewritten;
        struct buffer quoted = buffer_make(0);
        require(json_unescape(arena, &token, &content).code == STATUS_OK);
        json_add_string(&quoted, content);
        require(json_next(json_reader_new(arena, buffer_bytes(&quoted)), &rewritten).code == STATUS_OK);
        require(json_unescape(arena, &rewritten, &again).code == STATUS_OK);
        require(bytes_equal(content, again));
        buffer_done(&quoted);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new(0);
    struct bytes text = bytes_of(data, size);
    struct buffer compacted = buffer_make(0);
    struct json_value *value = NULL;
    const struct status status = json_compact(arena, text, false, &compacted);
    if (status.code == STATUS_OK) {
        check_accepted(arena, text, buffer_bytes(&compacted));
        check_tokens(arena, text);
    } else {
        require(status.reason == REASON_INVALID_JSON);
        require(json_parse(arena, text, &value).code == STATUS_INVALID_ARGUMENT);
    }
    buffer_done(&compacted);
    arena_free(arena);
    return 0;
}
