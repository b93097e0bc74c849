#include "support/cmocka.h"

#include "base/bytes.h"
#include "cli/terminal_internal.h"

#define TEXT(literal)                                                                                        \
    {                                                                                                        \
        (const uint8_t *)(literal), sizeof(literal) - 1                                                      \
    }

static const struct {
    const char *why;
    struct bytes text;
    const char *shown;
} cases[] = {
    {"plain text is as it was", TEXT("ledger-1 gr\xc3\xbc\xc3\x9f dich \xe2\x82\xac \xf0\x9f\x98\x80"),
     "ledger-1 gr\xc3\xbc\xc3\x9f dich \xe2\x82\xac \xf0\x9f\x98\x80"},
    {"escape", TEXT("\x1b[2J"), "\\u001b[2J"},
    {"a line end would end a row", TEXT("a\nb\tc"), "a\\nb\\tc"},
    {"NUL does not end it", TEXT("a\0b"), "a\\u0000b"},
    {"delete", TEXT("\x7f"), "\\u007f"},
    {"CSI in one character", TEXT("\xc2\x9b"), "\\u009b"},
    {"the last C1 and the first after it", TEXT("\xc2\x9f\xc2\xa0"), "\\u009f\xc2\xa0"},
    {"right-to-left override", TEXT("\xe2\x80\xae"), "\\u202e"},
    {"isolates", TEXT("\xe2\x81\xa6x\xe2\x81\xa9"), "\\u2066x\\u2069"},
    {"line and paragraph separators", TEXT("\xe2\x80\xa8\xe2\x80\xa9"), "\\u2028\\u2029"},
    {"what cannot be seen", TEXT("\xe2\x80\x8b\xef\xbb\xbf"), "\\u200b\\ufeff"},
    {"tags, as two halves", TEXT("\xf3\xa0\x80\x81"), "\\udb40\\udc01"},
    {"no UTF-8: the byte", TEXT("a\xff\xc3z"), "a\\xff\\xc3z"},
    {"an overlong escape is no UTF-8", TEXT("\xc0\x9b"), "\\xc0\\x9b"},
};

static void test_nothing_is_left_that_a_terminal_obeys(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct buffer shown = buffer_make(0);
        terminal_add_text(&shown, cases[i].text);
        buffer_add_byte(&shown, '\0');
        if (strcmp((const char *)shown.data, cases[i].shown) != 0)
            fail_msg("%s: shown as \"%s\" instead of \"%s\"", cases[i].why, (const char *)shown.data,
                     cases[i].shown);
        buffer_done(&shown);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_left_that_a_terminal_obeys),
    };
    return cmocka_run_group_tests_name("terminal", tests, NULL, NULL);
}
