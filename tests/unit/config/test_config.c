#include "support/cmocka.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "config/config.h"

static struct status read_text(struct config *config, const char *text)
{
    return config_read_yaml(config, "test.yaml", text, strlen(text));
}

/* Every refusal must tell the operator where, which key, which value and what to write instead. */
static const struct {
    const char *why;
    const char *text;
    const char *message; /* all of it */
} refusals[] = {
    {"a misspelt key", "max_evnts: 5\n",
     "test.yaml:1: the key max_evnts is unknown; did you mean max_events?"},
    {"a misspelt key below a section", "cache:\n  enabled: true\n  typ: memory\n",
     "test.yaml:3: the key cache.typ is unknown; did you mean cache.type?"},
    {"a wrong type", "name: x\nmax_events: many\n",
     "test.yaml:2: max_events is \"many\"; write a whole number"},
    {"a negative count", "max_events: -1\n", "test.yaml:1: max_events is -1; set it to 0 or more"},
    {"out of range", "validation_rules:\n  max_event_data_size: 4000000\n",
     "test.yaml:2: validation_rules.max_event_data_size is 4000000; set it between 1 and 3145728 bytes"},
    {"a word for a yes", "caching_enabled: yes\n",
     "test.yaml:1: caching_enabled is \"yes\"; write true or false"},
    {"a duration without its unit", "cleanup_interval: 60\n",
     "test.yaml:1: cleanup_interval is \"60\"; write a number with its unit, such as 500ms, 30s, 5m, 24h or 7d"},
    {"a choice that is none", "logging:\n  level: loud\n",
     "test.yaml:2: logging.level is \"loud\"; choose one of: debug info warn error"},
    {"one value for a list", "supported_event_types: custom\n",
     "test.yaml:1: supported_event_types is a single value; write a list such as [a, b]"},
    {"a list for one value", "name: [a, b]\n", "test.yaml:1: name is a list; write one value"},
    {"a value for a section", "cache: 5\n",
     "test.yaml:1: cache is a section; write its keys below it, indented"},
    {"a port that is none", "server:\n  http_port: 70000\n",
     "test.yaml:2: server.http_port is 70000; set it between 0 and 65535"},
};

static void test_refusals_name_place_key_value_and_remedy(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
        CLEANUP(config_free_at) struct config *config = config_new();
        struct status status = read_text(config, refusals[i].text);
        if (status.code != STATUS_INVALID_ARGUMENT || strcmp(status.message, refusals[i].message) != 0)
            fail_msg("%s: code %d, \"%s\"", refusals[i].why, status.code, status.message);
    }
}

static void test_a_duplicate_key_is_refused_with_its_place(void **state)
{
    (void)state;
    CLEANUP(config_free_at) struct config *config = config_new();
    struct status status = read_text(config, "name: a\nmax_events: 1\nname: b\n");
    assert_int_equal(status.code, STATUS_INVALID_ARGUMENT);
    assert_non_null(strstr(status.message, "test.yaml"));
    assert_non_null(strstr(status.message, "3:"));
    assert_non_null(strstr(status.message, "duplicate"));
}

/* An alias that was resolved could blow a small file up to gigabytes. */
static void test_aliases_are_refused(void **state)
{
    (void)state;
    CLEANUP(config_free_at) struct config *config = config_new();
    struct status status = read_text(config, "name: &a x\ndescription: *a\n");
    assert_int_equal(status.code, STATUS_INVALID_ARGUMENT);
    assert_non_null(strstr(status.message, "alias"));
}

static void test_values_are_read_in_their_units(void **state)
{
    (void)state;
    CLEANUP(config_free_at) struct config *config = config_new();
    assert_status_ok(read_text(config,
                               "cache:\n  ttl: 1h30m\n  max_size: 7\nmetadata:\n  region: eu\n"
                               "supported_event_types: [custom, \"ledger_*\"]\nvalidation_enabled: false\n"));
    assert_int_equal(config_duration_us(config, CONFIG_CACHE_TTL), INT64_C(5400000000));
    assert_int_equal(config_int(config, CONFIG_CACHE_MAX_SIZE), 7);
    assert_false(config_bool(config, CONFIG_VALIDATION_ENABLED));
    size_t count = 0;
    const char *const *types = config_list(config, CONFIG_SUPPORTED_EVENT_TYPES, &count);
    assert_int_equal(count, 2);
    assert_string_equal(types[1], "ledger_*");
    const struct config_pair *pairs = config_map(config, CONFIG_METADATA, &count);
    assert_int_equal(count, 1);
    assert_string_equal(pairs[0].name, "region");
    assert_string_equal(pairs[0].value, "eu");
}

