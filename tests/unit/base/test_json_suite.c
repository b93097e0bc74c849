/*
 * Other people's test files: JSONTestSuite's test_parsing. A name beginning with y_ must be accepted, with n_
 * refused; i_ is left to the implementation. The folder is $STRATA_SHARED/data/json-test-suite/test_parsing, by
 * default in ../shared beside the source tree; without either the test is skipped.
 */
#include "support/cmocka.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/files.h"
#include "base/json.h"

/* Stricter than RFC 8259, which only warns of duplicate names: two amounts in one event are one too many. */
static const char *const refused_on_purpose[] = {
    "y_object_duplicated_key.json",
    "y_object_duplicated_key_and_value.json",
};

/* Where RFC 8259 leaves a choice, this is ours; a change of behaviour must be noticed. */
static const char *const accepted_by_choice[] = {
    "i_number_double_huge_neg_exp.json", "i_number_huge_exp.json",
    "i_number_neg_int_huge_exp.json",    "i_number_pos_double_huge_exp.json",
    "i_number_real_neg_overflow.json",   "i_number_real_pos_overflow.json",
    "i_number_real_underflow.json",      "i_number_too_big_neg_int.json",
    "i_number_too_big_pos_int.json",     "i_number_very_big_negative_int.json",
};

static bool is_listed(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static struct bytes read_file(struct files *files, struct arena *arena, const char *name)
{
    CLEANUP(file_close_at) struct file *file = NULL;
    uint64_t size = 0;
    assert_status_ok(files_open(files, name, FILE_READ, &file));
    assert_status_ok(file_size(file, &size));
    uint8_t *data = arena_alloc(arena, (size_t)size);
    assert_status_ok(file_read_exactly(file, 0, data, (size_t)size));
    return bytes_of(data, (size_t)size);
}

static void check(struct arena *arena, const char *name, struct bytes text)
{
    struct buffer compacted = buffer_make(0);
    struct json_value *value = NULL;
    const struct status status = json_compact(arena, text, false, &compacted);
    const struct status parsed = json_parse(arena, text, &value);
    if (status.code != parsed.code)
        fail_msg("%s: json_compact says \"%s\", json_parse \"%s\"", name, status.message, parsed.message);
    if (status.code != STATUS_OK && status.reason != REASON_INVALID_JSON)
        fail_msg("%s: %s", name, status.message);
    bool wanted = name[0] == 'y' && !is_listed(refused_on_purpose, ARRAY_SIZE(refused_on_purpose), name);
    if (name[0] == 'i')
        wanted = is_listed(accepted_by_choice, ARRAY_SIZE(accepted_by_choice), name);
    if ((status.code == STATUS_OK) != wanted)
        fail_msg("%s: should be %s, but: %s", name, wanted ? "accepted" : "refused",
                 status.code == STATUS_OK ? "accepted" : status.message);
    buffer_done(&compacted);
}

static void test_every_file_of_the_suite_is_judged_as_it_should_be(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    const char *shared = getenv("STRATA_SHARED");
    const char *folder = arena_printf(arena, "%s/data/json-test-suite/test_parsing",
                                      shared != NULL ? shared : STRATA_SOURCE_FOLDER "/../shared");
    CLEANUP(posix_files_free_at) struct files *files = NULL;
    struct file_entry *entries = NULL;
    size_t count = 0;
    if (access(folder, R_OK) != 0) {
        print_message("%s is missing; set STRATA_SHARED to the folder that holds data/json-test-suite\n",
                      folder);
        assert_null(shared); /* whoever names a folder wants the test */
        skip();
    }
    assert_status_ok(posix_files_new(folder, &files));
    assert_status_ok(files_list(files, ".", arena, &entries, &count));
    if (count < 300)
        fail_msg("%s holds only %zu files; the suite has more than 300", folder, count);
    for (size_t i = 0; i < count; i++)
        check(arena, entries[i].name, read_file(files, arena, entries[i].name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_file_of_the_suite_is_judged_as_it_should_be),
    };
    return cmocka_run_group_tests_name("json_suite", tests, NULL, NULL);
}
