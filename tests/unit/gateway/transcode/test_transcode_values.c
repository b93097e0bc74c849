#include "gateway/transcode/transcode_internal.h"
#include "unit/gateway/transcode/transcode_fixture.h"

static const struct {
    const char *text;
    bool good;
    int64_t value;
} integers[] = {
    {"0", true, 0},
    {"-0", true, 0}, /* has no sign of its own among integers */
    {"7", true, 7},
    {"1e3", true, 1000},
    {"1E+3", true, 1000},
    {"10e-1", true, 1},
    {"1.0", true, 1},
    {"12.50e1", true, 125},
    {"9223372036854775807", true, INT64_MAX},
    {"-9223372036854775808", true, INT64_MIN},
    {"9.223372036854775807e18", true, INT64_MAX}, /* a double would round it */
    {"9007199254740993", true, 9007199254740993}, /* 2^53 + 1, which no double is */
    {"0e999999999", true, 0},
    {"9223372036854775808", false, 0},
    {"-9223372036854775809", false, 0},
    {"18446744073709551616", false, 0},
    {"1e19", false, 0},
    {"1e999999999", false, 0},
    {"1.5", false, 0},
    {"1e-1", false, 0},
    {"", false, 0},
    {"-", false, 0},
    {"+1", false, 0},
    {"1.", false, 0},
    {".5", false, 0},
    {"1e", false, 0},
    {"1e+", false, 0},
    {" 1", false, 0},
    {"1 ", false, 0},
    {"0x10", false, 0},
    {"1,0", false, 0},
};

static void test_integers_are_read_exactly_or_not_at_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(integers); i++) {
        int64_t value = 0;
        const bool good = integer_parse(bytes_of_text(integers[i].text), &value);
        if (good != integers[i].good || (good && value != integers[i].value))
            fail_msg("\"%s\": %s %lld", integers[i].text, good ? "read as" : "refused", (long long)value);
    }
}

static const struct {
    const char *text;
    bool good;
    int64_t seconds;
    int32_t nanos;
    const char *written; /* NULL: as it was */
} durations[] = {
    {"0s", true, 0, 0, NULL},
    {"1.500s", true, 1, 500000000, NULL},
    {"1.5s", true, 1, 500000000, "1.500s"},
    {"0.000001s", true, 0, 1000, NULL},
    {"0.000000001s", true, 0, 1, NULL},
    {"-0.500s", true, 0, -500000000, NULL},
    {"-3s", true, -3, 0, NULL},
    {"315576000000s", true, 315576000000, 0, NULL},
    {"315576000001s", false, 0, 0, NULL},
    {"315576000000.1s", false, 0, 0, NULL},
    {"99999999999999999999s", false, 0, 0, NULL},
    {"0.0000000001s", false, 0, 0, NULL},
    {"1", false, 0, 0, NULL},
    {"1.s", false, 0, 0, NULL},
    {"s", false, 0, 0, NULL},
    {"1m", false, 0, 0, NULL},
    {"1s ", false, 0, 0, NULL},
    {"", false, 0, 0, NULL},
};

static void test_durations_are_read_and_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(durations); i++) {
        int64_t seconds = 0;
        int32_t nanos = 0;
        const bool good = duration_parse(bytes_of_text(durations[i].text), &seconds, &nanos);
        if (good != durations[i].good || seconds != durations[i].seconds || nanos != durations[i].nanos)
            fail_msg("\"%s\": %s %lld s %d ns", durations[i].text, good ? "read as" : "refused",
                     (long long)seconds, nanos);
        if (!good)
            continue;
        struct buffer text = buffer_make(0);
        char wanted[64];
        duration_write(seconds, nanos, &text);
        snprintf(wanted, sizeof wanted, "\"%s\"",
                 durations[i].written != NULL ? durations[i].written : durations[i].text);
        assert_string_equal(text_of(&text), wanted);
        buffer_done(&text);
    }
}

static const struct {
    const char *text;
    bool quoted, good;
    const char *written;
} doubles[] = {
    {"0.1", false, true, "0.1"},
    {"1e3", false, true, "1000"},
    {"-2.5", false, true, "-2.5"},
    {"123456789.125", false, true, "123456789.125"},
    {"0.30000000000000004", false, true, "0.30000000000000004"},
    {"NaN", true, true, "\"NaN\""},
    {"-Infinity", true, true, "\"-Infinity\""},
    {"NaN", false, false, NULL},
    {"inf", true, false, NULL},
    {"0x10", true, false, NULL}, /* strtod would */
    {" 1", true, false, NULL},
    {"1e400", false, false, NULL}, /* no double is it */
    {"", true, false, NULL},
};