static void test_the_shipped_file_has_every_key_and_is_good(void **state)
{
    (void)state;
    CLEANUP(config_free_at) struct config *config = config_new();
    assert_status_ok(config_read_file(config, "configs/config.yaml"));
    assert_status_ok(config_check(config));
    assert_status_ok(config_check_built(config, false));
    FILE *file = fopen("configs/config.yaml", "re");
    assert_non_null(file);
    static char text[16384];
    const size_t size = fread(text, 1, sizeof text - 1, file);
    (void)fclose(file); /* only read from */
    text[size] = '\0';
    for (enum config_key key = 0; key < CONFIG_KEY_COUNT; key++) {
        const char *dot = strrchr(config_key_path(key), '.');
        char last[64];
        (void)snprintf(last, sizeof last, "%s:", dot == NULL ? config_key_path(key) : dot + 1);
        if (strstr(text, last) == NULL)
            fail_msg("configs/config.yaml does not show %s", config_key_path(key));
    }
}

static const struct {
    const char *yaml;
    int http_port, websocket_port;
} ports[] = {
    {"server:\n  bind: localhost\n", 8080, 8080},
    {"server:\n  http_port: 8081\n", 8081, 8081},
    {"websocket:\n  port: 8082\n", 8082, 8082},
    {"websocket:\n  port: 8082\nserver:\n  http_port: 8080\n", 8080, 8082},
    {"websocket:\n  port: 8080\nserver:\n  http_port: 8083\n", 8083, 8080},
};

static void test_one_port_serves_both_unless_two_are_given(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
        CLEANUP(config_free_at) struct config *config = config_new();
        assert_status_ok(read_text(config, ports[i].yaml));
        config_settle(config);
        assert_status_ok(config_check(config));
        assert_status_ok(config_check_built(config, false));
        assert_int_equal(config_int(config, CONFIG_SERVER_HTTP_PORT), ports[i].http_port);
        assert_int_equal(config_int(config, CONFIG_WEBSOCKET_PORT), ports[i].websocket_port);
    }
}

static void test_the_environment_overrides_the_file(void **state)
{
    (void)state;
    CLEANUP(config_free_at) struct config *config = config_new();
    assert_status_ok(read_text(config, "server:\n  http_port: 8081\n"));
    const char *const environment[] = {"PATH=/bin",
                                       "STRATA_SERVER_HTTP_PORT=8090",
                                       "STRATA_SUPPORTED_EVENT_TYPES=[\"custom\"]",
                                       "STRATA_PORT=tcp://10.0.0.1:80",
                                       "STRATA_METADATA={\"region\":\"us\"}",
                                       NULL};
    assert_status_ok(config_read_environment(config, environment));
    assert_int_equal(config_int(config, CONFIG_SERVER_HTTP_PORT), 8090);
    size_t count = 0;
    assert_string_equal(config_list(config, CONFIG_SUPPORTED_EVENT_TYPES, &count)[0], "custom");
    assert_string_equal(config_map(config, CONFIG_METADATA, &count)[0].value, "us");
}

static void test_an_unknown_variable_is_refused_by_name(void **state)
{
    (void)state;
    CLEANUP(config_free_at) struct config *config = config_new();
    const char *const environment[] = {"STRATA_SERVR_BIND=127.0.0.1", NULL};
    struct status status = config_read_environment(config, environment);
    assert_int_equal(status.code, STATUS_INVALID_ARGUMENT);
    assert_non_null(strstr(status.message, "STRATA_SERVR_BIND"));
}

