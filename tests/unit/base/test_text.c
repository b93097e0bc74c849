#include "support/cmocka.h"

#include <string.h>

#include "base/text.h"

static const struct {
    const char *text;
    bool valid;
    const char *why;
} utf8_rows[] = {
    {"", true, "nothing"},
    {"plain ASCII, longer than eight bytes", true, "whole words"},
    {"12345678\xC3\xA9", true, "two bytes after a word"},
    {"\xE2\x82\xAC\xF0\x9D\x84\x9E", true, "three and four bytes"},
    {"\xED\x9F\xBF\xEE\x80\x80", true, "around the surrogates"},
    {"\xF4\x8F\xBF\xBF", true, "the last code point"},
    {"\xF4\x90\x80\x80", false, "beyond it"},
    {"\xED\xA0\x80", false, "a surrogate"},
    {"\xED\xBF\xBF", false, "the last surrogate"},
    {"\xC0\x80", false, "overlong, two bytes"},
    {"\xC1\xBF", false, "overlong, two bytes"},
    {"\xE0\x9F\xBF", false, "overlong, three bytes"},
    {"\xF0\x8F\xBF\xBF", false, "overlong, four bytes"},
    {"\x80", false, "a continuation alone"},
    {"\xC3", false, "cut after one of two"},
    {"\xE2\x82", false, "cut after two of three"},
    {"\xF0\x9D\x84", false, "cut after three of four"},
    {"\xC3(", false, "no continuation"},
    {"1234567\xC3\xA9", true, "a sequence over the border of words"},
    {"1234567\xC3", false, "cut at the border of words"},
    {"\xFF", false, "never in UTF-8"},
    {"\xF8\x88\x80\x80\x80", false, "five bytes"},
};

static void test_utf8_is_that_of_rfc_3629(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(utf8_rows); i++)
        if (utf8_is_valid(bytes_of_text(utf8_rows[i].text)) != utf8_rows[i].valid)
            fail_msg("%s", utf8_rows[i].why);
    assert_true(utf8_is_valid(BYTES_LITERAL("a\0b")));
}

static const struct {
    const char *id;
    enum id_rule rule;
    const char *wrong; /* NULL, or a part of the message */
} id_rows[] = {
    {"user-123", ID_REQUIRED, NULL},
    {"a/b c", ID_REQUIRED, "white space U+0020 at byte 3"},
    {"a/b", ID_REQUIRED, NULL},
    {"", ID_REQUIRED, "is empty"},
    {"", ID_SYSTEM_ALLOWED, "is empty"},
    {"", ID_OPTIONAL, NULL},
    {"ünïcödé-€", ID_REQUIRED, NULL},
    {".", ID_REQUIRED, "is \".\""},
    {"..", ID_OPTIONAL, "is \"..\""},
    {"...", ID_REQUIRED, NULL},
    {"$all", ID_REQUIRED, "begin with '$'"},
    {"$all", ID_OPTIONAL, "begin with '$'"},
    {"$all", ID_SYSTEM_ALLOWED, NULL},
    {"a$", ID_REQUIRED, NULL},
    {"a\x01", ID_REQUIRED, "control character U+0001 at byte 1"},
    {"\x7F", ID_REQUIRED, "control character U+007F at byte 0"},
    {"\xC2\x9F", ID_REQUIRED, "control character U+009F at byte 0"},
    {"a\n", ID_REQUIRED, "control character U+000A at byte 1"},
    {"a\xC2\xA0", ID_REQUIRED, "white space U+00A0 at byte 1"},
    {"\xE2\x80\x83", ID_REQUIRED, "white space U+2003"},
    {"\xE3\x80\x80", ID_REQUIRED, "white space U+3000"},
    {"\xE2\x80\x8B", ID_REQUIRED, NULL}, /* U+200B is no White_Space */
    {"ab\xFF", ID_REQUIRED, "not UTF-8 at byte 2"},
};

static void test_ids_follow_the_rule_and_messages_name_the_fault(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(id_rows); i++) {
        const struct status status =
            id_check("events[2].aggregate_id", bytes_of_text(id_rows[i].id), id_rows[i].rule);
        const bool good = id_rows[i].wrong == NULL
                              ? status.code == STATUS_OK
                              : status.reason == REASON_INVALID_ID &&
                                    strstr(status.message, id_rows[i].wrong) != NULL &&
                                    strstr(status.message, "events[2].aggregate_id ") == status.message;
        if (!good)
            fail_msg("row %zu, \"%s\": %s", i, id_rows[i].id, status.message);
    }
    assert_reason(id_check("id", BYTES_LITERAL("a\0b"), ID_REQUIRED), REASON_INVALID_ID);
}

/* Long ids are looked at by words: a byte must be judged in any place as it is in an id that is too short for that. */
static void test_a_byte_is_judged_alike_in_every_place(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        char text[17];
        const char small[] = {'a', (char)byte, 'a'};
        const struct status alone = id_check("id", bytes_of(small, sizeof small), ID_REQUIRED);
        for (size_t place = 1; place < sizeof text; place++) {
            memset(text, 'a', sizeof text);
            text[place] = (char)byte;
            const struct status status = id_check("id", bytes_of(text, sizeof text), ID_REQUIRED);
            if (status.code != alone.code)
                fail_msg("byte 0x%02x at %zu: \"%s\", and alone \"%s\"", byte, place, status.message,
                         alone.message);
        }
    }
}

static void test_an_id_has_at_most_255_bytes(void **state)
{
    (void)state;
    char id[256];
    memset(id, 'a', sizeof id);
    assert_status_ok(id_check("id", bytes_of(id, 255), ID_REQUIRED));
    assert_reason(id_check("id", bytes_of(id, 256), ID_REQUIRED), REASON_INVALID_ID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8_is_that_of_rfc_3629),
        cmocka_unit_test(test_ids_follow_the_rule_and_messages_name_the_fault),
        cmocka_unit_test(test_a_byte_is_judged_alike_in_every_place),
        cmocka_unit_test(test_an_id_has_at_most_255_bytes),
    };
    return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
