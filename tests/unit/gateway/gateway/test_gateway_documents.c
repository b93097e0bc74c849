/* Descriptions and pages: how they are tagged, asked for again, compressed. */
#include "unit/gateway/gateway/gateway_fixture.h"

#define TAG_MAX_BYTES 64U

static int start(void **state)
{
    (void)state;
    fixture_start(NULL);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    fixture_stop();
    return 0;
}

/* Its ETag with the quotes, or "" when it has none. */
static void tag_of(const struct answer *answer, char tag[TAG_MAX_BYTES])
{
    const char *at = strstr(answer->text, "ETag: ");
    tag[0] = '\0';
    if (at != NULL)
        (void)sscanf(at, "ETag: %63s", tag);
}

static const struct {
    const char *path, *type, *begins;
    bool page;
} documents[] = {
    {"/openapi.json", "Content-Type: application/json\r\n", "{\n \"openapi\": \"3.1.0\"", false},
    {"/asyncapi.json", "Content-Type: application/json\r\n", "{\n \"asyncapi\": \"3.0.0\"", false},
    {"/docs", "Content-Type: text/html; charset=utf-8\r\n", "<!doctype html>", true},
    {"/docs/", "Content-Type: text/html; charset=utf-8\r\n", "<!doctype html>", true},
    {"/docs/docs.css", "Content-Type: text/css; charset=utf-8\r\n", ":root", true},
    {"/docs/docs.js", "Content-Type: text/javascript; charset=utf-8\r\n", "//", true},
    {"/docs/icon.svg", "Content-Type: image/svg+xml\r\n", "<svg", true},
};

static void test_each_is_served_to_be_kept_and_asked_about(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(documents); i++) {
        char tag[TAG_MAX_BYTES];
        struct answer answer = ask("GET", documents[i].path, "", NULL);
        assert_int_equal(answer.http_status, 200);
        answer_has(&answer, documents[i].type);
        answer_has(&answer, "Cache-Control: no-cache\r\n");
        answer_has(&answer, "X-Content-Type-Options: nosniff\r\n");
        assert_int_equal(strncmp(answer.body, documents[i].begins, strlen(documents[i].begins)), 0);
        (documents[i].page ? answer_has : answer_lacks)(&answer,
                                                        "Content-Security-Policy: default-src 'none';");
        tag_of(&answer, tag);
        assert_int_equal(strlen(tag), 18);
        answer_done(&answer);

        char header[2 * TAG_MAX_BYTES];
        (void)snprintf(header, sizeof header, "If-None-Match: %s\r\n", tag);
        answer = ask("GET", documents[i].path, header, NULL);
        assert_int_equal(answer.http_status, 304);
        answer_has(&answer, tag);
        answer_lacks(&answer, "\nContent-Type");
        assert_string_equal(answer.body, "");
        answer_done(&answer);
    }
}

/* Rows of If-None-Match; %s stands for the right tag. */
static const struct {
    const char *why, *value;
    bool known;
} conditions[] = {
    {"the tag in a list", "\"a\", %s , \"b\"", true},
    {"a weak tag is as good", "W/%s", true},
    {"whatever it is", "*", true},
    {"another tag", "\"0123456789abcdef\"", false},
    {"a part of the tag", "\"\"", false},
    {"nothing", "", false},
    {"commas alone", ",,", false},
};

static void test_a_condition_is_read_as_rfc_9110_says(void **state)
{
    (void)state;
    char tag[TAG_MAX_BYTES];
    struct answer answer = ask("HEAD", "/docs", "", NULL);
    tag_of(&answer, tag);
    answer_done(&answer);
    for (size_t i = 0; i < ARRAY_SIZE(conditions); i++) {
        char header[256] = "If-None-Match: ";
        const char *at = strstr(conditions[i].value, "%s");
        const int before = at == NULL ? (int)strlen(conditions[i].value) : (int)(at - conditions[i].value);
        (void)snprintf(header + strlen(header), sizeof header - strlen(header), "%.*s%s%s\r\n", before,
                       conditions[i].value, at == NULL ? "" : tag, at == NULL ? "" : at + 2);
        answer = ask("GET", "/docs", header, NULL);
        if (answer.http_status != (conditions[i].known ? 304 : 200))
            fail_msg("%s: %d", conditions[i].why, answer.http_status);
        answer_done(&answer);
    }
}

/* A strong tag names the bytes: the compressed ones have another. */
static void test_the_compressed_bytes_have_a_tag_of_their_own(void **state)
{
    (void)state;
    char plain[TAG_MAX_BYTES], packed[TAG_MAX_BYTES], header[2 * TAG_MAX_BYTES];
    struct answer answer = ask("HEAD", "/openapi.json", "", NULL);
    answer_has(&answer, "Vary: Accept-Encoding\r\n");
    answer_lacks(&answer, "Content-Encoding");
    tag_of(&answer, plain);
    answer_done(&answer);
    answer = ask("HEAD", "/openapi.json", "Accept-Encoding: gzip\r\n", NULL);
    answer_has(&answer, "Vary: Accept-Encoding\r\n");
    answer_has(&answer, "Content-Encoding: gzip\r\n");
    tag_of(&answer, packed);
    answer_done(&answer);
    assert_string_not_equal(plain, packed);

    (void)snprintf(header, sizeof header, "Accept-Encoding: gzip\r\nIf-None-Match: %s\r\n", packed);
    answer = ask("GET", "/openapi.json", header, NULL);
    assert_int_equal(answer.http_status, 304);
    answer_done(&answer);
    (void)snprintf(header, sizeof header, "Accept-Encoding: gzip\r\nIf-None-Match: %s\r\n", plain);
    answer = ask("GET", "/openapi.json", header, NULL);
    assert_int_equal(answer.http_status, 200);
    answer_done(&answer);
}

static void test_what_is_small_is_left_alone(void **state)
{
    (void)state;
    struct answer answer = ask("HEAD", "/docs/icon.svg", "Accept-Encoding: gzip\r\n", NULL);
    answer_lacks(&answer, "Content-Encoding");
    answer_lacks(&answer, "Vary");
    answer_done(&answer);
}

static void test_other_verbs_and_other_paths_are_refused(void **state)
{
    (void)state;
    struct answer answer = ask("POST", "/docs", "", "{}");
    assert_int_equal(answer.http_status, 405);
    answer_has(&answer, "Allow: GET, HEAD, OPTIONS\r\n");
    answer_done(&answer);
    answer = ask("OPTIONS", "/docs/docs.js", "", NULL);
    assert_int_equal(answer.http_status, 204);
    answer_done(&answer);
    answer = ask("GET", "/docs/docs.txt", "", NULL);
    assert_int_equal(answer.http_status, 404);
    answer_done(&answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_is_served_to_be_kept_and_asked_about),
        cmocka_unit_test(test_a_condition_is_read_as_rfc_9110_says),
        cmocka_unit_test(test_the_compressed_bytes_have_a_tag_of_their_own),
        cmocka_unit_test(test_what_is_small_is_left_alone),
        cmocka_unit_test(test_other_verbs_and_other_paths_are_refused),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