/* The only names that mean two keys; both are set. A new pair must be a decision, not an accident. */
static void test_a_name_that_maps_to_two_keys_sets_both(void **state)
{
    (void)state;
    size_t pairs = 0;
    for (enum config_key a = 0; a < CONFIG_KEY_COUNT; a++) {
        for (enum config_key b = a + 1; b < CONFIG_KEY_COUNT; b++) {
            char one[128];
            char two[128];
            (void)snprintf(one, sizeof one, "%s", config_key_path(a));
            (void)snprintf(two, sizeof two, "%s", config_key_path(b));
            for (char *at = one; *at != '\0'; at++)
                *at = *at == '.' ? '_' : *at;
            for (char *at = two; *at != '\0'; at++)
                *at = *at == '.' ? '_' : *at;
            if (strcmp(one, two) == 0) {
                assert_string_equal(one, "monitoring_enabled");
                pairs++;
            }
        }
    }
    assert_int_equal(pairs, 1);
    CLEANUP(config_free_at) struct config *config = config_new();
    const char *const environment[] = {"STRATA_MONITORING_ENABLED=true", NULL};
    assert_status_ok(config_read_environment(config, environment));
    assert_true(config_bool(config, CONFIG_MONITORING_ENABLED));
    assert_true(config_bool(config, CONFIG_MONITORING_SECTION_ENABLED));
}

static void test_development_mode_refuses_other_addresses_by_name(void **state)
{
    (void)state;
    CLEANUP(config_free_at) struct config *config = config_new();
    assert_status_ok(read_text(config, "server:\n  bind: 0.0.0.0\n"));
    struct status status = config_check(config);
    assert_int_equal(status.code, STATUS_INVALID_ARGUMENT);
    assert_non_null(strstr(status.message, "server.bind"));
    assert_non_null(strstr(status.message, "security.allow_insecure_bind"));
    assert_null(strstr(status.message, "security.enabled")); /* which no build can grant */
    assert_status_ok(read_text(config, "security:\n  allow_insecure_bind: true\n"));
    assert_status_ok(config_check(config));
}

static const struct {
    const char *host;
    bool good;
} hosts[] = {
    {"strata.internal", true},
    {"10.0.0.5", true},
    {"[2001:db8::1]", true},
    {"a_b-c.example.", true},
    {"", false},
    {"*", false},
    {"a:8080", false},
    {"http://a", false},
    {"a/b", false},
    {"2001:db8::1", false},
    {"[a", false},
    {"[zz]", false},
    {"[]", false},
    {"a b", false},
    {"*.example", false},
    {"[", false},
};

static void test_a_host_is_named_as_a_request_names_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
        char text[128];
        CLEANUP(config_free_at) struct config *config = config_new();
        (void)snprintf(text, sizeof text, "security: {allowed_hosts: [\"%s\"]}\n", hosts[i].host);
        assert_status_ok(read_text(config, text));
        const struct status status = config_check(config);
        if ((status.code == STATUS_OK) != hosts[i].good)
            fail_msg("\"%s\": %s", hosts[i].host, status.message);
        if (!hosts[i].good)
            assert_non_null(strstr(status.message, "security.allowed_hosts"));
    }
}

static void test_a_secret_and_its_file_are_not_both_given(void **state)
{
    static const char *const both[][2] = {
        {"database:\n  mysql: {password: a, password_file: b}\n", "database.mysql.password_file"},
        {"database:\n  redis: {password: a, password_file: b}\n", "database.redis.password_file"},
        {"database:\n  mongodb: {uri: \"mongodb://a\", uri_file: b}\n", "database.mongodb.uri_file"},
        {"security: {jwt_secret: a, jwt_secret_file: b}\n", "security.jwt_secret_file"}};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
        CLEANUP(config_free_at) struct config *config = config_new();
        assert_status_ok(read_text(config, both[i][0]));
        const struct status status = config_check(config);
        assert_int_equal(status.code, STATUS_INVALID_ARGUMENT);
        assert_non_null(strstr(status.message, both[i][1]));
    }
    CLEANUP(config_free_at) struct config *config = config_new();
    assert_status_ok(read_text(
        config, "database:\n  mysql: {password: '', password_file: a}\n  mongodb: {uri_file: a}\n"));
    assert_status_ok(config_check(config)); /* the URI is a default */
}

static void test_a_file_of_comments_alone_is_the_defaults(void **state)
{
    static const char *const empty[] = {"", "\n", "# nothing: here\n\n  # nor here", " \r\n"};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(empty); i++) {
        CLEANUP(config_free_at) struct config *config = config_new();
        const struct status status = read_text(config, empty[i]);
        if (status.code != STATUS_OK)
            fail_msg("\"%s\": %s", empty[i], status.message);
        assert_int_equal(config_int(config, CONFIG_SERVER_GRPC_PORT), 50051);
    }
}

