#include "support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"

struct place {
    char folder[64];
    char config[96];
    char secret[96];
};

static void write_file(const char *path, const char *text, unsigned mode)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static int make_place(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    assert_non_null(place);
    (void)snprintf(place->folder, sizeof place->folder, "/tmp/strata-config-XXXXXX");
    assert_non_null(mkdtemp(place->folder));
    (void)snprintf(place->config, sizeof place->config, "%s/strata.yaml", place->folder);
    (void)snprintf(place->secret, sizeof place->secret, "%s/secret", place->folder);
    *state = place;
    return 0;
}

static int remove_place(void **state)
{
    struct place *place = *state;
    (void)unlink(place->config); /* a test may have made none */
    (void)unlink(place->secret);
    assert_int_equal(rmdir(place->folder), 0);
    free(place);
    return 0;
}

static struct config *read_config(const struct place *place, const char *text, unsigned mode)
{
    struct config *config = config_new();
    assert_non_null(config);
    write_file(place->config, text, mode);
    assert_status_ok(config_read_file(config, place->config));
    return config;
}

/* ---- secrets that others may read ---- */

static const struct {
    const char *why;
    const char *text;
    const char *key; /* that is named; NULL = none */
} written[] = {
    {"a password", "database: {mysql: {password: hunter2}}\n", "database.mysql.password"},
    {"of Redis", "database: {redis: {password: hunter2}}\n", "database.redis.password"},
    {"a URI with a password", "database: {mongodb: {uri: \"mongodb://u:p@db/\"}}\n", "database.mongodb.uri"},
    {"a URI without", "database: {mongodb: {uri: \"mongodb://db/\"}}\n", NULL},
    {"a key of tokens", "security: {jwt_secret: 0123456789}\n", "security.jwt_secret"},
    {"the sample that everybody knows", "security: {jwt_secret: your-secret-key}\n", NULL},
    {"an empty password", "database: {mysql: {password: \"\"}}\n", NULL},
    {"nothing secret", "name: a\n", NULL},
};

static void test_a_configuration_with_a_secret_is_its_owners_alone(void **state)
{
    static const unsigned open_modes[] = {0640, 0604, 0644, 0440};
    const struct place *place = *state;
    struct config_exposure found[CONFIG_EXPOSURES_MAX];
    for (size_t i = 0; i < ARRAY_SIZE(written); i++) {
        for (size_t mode = 0; mode < ARRAY_SIZE(open_modes); mode++) {
            CLEANUP(config_free_at)
            struct config *config = read_config(place, written[i].text, open_modes[mode]);
            const size_t count = config_exposures(config, found);
            if (count != (written[i].key != NULL))
                fail_msg("%s, mode %o: %zu", written[i].why, open_modes[mode], count);
            if (count == 0)
                continue;
            assert_string_equal(config_key_path(found[0].key), written[i].key);
            assert_string_equal(found[0].file, place->config);
            assert_int_equal(found[0].mode, open_modes[mode]);
        }
        CLEANUP(config_free_at) struct config *own = read_config(place, written[i].text, 0600);
        assert_int_equal(config_exposures(own, found), 0);
    }
}

/* It stands in the file all the same. */
static void test_a_secret_that_the_environment_replaces_is_told_of(void **state)
{
    const struct place *place = *state;
    const char *const environment[] = {"STRATA_DATABASE_MYSQL_PASSWORD=other", NULL};
    struct config_exposure found[CONFIG_EXPOSURES_MAX];
    CLEANUP(config_free_at)
    struct config *config = read_config(place, "database: {mysql: {password: hunter2}}\n", 0644);
    assert_status_ok(config_read_environment(config, environment));
    assert_int_equal(config_exposures(config, found), 1);
    CLEANUP(config_free_at) struct config *without = read_config(place, "name: a\n", 0644);
    assert_status_ok(config_read_environment(without, environment));
    assert_int_equal(config_exposures(without, found), 0); /* it stands in no file */
}

static const enum config_key secret_files[] = {CONFIG_MYSQL_PASSWORD_FILE, CONFIG_MONGODB_URI_FILE,
                                               CONFIG_REDIS_PASSWORD_FILE, CONFIG_REDIS_TLS_KEY_FILE,
                                               CONFIG_SECURITY_JWT_SECRET_FILE};

