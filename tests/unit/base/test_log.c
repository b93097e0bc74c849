#include "support/cmocka.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/manual_clock.h"

#include "base/arena.h"
#include "base/json.h"
#include "base/log.h"

struct captured {
    int ends[2];
    struct manual_clock clock;
    struct log *log;
    char text[70000];
};

static struct captured *start(enum log_level least, enum log_format format)
{
    struct captured *captured = calloc(1, sizeof *captured);
    captured->clock = manual_clock_at_us(INT64_C(1645557742000001));
    assert_int_equal(pipe(captured->ends), 0);
    captured->log = log_new(captured->ends[1], least, format, &captured->clock.clock);
    return captured;
}

static const char *stop(struct captured *captured)
{
    log_free(captured->log);
    close(captured->ends[1]);
    size_t size = 0;
    for (ssize_t got = 1; got > 0 && size < sizeof captured->text - 1; size += (size_t)got)
        got = read(captured->ends[0], captured->text + size, sizeof captured->text - 1 - size);
    captured->text[size] = '\0';
    close(captured->ends[0]);
    return captured->text;
}

static void test_a_text_line_reads_well(void **state)
{
    (void)state;
    struct captured *captured = start(LOG_INFO, LOG_FORMAT_TEXT);
    log_warn(captured->log, "slow append", LOG_TEXT("store", "embedded"), LOG_INT("took_ms", 412),
             LOG_BOOL("retry", true), LOG_TEXT("path", "/a b"), LOG_TEXT("none", NULL));
    log_debug(captured->log, "not wanted", LOG_INT("n", 1));
    log_info(captured->log, "started");
    assert_string_equal(
        stop(captured),
        "2022-02-22T19:22:22.000001Z warn  \"slow append\" store=embedded took_ms=412 retry=true "
        "path=\"/a b\" none=\"\"\n"
        "2022-02-22T19:22:22.000001Z info  \"started\"\n");
    free(captured);
}

static void test_a_json_line_is_json(void **state)
{
    (void)state;
    struct captured *captured = start(LOG_DEBUG, LOG_FORMAT_JSON);
    log_error(captured->log, "a \"quoted\" word", LOG_TEXT("bytes", "caf\xC3\xA9\n"),
              LOG_TEXT("broken", "x\xFFy"), LOG_INT("n", INT64_MIN));
    const char *text = stop(captured);
    assert_string_equal(
        text, "{\"time\":\"2022-02-22T19:22:22.000001Z\",\"level\":\"error\","
              "\"message\":\"a \\\"quoted\\\" word\",\"bytes\":\"caf\xC3\xA9\\n\",\"broken\":\"x?y\","
              "\"n\":-9223372036854775808}\n");
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct json_value *value = NULL;
    assert_status_ok(json_parse(arena, bytes_of_text(text), &value));
    free(captured);
}

static void test_a_line_break_cannot_forge_a_line(void **state)
{
    (void)state;
    struct captured *captured = start(LOG_DEBUG, LOG_FORMAT_TEXT);
    log_info(captured->log, "refused", LOG_TEXT("id", "x\n2022 info  \"forged\""));
    const char *text = stop(captured);
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
    free(captured);
}

static void test_a_long_text_is_cut_between_characters(void **state)
{
    (void)state;
    char *longer = calloc(1, 10001);
    for (size_t i = 0; i < 10000; i += 2)
        memcpy(longer + i, "\xC3\xA9", 2);
    for (size_t shift = 0; shift < 2; shift++) {
        longer[shift] = 'x';
        if (shift == 1)
            longer[0] = 'x';
        struct captured *captured = start(LOG_DEBUG, LOG_FORMAT_JSON);
        log_info(captured->log, "long", LOG_TEXT("text", longer));
        const char *text = stop(captured);
        assert_true(strlen(text) < 2300);
        assert_non_null(strstr(text, "...\"}\n"));
        free(captured);
    }
    free(longer);
}

static void test_no_log_writes_nothing(void **state)
{
    (void)state;
    log_info(NULL, "nowhere", LOG_INT("n", 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_text_line_reads_well),
        cmocka_unit_test(test_a_json_line_is_json),
        cmocka_unit_test(test_a_line_break_cannot_forge_a_line),
        cmocka_unit_test(test_a_long_text_is_cut_between_characters),
        cmocka_unit_test(test_no_log_writes_nothing),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