static const struct {
    const char *why;
    const char *text;
    const char *names; /* part of the message */
} unbuilt[] = {
    {"enforced security", "security:\n  enabled: true\n  jwt_secret: 0123456789abcdef0123456789abcdef\n",
     "security.enabled"},
    {"Kafka", "message_queue:\n  enabled: true\n  brokers: [\"b:9092\"]\n", "message_queue.enabled"},
    {"metrics", "monitoring_enabled: true\nmonitoring:\n  enabled: true\n", "monitoring.enabled"},
    {"audit", "auditing_enabled: true\n", "auditing_enabled"},
};

static void test_what_is_not_built_is_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(unbuilt); i++) {
        CLEANUP(config_free_at) struct config *config = config_new();
        assert_status_ok(read_text(config, unbuilt[i].text));
        assert_status_ok(config_check(config));
        struct status status = config_check_built(config, false);
        if (status.code != STATUS_UNIMPLEMENTED || strstr(status.message, unbuilt[i].names) == NULL)
            fail_msg("%s: code %d, \"%s\"", unbuilt[i].why, status.code, status.message);
        status = config_check_built(config, true);
        assert_int_equal(status.code, STATUS_UNIMPLEMENTED); /* embedded or not */
    }
}

static const struct {
    const char *text;
    const char *events;
    const char *snapshots;
} engines[] = {
    {"", "embedded", "embedded"},
    {"database:\n  mysql:\n    host: db\n", "mysql", "mysql"},
    {"database:\n  mongodb:\n    database: db\n", "mongodb", "mongodb"},
    {"database:\n  mysql:\n    host: db\n  mongodb:\n    database: db\n", "mysql", "mongodb"},
    {"database:\n  event_store: mysql\n  snapshot_store: memory\n", "mysql", "memory"},
    {"database:\n  snapshot_store: mongodb\n", "embedded", "mongodb"},
    {"database:\n  mongodb:\n    uri: mongodb://a,b/?replicaSet=r\n  event_store: mongodb\n", "mongodb",
     "mongodb"},
    {"database:\n  mysql:\n    host: db\n  snapshot_store: redis\n", "mysql", "redis"},
    {"database:\n  redis:\n    host: db\n", "embedded", "embedded"},
};

static void test_engines_follow_from_the_sections_unless_they_are_chosen(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(engines); i++) {
        CLEANUP(config_free_at) struct config *config = config_new();
        assert_status_ok(read_text(config, engines[i].text));
        assert_string_equal(config_event_store(config), engines[i].events);
        assert_string_equal(config_snapshot_store(config), engines[i].snapshots);
        assert_status_ok(config_check_built(config, false));
    }
}

static void test_snapshots_are_in_files_only_beside_events_that_are(void **state)
{
    (void)state;
    CLEANUP(config_free_at) struct config *config = config_new();
    assert_status_ok(read_text(config, "database:\n  event_store: mongodb\n  snapshot_store: embedded\n"));
    const struct status status = config_check_built(config, false);
    assert_int_equal(status.code, STATUS_INVALID_ARGUMENT);
    assert_non_null(strstr(status.message, "the events are in \"mongodb\""));
    assert_status_ok(config_check_built(config, true));
}

static struct json_value *as_json(const struct config *config, struct arena *arena)
{
    struct buffer text = buffer_in(arena, 0);
    struct json_value *value = NULL;
    assert_status_ok(config_json(config, &text));
    assert_status_ok(
        json_parse(arena, buffer_bytes(&text), &value)); /* refuses a section that stands there twice */
    return value;
}

/* The value at a path such as "cache.ttl", as written; "" when there is none. */
static struct bytes shown(const struct json_value *value, const char *path)
{
    while (value != NULL && *path != '\0') {
        const size_t length = strcspn(path, ".");
        value = json_member(value, bytes_of(path, length));
        path += length + (path[length] == '.');
    }
    return value == NULL ? BYTES_NONE : value->token;
}