static void test_a_file_that_holds_a_secret_is_its_owners_alone(void **state)
{
    const struct place *place = *state;
    struct config_exposure found[CONFIG_EXPOSURES_MAX];
    for (size_t i = 0; i < ARRAY_SIZE(secret_files); i++) {
        CLEANUP(config_free_at) struct config *config = read_config(place, "name: a\n", 0644);
        assert_status_ok(config_set(config, secret_files[i], place->secret));
        assert_int_equal(config_exposures(config, found), 0); /* it is not there */
        write_file(place->secret, "hunter2\n", 0640);
        assert_int_equal(config_exposures(config, found), 1);
        assert_int_equal(found[0].key, secret_files[i]);
        assert_string_equal(found[0].file, place->secret);
        assert_int_equal(found[0].mode, 0640);
        assert_int_equal(chmod(place->secret, 0400), 0);
        assert_int_equal(config_exposures(config, found), 0);
        assert_int_equal(unlink(place->secret), 0);
    }
}

/* One key and file for each that there may be: all are told of at once. */
static void test_all_that_is_exposed_is_told_of(void **state)
{
    const struct place *place = *state;
    struct config_exposure found[CONFIG_EXPOSURES_MAX];
    CLEANUP(config_free_at)
    struct config *config = read_config(place, "database: {mysql: {password: hunter2}}\n", 0644);
    write_file(place->secret, "hunter2\n", 0644);
    for (size_t i = 0; i < ARRAY_SIZE(secret_files); i++)
        assert_status_ok(config_set(config, secret_files[i], place->secret));
    assert_int_equal(config_exposures(config, found), ARRAY_SIZE(secret_files) + 1);
    assert_int_equal(CONFIG_EXPOSURES_MAX, ARRAY_SIZE(secret_files) + 1);
}

/* ---- files that must be there ---- */

static const struct {
    const char *text;
    enum config_key key;
    bool used; /* by the engines that the text chooses */
} needed[] = {
    {"database: {mysql: {host: h}}\n", CONFIG_MYSQL_TLS_CA_FILE, true},
    {"database: {mysql: {host: h}}\n", CONFIG_MYSQL_PASSWORD_FILE, true},
    {"database: {snapshot_store: mysql}\n", CONFIG_MYSQL_TLS_CA_FILE, true},
    {"database: {event_store: embedded, snapshot_store: memory}\n", CONFIG_MYSQL_TLS_CA_FILE, false},
    {"database: {mongodb: {database: d}}\n", CONFIG_MONGODB_URI_FILE, true},
    {"database: {event_store: embedded, snapshot_store: embedded}\n", CONFIG_MONGODB_URI_FILE, false},
    {"cache: {type: redis}\n", CONFIG_REDIS_TLS_CA_FILE, true},
    {"database: {snapshot_store: redis}\n", CONFIG_REDIS_TLS_CERT_FILE, true},
    {"database: {mysql: {host: h}, redis: {host: h}}\n", CONFIG_REDIS_TLS_KEY_FILE, true},
    {"database: {mysql: {host: h}, redis: {host: h, hints: false}}\n", CONFIG_REDIS_PASSWORD_FILE, false},
    {"database: {redis: {host: h}}\n", CONFIG_REDIS_PASSWORD_FILE, false},
};

static void expect_refusal(const struct config *config, enum config_key key, const char *path,
                           const char *why)
{
    const struct status status = config_check_files(config);
    assert_int_equal(status.code, STATUS_INVALID_ARGUMENT);
    if (strstr(status.message, config_key_path(key)) == NULL || strstr(status.message, path) == NULL ||
        strstr(status.message, why) == NULL)
        fail_msg("%s: \"%s\"", config_key_path(key), status.message);
}

static void test_a_file_that_is_named_and_used_can_be_read(void **state)
{
    const struct place *place = *state;
    for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
        CLEANUP(config_free_at) struct config *config = read_config(place, needed[i].text, 0600);
        assert_status_ok(config_check_files(config)); /* none is named */
        assert_status_ok(config_set(config, needed[i].key, place->secret));
        if (!needed[i].used) {
            assert_status_ok(config_check_files(config));
            continue;
        }
        expect_refusal(config, needed[i].key, place->secret, "No such file");
        write_file(place->secret, "x", 0600);
        assert_status_ok(config_check_files(config));
        assert_int_equal(chmod(place->secret, 0), 0);
        if (geteuid() != 0) /* who may read everything */
            expect_refusal(config, needed[i].key, place->secret, "Permission denied");
        assert_int_equal(unlink(place->secret), 0);
        assert_status_ok(config_set(config, needed[i].key, place->folder));
        expect_refusal(config, needed[i].key, place->folder, "Is a directory");
    }
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, make_place, remove_place)
    const struct CMUnitTest tests[] = {
        ROW(test_a_configuration_with_a_secret_is_its_owners_alone),
        ROW(test_a_secret_that_the_environment_replaces_is_told_of),
        ROW(test_a_file_that_holds_a_secret_is_its_owners_alone),
        ROW(test_all_that_is_exposed_is_told_of),
        ROW(test_a_file_that_is_named_and_used_can_be_read),
    };
#undef ROW
    return cmocka_run_group_tests_name("config_files", tests, NULL, NULL);
}