static void test_doubles_are_json_numbers_and_written_short(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(doubles); i++) {
        double value = 0;
        const bool good = double_parse(bytes_of_text(doubles[i].text), doubles[i].quoted, &value);
        if (good != doubles[i].good)
            fail_msg("\"%s\": %s", doubles[i].text, good ? "read" : "refused");
        if (!good)
            continue;
        struct buffer text = buffer_make(0);
        double_write(value, &text);
        assert_string_equal(text_of(&text), doubles[i].written);
        buffer_done(&text);
    }
}

static const struct {
    const char *text;
    bool good;
    const char *bytes;
} base64s[] = {
    {"", true, ""},
    {"Zg==", true, "f"},
    {"Zg", true, "f"}, /* padding may be left out */
    {"Zm8=", true, "fo"},
    {"Zm9v", true, "foo"},
    {"Zm9vYg==", true, "foob"},
    {"_-8", true, "\xff\xef"}, /* the alphabet of URLs */
    {"/+8=", true, "\xff\xef"},
    {"Z", false, NULL},
    {"Zg=", false, NULL},
    {"Zh==", false, NULL}, /* bits that no byte takes */
    {"Zg===", false, NULL},
    {"Z g=", false, NULL},
    {"Zm9v\n", false, NULL},
    {"====", false, NULL},
};

static void test_base64_is_read_in_both_alphabets(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(base64s); i++) {
        struct buffer bytes = buffer_make(0);
        const bool good = base64_decode(bytes_of_text(base64s[i].text), &bytes);
        if (good != base64s[i].good ||
            (good && !bytes_equal(buffer_bytes(&bytes), bytes_of_text(base64s[i].bytes))))
            fail_msg("\"%s\": %s %zu bytes", base64s[i].text, good ? "read as" : "refused", bytes.size_bytes);
        buffer_done(&bytes);
    }
}

static void test_what_is_shown_of_outside_texts_is_short_and_printable(void **state)
{
    (void)state;
    struct arena *arena = arena_new(0);
    char text[256];
    assert_string_equal(transcode_shown(arena, BYTES_LITERAL("plain")), "plain");
    assert_string_equal(transcode_shown(arena, BYTES_LITERAL("a\n\0\x7f\xff")), "a????");
    memset(text, 'x', 63);
    memcpy(text + 63, "ä and more", sizeof "ä and more"); /* its first byte is the last that would fit */
    memset(text + 100, 0, 1);
    const char *shown = transcode_shown(arena, bytes_of_text(text));
    assert_int_equal(strlen(shown), 63 + strlen("…"));
    assert_string_equal(shown + 63, "…");
    arena_free(arena);
}

static const struct {
    const char *message, *name, *nearest;
} mistypes[] = {
    {"PublishEventRequest", "expectedVerison", "expected_version"},
    {"PublishEventRequest", "agregate_id", "aggregate_id"},
    {"PublishEventRequest", "Type", "type"},
    {"PublishEventRequest", "dta", "data"},
    {"PublishEventRequest", "payload", NULL},
    {"PublishEventRequest", "", NULL},
    {"Event", "payload_slat", NULL}, /* internal fields are not suggested */
    {"PublishEventRequest", "a_name_that_is_longer_than_any_field_of_the_contract_may_be", NULL},
};

static void test_a_mistyped_name_leads_to_the_field_that_was_meant(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(mistypes); i++) {
        const char *nearest =
            transcode_nearest(message_called(mistypes[i].message), bytes_of_text(mistypes[i].name));
        if ((nearest == NULL) != (mistypes[i].nearest == NULL) ||
            (nearest != NULL && strcmp(nearest, mistypes[i].nearest) != 0))
            fail_msg("\"%s\" leads to %s", mistypes[i].name, nearest == NULL ? "nothing" : nearest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers_are_read_exactly_or_not_at_all),
        cmocka_unit_test(test_durations_are_read_and_written),
        cmocka_unit_test(test_doubles_are_json_numbers_and_written_short),
        cmocka_unit_test(test_base64_is_read_in_both_alphabets),
        cmocka_unit_test(test_what_is_shown_of_outside_texts_is_short_and_printable),
        cmocka_unit_test(test_a_mistyped_name_leads_to_the_field_that_was_meant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