static void assert_shown(const struct json_value *value, const char *path, const char *wanted)
{
    const struct bytes found = shown(value, path);
    if (!bytes_equal(found, bytes_of_text(wanted)))
        fail_msg("%s shows as %.*s, not as %s", path, BYTES_FORMAT(found), wanted);
}

static void test_json_shows_every_key_in_its_section(void **state)
{
    (void)state;
    CLEANUP(config_free_at) struct config *config = config_new();
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    assert_status_ok(read_text(config,
                               "max_events: 7\ncaching_enabled: false\nmetadata:\n  region: \"e\\\"u\"\n"
                               "security:\n  allowed_origins: [a, b]\n  token_expiry: 1h30m\n"
                               "cache:\n  ttl: 1500us\n"));
    const struct json_value *value = as_json(config, arena);
    for (enum config_key key = 0; key < CONFIG_KEY_COUNT; key++) {
        const enum config_type type = config_key_type(key);
        if (type != CONFIG_LIST && type != CONFIG_MAP && shown(value, config_key_path(key)).size_bytes == 0)
            fail_msg("%s is not shown", config_key_path(key));
    }
    assert_shown(value, "max_events", "7");
    assert_shown(value, "caching_enabled", "false");
    assert_shown(value, "metadata.region", "\"e\\\"u\"");
    assert_shown(value, "logging.level", "\"info\"");
    assert_shown(value, "snapshot_interval", "\"0s\"");
    assert_shown(value, "security.token_expiry", "\"90m\"");
    assert_shown(value, "cache.ttl", "\"1500us\"");
    assert_shown(value, "cache.cleanup_interval", "\"10m\"");
    assert_shown(value, "database.embedded.path", "\"data\"");
    const struct json_value *origins =
        json_member(json_member(value, BYTES_LITERAL("security")), BYTES_LITERAL("allowed_origins"));
    assert_int_equal(origins->count, 2);
    assert_true(bytes_equal(origins->elements[1]->token, BYTES_LITERAL("\"b\"")));
}

/* Also a key that somebody adds one day: its name must be enough to hide it. */
static void test_json_hides_secrets(void **state)
{
    (void)state;
    CLEANUP(config_free_at) struct config *config = config_new();
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    size_t secret_count = 0;
    for (enum config_key key = 0; key < CONFIG_KEY_COUNT; key++) {
        const char *path = config_key_path(key);
        const bool file = strstr(path, "_file") != NULL;
        if (config_key_type(key) != CONFIG_TEXT || file ||
            (strstr(path, "password") == NULL && strstr(path, "secret") == NULL &&
             strstr(path, ".uri") == NULL))
            continue;
        secret_count++;
        assert_shown(as_json(config, arena), path, config_text(config, key)[0] == '\0' ? "\"\"" : "\"***\"");
        assert_status_ok(config_set(config, key, "do-not-show-this"));
        assert_shown(as_json(config, arena), path, "\"***\"");
    }
    assert_int_equal(secret_count, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals_name_place_key_value_and_remedy),
        cmocka_unit_test(test_a_duplicate_key_is_refused_with_its_place),
        cmocka_unit_test(test_aliases_are_refused),
        cmocka_unit_test(test_values_are_read_in_their_units),
        cmocka_unit_test(test_the_shipped_file_has_every_key_and_is_good),
        cmocka_unit_test(test_one_port_serves_both_unless_two_are_given),
        cmocka_unit_test(test_the_environment_overrides_the_file),
        cmocka_unit_test(test_an_unknown_variable_is_refused_by_name),
        cmocka_unit_test(test_a_name_that_maps_to_two_keys_sets_both),
        cmocka_unit_test(test_development_mode_refuses_other_addresses_by_name),
        cmocka_unit_test(test_a_host_is_named_as_a_request_names_it),
        cmocka_unit_test(test_a_secret_and_its_file_are_not_both_given),
        cmocka_unit_test(test_a_file_of_comments_alone_is_the_defaults),
        cmocka_unit_test(test_what_is_not_built_is_refused_by_name),
        cmocka_unit_test(test_engines_follow_from_the_sections_unless_they_are_chosen),
        cmocka_unit_test(test_snapshots_are_in_files_only_beside_events_that_are),
        cmocka_unit_test(test_json_shows_every_key_in_its_section),
        cmocka_unit_test(test_json_hides_secrets),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
