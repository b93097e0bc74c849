/*
 * Every key: identifier, path, type, default, least, most, unit, help. `most` 0 means no upper bound; for
 * choices the `unit` column lists the words; texts with the unit "secret" are never shown. The keys of a section
 * stand together. configs/config.yaml ships all of them.
 */
#pragma once

#define CONFIG_UNIT_SECRET "secret"

/* clang-format off */
#define CONFIG_KEY_TABLE(X)                                                                                             \
    X(NAME, "name", TEXT, "strata", 0, 0, "", "shown by /api/v1/info")                                                  \
    X(VERSION, "version", TEXT, "1.0.0", 0, 0, "", "of your deployment, shown by /api/v1/info")                         \
    X(DESCRIPTION, "description", TEXT, "", 0, 0, "", "shown by /api/v1/info")                                          \
    X(METADATA, "metadata", MAP, "", 0, 0, "", "environment, region and the like, shown by /api/v1/info")               \
    X(MAX_EVENTS, "max_events", INT, "0", 0, 0, "events", "events in the store; 0 = unlimited")                         \
    X(MAX_AGGREGATES, "max_aggregates", INT, "0", 0, 0, "aggregates", "aggregates in the store; 0 = unlimited")         \
    X(MAX_SNAPSHOTS, "max_snapshots", INT, "0", 0, 0, "snapshots", "snapshots kept; 0 = unlimited")                     \
    X(SNAPSHOT_INTERVAL, "snapshot_interval", DURATION, "0s", 0, 0, "", "age after which a read renews a snapshot; 0s = never") \
    X(SNAPSHOT_EVENTS, "snapshot_events", INT, "100", 0, 1000000, "events", "events after which a snapshot is taken; 0 = never") \
    X(CLEANUP_INTERVAL, "cleanup_interval", DURATION, "1h", 0, 0, "", "how often superseded snapshots go; 0s = never")  \
    X(VALIDATION_ENABLED, "validation_enabled", BOOL, "true", 0, 0, "", "payload shapes and domain checks")             \
    X(CACHING_ENABLED, "caching_enabled", BOOL, "true", 0, 0, "", "and cache.enabled: both are needed")                 \
    X(MONITORING_ENABLED, "monitoring_enabled", BOOL, "false", 0, 0, "", "and monitoring.enabled: both are needed")     \
    X(AUDITING_ENABLED, "auditing_enabled", BOOL, "false", 0, 0, "", "an audit entry for each change")                  \
    X(SUPPORTED_EVENT_TYPES, "supported_event_types", LIST, "", 0, 0, "", "types that may be appended; an entry may end in *; none = the built-in ones") \
    X(SUPPORTED_AGGREGATE_TYPES, "supported_aggregate_types", LIST, "", 0, 0, "", "as above, of aggregates")            \
    X(MAX_EVENT_DATA_SIZE, "validation_rules.max_event_data_size", INT, "1048576", 1, 3145728, "bytes", "data and metadata of one event") \
    X(MAX_AGGREGATE_EVENTS, "validation_rules.max_aggregate_events", INT, "0", 0, 2147483647, "events", "events of one aggregate; 0 = unlimited") \
    X(VALIDATION_STRICT, "validation_rules.strict", BOOL, "false", 0, 0, "", "refuse payload members that a known type does not name") \
    X(EVENT_STORE, "database.event_store", CHOICE, "", 0, 0, "embedded memory mysql mongodb", "engine of the events")   \
    X(SNAPSHOT_STORE, "database.snapshot_store", CHOICE, "", 0, 0, "embedded memory mysql mongodb redis", "engine of the snapshots") \
    X(EMBEDDED_PATH, "database.embedded.path", TEXT, "data", 0, 0, "", "folder of the embedded store")                  \
    X(EMBEDDED_STORE_ID, "database.embedded.store_id", TEXT, "main", 0, 0, "", "name of the store inside the folder")   \
    X(EMBEDDED_SEGMENT_SIZE, "database.embedded.segment_size", INT, "268435456", 1048576, 268435456, "bytes", "size at which a new log segment begins") \
    X(EMBEDDED_SEGMENT_EVENTS, "database.embedded.segment_events", INT, "250000", 1, 250000, "events", "events after which a new log segment begins") \
    X(EMBEDDED_HEAD_CACHE_SIZE, "database.embedded.head_cache_size", INT, "100663296", 65536, 1073741824, "bytes", "memory for the heads of aggregates that are appended to") \
    X(MYSQL_HOST, "database.mysql.host", TEXT, "localhost", 0, 0, "", "")                                               \
    X(MYSQL_PORT, "database.mysql.port", INT, "3306", 1, 65535, "", "")                                                 \
    X(MYSQL_USERNAME, "database.mysql.username", TEXT, "", 0, 0, "", "")                                                \
    X(MYSQL_PASSWORD, "database.mysql.password", TEXT, "", 0, 0, "secret", "")                                          \
    X(MYSQL_PASSWORD_FILE, "database.mysql.password_file", TEXT, "", 0, 0, "", "file that holds the password")          \
    X(MYSQL_DATABASE, "database.mysql.database", TEXT, "strata", 0, 0, "", "")                                          \
    X(MYSQL_STORE_ID, "database.mysql.store_id", TEXT, "main", 0, 0, "", "name of the store inside the database")       \
    X(MYSQL_TLS, "database.mysql.tls", CHOICE, "off", 0, 0, "off required verified", "verified: and the certificate is the host's") \
    X(MYSQL_TLS_CA_FILE, "database.mysql.tls_ca_file", TEXT, "", 0, 0, "", "certificates that may sign the server's; none = the system's") \
    X(MYSQL_POOL_SIZE, "database.mysql.pool_size", INT, "8", 1, 64, "connections", "of readers; two more append")      \
    X(MYSQL_CONNECT_TIMEOUT, "database.mysql.connect_timeout", DURATION, "5s", 1, 0, "", "")                            \
    X(MYSQL_IO_TIMEOUT, "database.mysql.io_timeout", DURATION, "30s", 1, 0, "", "of one statement")                     \
    X(MYSQL_SETTLE_TIMEOUT, "database.mysql.settle_timeout", DURATION, "15s", 1, 0, "", "how long a commit whose answer was lost is asked for") \
    X(MYSQL_ALLOW_WEAK_DURABILITY, "database.mysql.allow_weak_durability", BOOL, "false", 0, 0, "", "start although the server may lose what it acknowledged") \
    X(MONGODB_URI, "database.mongodb.uri", TEXT, "mongodb://localhost:27017", 0, 0, "secret", "with user and password where the server wants them") \
    X(MONGODB_URI_FILE, "database.mongodb.uri_file", TEXT, "", 0, 0, "", "file that holds the uri")                     \
    X(MONGODB_DATABASE, "database.mongodb.database", TEXT, "strata", 0, 0, "", "")                                      \
    X(MONGODB_STORE_ID, "database.mongodb.store_id", TEXT, "main", 0, 0, "", "name of the store inside the database")   \
    X(MONGODB_POOL_SIZE, "database.mongodb.pool_size", INT, "8", 1, 64, "connections", "of readers; five more append")  \
    X(MONGODB_CONNECT_TIMEOUT, "database.mongodb.connect_timeout", DURATION, "5s", 1, 0, "", "until a primary is found") \
    X(MONGODB_IO_TIMEOUT, "database.mongodb.io_timeout", DURATION, "30s", 1, 0, "", "of one command")                   \
    X(MONGODB_SETTLE_TIMEOUT, "database.mongodb.settle_timeout", DURATION, "15s", 1, 0, "", "how long a commit whose answer was lost is looked for") \
    X(REDIS_HOST, "database.redis.host", TEXT, "localhost", 0, 0, "", "")                                               \
    X(REDIS_PORT, "database.redis.port", INT, "6379", 1, 65535, "", "")                                                 \
    X(REDIS_USERNAME, "database.redis.username", TEXT, "", 0, 0, "", "none = the server's default user")                \
    X(REDIS_PASSWORD, "database.redis.password", TEXT, "", 0, 0, "secret", "")                                          \
    X(REDIS_PASSWORD_FILE, "database.redis.password_file", TEXT, "", 0, 0, "", "file that holds the password")          \
    X(REDIS_DB, "database.redis.db", INT, "0", 0, 1000000, "", "number of the server's database")                       \
    X(REDIS_KEY_PREFIX, "database.redis.key_prefix", TEXT, "strata", 0, 0, "", "of every key and channel; one for each deployment that shares a server") \
    X(REDIS_TLS, "database.redis.tls", CHOICE, "off", 0, 0, "off required verified", "verified: and the certificate is the host's") \
    X(REDIS_TLS_CA_FILE, "database.redis.tls_ca_file", TEXT, "", 0, 0, "", "certificates that may sign the server's; none = the system's") \
    X(REDIS_TLS_CERT_FILE, "database.redis.tls_cert_file", TEXT, "", 0, 0, "", "certificate of the client, where the server wants one") \
    X(REDIS_TLS_KEY_FILE, "database.redis.tls_key_file", TEXT, "", 0, 0, "", "its key")                                 \
    X(REDIS_POOL_SIZE, "database.redis.pool_size", INT, "8", 1, 64, "connections", "of each use: cache, snapshots")     \
    X(REDIS_CONNECT_TIMEOUT, "database.redis.connect_timeout", DURATION, "1s", 1, 0, "", "")                            \
    X(REDIS_IO_TIMEOUT, "database.redis.io_timeout", DURATION, "5s", 1, 0, "", "of one command of the snapshot store")  \
    X(REDIS_HINTS, "database.redis.hints", BOOL, "true", 0, 0, "", "tell other replicas of commits, so that their subscribers need not wait for a poll") \
    X(CACHE_ENABLED, "cache.enabled", BOOL, "true", 0, 0, "", "cached states of aggregates")                            \
    X(CACHE_TYPE, "cache.type", CHOICE, "memory", 0, 0, "memory redis", "where cached states are")                      \
    X(CACHE_TTL, "cache.ttl", DURATION, "5m", 0, 0, "", "age at which an entry may go")                                 \
    X(CACHE_TIMEOUT, "cache.timeout", DURATION, "200ms", 1, 0, "", "of Redis: a cached state that takes longer is done without") \
    X(CACHE_MAX_SIZE, "cache.max_size", INT, "10000", 1, 100000000, "entries", "cached states, least recently used out first") \
    X(CACHE_CLEANUP_INTERVAL, "cache.cleanup_interval", DURATION, "10m", 0, 0, "", "how often expired entries go")      \
    X(MESSAGE_QUEUE_ENABLED, "message_queue.enabled", BOOL, "false", 0, 0, "", "relay to Kafka")                        \
    X(MESSAGE_QUEUE_BROKERS, "message_queue.brokers", LIST, "", 0, 0, "", "host:port of Kafka brokers")                 \
    X(MESSAGE_QUEUE_TOPICS, "message_queue.topics", LIST, "", 0, 0, "", "topics to write")                              \
    X(WEBSOCKET_ENABLED, "websocket.enabled", BOOL, "true", 0, 0, "", "serve /ws")                                      \
    X(WEBSOCKET_PORT, "websocket.port", INT, "8080", 0, 65535, "", "equal to server.http_port: one listener; 0 = any free port") \
    X(WEBSOCKET_READ_BUFFER_SIZE, "websocket.read_buffer_size", INT, "4096", 1024, 1048576, "bytes", "largest message read from a client") \
    X(WEBSOCKET_WRITE_BUFFER_SIZE, "websocket.write_buffer_size", INT, "65536", 1024, 16777216, "bytes", "queued for a slow client before its cursor waits") \
    X(WEBSOCKET_MAX_CONNECTIONS, "websocket.max_connections", INT, "12000", 1, 16384, "connections", "open at once, if the descriptor limit is four times as much; the next one gets 503") \
    X(WEBSOCKET_HANDSHAKE_TIMEOUT, "websocket.handshake_timeout", DURATION, "10s", 1, 0, "", "time for a request's head") \
    X(SECURITY_ENABLED, "security.enabled", BOOL, "false", 0, 0, "", "false: development mode")                         \
    X(SECURITY_JWT_SECRET, "security.jwt_secret", TEXT, "", 0, 0, "secret", "at least 32 bytes, else development mode") \
    X(SECURITY_JWT_SECRET_FILE, "security.jwt_secret_file", TEXT, "", 0, 0, "", "file that holds the secret")           \
    X(SECURITY_TOKEN_EXPIRY, "security.token_expiry", DURATION, "24h", 1, 0, "", "of tokens that strata token makes")   \
    X(SECURITY_ALLOWED_ORIGINS, "security.allowed_origins", LIST, "[\"*\"]", 0, 0, "", "origins of web pages; \"*\" means loopback pages in development mode") \
    X(SECURITY_ALLOWED_HOSTS, "security.allowed_hosts", LIST, "", 0, 0, "", "names and addresses by which web clients may call this server, beside those of loopback") \
    X(SECURITY_RATE_LIMIT_ENABLED, "security.rate_limit_enabled", BOOL, "false", 0, 0, "", "")                          \
    X(SECURITY_RATE_LIMIT_REQUESTS, "security.rate_limit_requests", INT, "100", 1, 1000000, "requests", "each window")  \
    X(SECURITY_RATE_LIMIT_WINDOW, "security.rate_limit_window", DURATION, "1m", 1, 0, "", "")                           \
    X(SECURITY_ALLOW_INSECURE_BIND, "security.allow_insecure_bind", BOOL, "false", 0, 0, "", "let others than this machine in without a token: another server.bind, requests that a proxy passes on") \
    X(MONITORING_SECTION_ENABLED, "monitoring.enabled", BOOL, "false", 0, 0, "", "serve metrics")                       \
    X(MONITORING_PORT, "monitoring.port", INT, "9090", 0, 65535, "", "")                                                \
    X(MONITORING_PATH, "monitoring.path", TEXT, "/metrics", 0, 0, "", "")                                               \
    X(MONITORING_COLLECT_INTERVAL, "monitoring.collect_interval", DURATION, "15s", 1, 0, "", "")                        \
    X(LOGGING_LEVEL, "logging.level", CHOICE, "info", 0, 0, "debug info warn error", "least level that is written")     \
    X(LOGGING_FORMAT, "logging.format", CHOICE, "text", 0, 0, "json text", "")                                          \
    X(LOGGING_OUTPUT, "logging.output", TEXT, "stderr", 0, 0, "", "stderr, stdout or a file")                           \
    X(SERVER_BIND, "server.bind", TEXT, "127.0.0.1", 0, 0, "", "address of every listener")                             \
    X(SERVER_HTTP_PORT, "server.http_port", INT, "8080", 0, 65535, "", "REST, SSE and /ws; 0 = any free port")          \
    X(SERVER_GRPC_PORT, "server.grpc_port", INT, "50051", 0, 65535, "", "gRPC; 0 = any free port")
/* clang-format on */
