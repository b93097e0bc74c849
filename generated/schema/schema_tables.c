/* Made from proto/ by scripts/generate; never edited. */

#include "schema/schema.h"

#include "google/protobuf/duration.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "strata/v1/aggregate_service.pb-c.h"
#include "strata/v1/event.pb-c.h"
#include "strata/v1/event_service.pb-c.h"
#include "strata/v1/payload.pb-c.h"
#include "strata/v1/snapshot_service.pb-c.h"
#include "strata/v1/subscription_service.pb-c.h"
#include "strata/v1/system_service.pb-c.h"
#include "strata/v1/websocket.pb-c.h"

static const struct schema_enum_value values_cleanup_what[] = {
    {"WHAT_UNSPECIFIED", 0},
    {"SNAPSHOTS", 1},
    {"SUBSCRIPTIONS", 3},
};
static const struct schema_enum enum_cleanup_what = {"strata.v1.Cleanup.What", values_cleanup_what, 3};

static const struct schema_enum_value values_direction[] = {
    {"DIRECTION_UNSPECIFIED", 0},
    {"FORWARD", 1},
    {"BACKWARD", 2},
};
static const struct schema_enum enum_direction = {"strata.v1.Direction", values_direction, 3};

static const struct schema_enum_value values_health_state[] = {
    {"STATE_UNSPECIFIED", 0},
    {"HEALTHY", 1},
    {"DEGRADED", 2},
    {"UNHEALTHY", 3},
};
static const struct schema_enum enum_health_state = {"strata.v1.Health.State", values_health_state, 4};

static const struct schema_enum_value values_operation_state[] = {
    {"STATE_UNSPECIFIED", 0},
    {"RUNNING", 1},
    {"SUCCEEDED", 2},
    {"FAILED", 3},
    {"CANCELLED", 4},
};
static const struct schema_enum enum_operation_state = {"strata.v1.Operation.State", values_operation_state, 5};

static const struct schema_enum_value values_snapshot_state[] = {
    {"STATE_UNSPECIFIED", 0},
    {"VERIFIED", 1},
    {"PENDING", 2},
    {"DIVERGENT", 3},
};
static const struct schema_enum enum_snapshot_state = {"strata.v1.Snapshot.State", values_snapshot_state, 4};

static const struct schema_enum_value values_subscription_kind[] = {
    {"KIND_UNSPECIFIED", 0},
    {"STREAM", 1},
    {"WEBSOCKET", 2},
    {"SSE", 3},
    {"GROUP", 4},
    {"HANDLER", 5},
    {"RELAY", 6},
};
static const struct schema_enum enum_subscription_kind = {"strata.v1.Subscription.Kind", values_subscription_kind, 7};

static const struct schema_field fields_google_protobuf_timestamp[] = {
    {1, "seconds", "seconds", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
    {2, "nanos", "nanos", SCHEMA_INT32, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_google_protobuf_timestamp[] = {0, 1, 2};
static const struct schema_name names_google_protobuf_timestamp[] = {
    {"nanos", 5, 1},
    {"seconds", 7, 0},
};
static const struct schema_message message_google_protobuf_timestamp = {
    "google.protobuf.Timestamp", SCHEMA_TIMESTAMP, fields_google_protobuf_timestamp, 2, NULL, 0,
    names_google_protobuf_timestamp, 2, places_google_protobuf_timestamp, 3, sizeof(Google__Protobuf__Timestamp) + 16 * 0,
};

static const struct schema_field fields_event[] = {
    {1, "id", "id", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "type", "type", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {3, "aggregate_id", "aggregateId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {4, "aggregate_type", "aggregateType", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {5, "version", "version", SCHEMA_INT32, 0, -1, NULL, NULL, NULL},
    {6, "position", "position", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
    {7, "timestamp", "timestamp", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_google_protobuf_timestamp, NULL, NULL},
    {8, "correlation_id", "correlationId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {9, "causation_id", "causationId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {10, "content_type", "contentType", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {11, "schema_version", "schemaVersion", SCHEMA_INT32, 0, -1, NULL, NULL, NULL},
    {12, "tags", "tags", SCHEMA_STRING, SCHEMA_REPEATED, -1, NULL, NULL, NULL},
    {13, "subject", "subject", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {14, "occurred_at", "occurredAt", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_google_protobuf_timestamp, NULL, NULL},
    {15, "traceparent", "traceparent", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {16, "append_id", "appendId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {17, "append_index", "appendIndex", SCHEMA_INT32, 0, -1, NULL, NULL, NULL},
    {18, "append_count", "appendCount", SCHEMA_INT32, 0, -1, NULL, NULL, NULL},
    {19, "actor", "actor", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {20, "payload_digest", "payloadDigest", SCHEMA_BYTES, 0, -1, NULL, NULL, NULL},
    {30, "data", "data", SCHEMA_BYTES, SCHEMA_RAW_JSON, -1, NULL, NULL, NULL},
    {31, "metadata", "metadata", SCHEMA_BYTES, SCHEMA_RAW_JSON, -1, NULL, NULL, NULL},
    {32, "payload_salt", "payloadSalt", SCHEMA_BYTES, SCHEMA_INTERNAL, -1, NULL, NULL, NULL},
    {33, "sealed_payload", "sealedPayload", SCHEMA_BYTES, SCHEMA_INTERNAL, -1, NULL, NULL, NULL},
    {34, "payload_key", "payloadKey", SCHEMA_STRING, SCHEMA_INTERNAL, -1, NULL, NULL, NULL},
    {40, "processed", "processed", SCHEMA_BOOL, 0, -1, NULL, NULL, NULL},
    {41, "processed_at", "processedAt", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_google_protobuf_timestamp, NULL, NULL},
    {42, "erased_at", "erasedAt", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_google_protobuf_timestamp, NULL, NULL},
};
static const uint8_t places_event[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 21, 22, 23, 24, 25, 0, 0, 0, 0, 0, 26, 27, 28};
static const struct schema_name names_event[] = {
    {"id", 2, 0},
    {"data", 4, 20},
    {"tags", 4, 11},
    {"type", 4, 1},
    {"actor", 5, 18},
    {"subject", 7, 12},
    {"version", 7, 4},
    {"appendId", 8, 15},
    {"erasedAt", 8, 27},
    {"metadata", 8, 21},
    {"position", 8, 5},
    {"append_id", 9, 15},
    {"erased_at", 9, 27},
    {"processed", 9, 25},
    {"timestamp", 9, 6},
    {"occurredAt", 10, 13},
    {"payloadKey", 10, 24},
    {"aggregateId", 11, 2},
    {"appendCount", 11, 17},
    {"appendIndex", 11, 16},
    {"causationId", 11, 8},
    {"contentType", 11, 9},
    {"occurred_at", 11, 13},
    {"payloadSalt", 11, 22},
    {"payload_key", 11, 24},
    {"processedAt", 11, 26},
    {"traceparent", 11, 14},
    {"aggregate_id", 12, 2},
    {"append_count", 12, 17},
    {"append_index", 12, 16},
    {"causation_id", 12, 8},
    {"content_type", 12, 9},
    {"payload_salt", 12, 22},
    {"processed_at", 12, 26},
    {"aggregateType", 13, 3},
    {"correlationId", 13, 7},
    {"payloadDigest", 13, 19},
    {"schemaVersion", 13, 10},
    {"sealedPayload", 13, 23},
    {"aggregate_type", 14, 3},
    {"correlation_id", 14, 7},
    {"payload_digest", 14, 19},
    {"schema_version", 14, 10},
    {"sealed_payload", 14, 23},
};
static const struct schema_message message_event = {
    "strata.v1.Event", SCHEMA_PLAIN, fields_event, 28, NULL, 0,
    names_event, 44, places_event, 43, sizeof(Strata__V1__Event) + 16 * 1,
};

static const struct schema_field fields_event_batch[] = {
    {1, "events", "events", SCHEMA_MESSAGE, SCHEMA_REPEATED, -1, &message_event, NULL, NULL},
};
static const uint8_t places_event_batch[] = {0, 1};
static const struct schema_name names_event_batch[] = {
    {"events", 6, 0},
};
static const struct schema_message message_event_batch = {
    "strata.v1.EventBatch", SCHEMA_PLAIN, fields_event_batch, 1, NULL, 0,
    names_event_batch, 1, places_event_batch, 2, sizeof(Strata__V1__EventBatch) + 16 * 1,
};

static const struct schema_field fields_new_event[] = {
    {1, "id", "id", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "type", "type", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {3, "aggregate_id", "aggregateId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {4, "aggregate_type", "aggregateType", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {8, "correlation_id", "correlationId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {9, "causation_id", "causationId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {10, "content_type", "contentType", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {11, "schema_version", "schemaVersion", SCHEMA_INT32, 0, -1, NULL, NULL, NULL},
    {12, "tags", "tags", SCHEMA_STRING, SCHEMA_REPEATED, -1, NULL, NULL, NULL},
    {13, "subject", "subject", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {14, "occurred_at", "occurredAt", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_google_protobuf_timestamp, NULL, NULL},
    {30, "data", "data", SCHEMA_BYTES, SCHEMA_RAW_JSON, -1, NULL, NULL, NULL},
    {31, "metadata", "metadata", SCHEMA_BYTES, SCHEMA_RAW_JSON, -1, NULL, NULL, NULL},
};
static const uint8_t places_new_event[] = {0, 1, 2, 3, 4, 0, 0, 0, 5, 6, 7, 8, 9, 10, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 13};
static const struct schema_name names_new_event[] = {
    {"id", 2, 0},
    {"data", 4, 11},
    {"tags", 4, 8},
    {"type", 4, 1},
    {"subject", 7, 9},
    {"metadata", 8, 12},
    {"occurredAt", 10, 10},
    {"aggregateId", 11, 2},
    {"causationId", 11, 5},
    {"contentType", 11, 6},
    {"occurred_at", 11, 10},
    {"aggregate_id", 12, 2},
    {"causation_id", 12, 5},
    {"content_type", 12, 6},
    {"aggregateType", 13, 3},
    {"correlationId", 13, 4},
    {"schemaVersion", 13, 7},
    {"aggregate_type", 14, 3},
    {"correlation_id", 14, 4},
    {"schema_version", 14, 7},
};
static const struct schema_message message_new_event = {
    "strata.v1.NewEvent", SCHEMA_PLAIN, fields_new_event, 13, NULL, 0,
    names_new_event, 20, places_new_event, 32, sizeof(Strata__V1__NewEvent) + 16 * 1,
};

static const struct schema_field fields_query_item[] = {
    {1, "types", "types", SCHEMA_STRING, SCHEMA_REPEATED, -1, NULL, NULL, NULL},
    {2, "tags", "tags", SCHEMA_STRING, SCHEMA_REPEATED, -1, NULL, NULL, NULL},
    {3, "aggregate_types", "aggregateTypes", SCHEMA_STRING, SCHEMA_REPEATED, -1, NULL, NULL, NULL},
    {4, "aggregate_ids", "aggregateIds", SCHEMA_STRING, SCHEMA_REPEATED, -1, NULL, NULL, NULL},
    {5, "aggregate_id_prefixes", "aggregateIdPrefixes", SCHEMA_STRING, SCHEMA_REPEATED, -1, NULL, NULL, NULL},
    {6, "correlation_id", "correlationId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_query_item[] = {0, 1, 2, 3, 4, 5, 6};
static const struct schema_name names_query_item[] = {
    {"tags", 4, 1},
    {"types", 5, 0},
    {"aggregateIds", 12, 3},
    {"aggregate_ids", 13, 3},
    {"correlationId", 13, 5},
    {"aggregateTypes", 14, 2},
    {"correlation_id", 14, 5},
    {"aggregate_types", 15, 2},
    {"aggregateIdPrefixes", 19, 4},
    {"aggregate_id_prefixes", 21, 4},
};
static const struct schema_message message_query_item = {
    "strata.v1.QueryItem", SCHEMA_PLAIN, fields_query_item, 6, NULL, 0,
    names_query_item, 10, places_query_item, 7, sizeof(Strata__V1__QueryItem) + 16 * 5,
};

static const struct schema_field fields_event_query[] = {
    {1, "items", "items", SCHEMA_MESSAGE, SCHEMA_REPEATED, -1, &message_query_item, NULL, NULL},
};
static const uint8_t places_event_query[] = {0, 1};
static const struct schema_name names_event_query[] = {
    {"items", 5, 0},
};
static const struct schema_message message_event_query = {
    "strata.v1.EventQuery", SCHEMA_PLAIN, fields_event_query, 1, NULL, 0,
    names_event_query, 1, places_event_query, 2, sizeof(Strata__V1__EventQuery) + 16 * 1,
};

static const struct schema_field fields_expectation[] = {
    {1, "aggregate_id", "aggregateId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "be_at_version", "beAtVersion", SCHEMA_INT32, SCHEMA_PRESENCE, 0, NULL, NULL, NULL},
    {3, "not_exist", "notExist", SCHEMA_BOOL, SCHEMA_PRESENCE, 0, NULL, NULL, NULL},
    {4, "exist", "exist", SCHEMA_BOOL, SCHEMA_PRESENCE, 0, NULL, NULL, NULL},
};
static const uint8_t places_expectation[] = {0, 1, 2, 3, 4};
static const struct schema_name names_expectation[] = {
    {"exist", 5, 3},
    {"notExist", 8, 2},
    {"not_exist", 9, 2},
    {"aggregateId", 11, 0},
    {"beAtVersion", 11, 1},
    {"aggregate_id", 12, 0},
    {"be_at_version", 13, 1},
};
static const char *const oneofs_expectation[] = {"must"};
static const struct schema_message message_expectation = {
    "strata.v1.Expectation", SCHEMA_PLAIN, fields_expectation, 4, oneofs_expectation, 1,
    names_expectation, 7, places_expectation, 5, sizeof(Strata__V1__Expectation) + 16 * 0,
};

static const struct schema_field fields_append_condition[] = {
    {1, "fail_if_match", "failIfMatch", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_event_query, NULL, NULL},
    {2, "after_position", "afterPosition", SCHEMA_INT64, SCHEMA_PRESENCE, -1, NULL, NULL, NULL},
};
static const uint8_t places_append_condition[] = {0, 1, 2};
static const struct schema_name names_append_condition[] = {
    {"failIfMatch", 11, 0},
    {"afterPosition", 13, 1},
    {"fail_if_match", 13, 0},
    {"after_position", 14, 1},
};
static const struct schema_message message_append_condition = {
    "strata.v1.AppendCondition", SCHEMA_PLAIN, fields_append_condition, 2, NULL, 0,
    names_append_condition, 4, places_append_condition, 3, sizeof(Strata__V1__AppendCondition) + 16 * 0,
};

static const struct schema_field fields_aggregate[] = {
    {1, "id", "id", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "type", "type", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {3, "version", "version", SCHEMA_INT32, 0, -1, NULL, NULL, NULL},
    {4, "state", "state", SCHEMA_BYTES, SCHEMA_RAW_JSON, -1, NULL, NULL, NULL},
    {5, "active", "active", SCHEMA_BOOL, 0, -1, NULL, NULL, NULL},
    {6, "metadata", "metadata", SCHEMA_BYTES, SCHEMA_RAW_JSON, -1, NULL, NULL, NULL},
    {7, "created_at", "createdAt", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_google_protobuf_timestamp, NULL, NULL},
    {8, "updated_at", "updatedAt", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_google_protobuf_timestamp, NULL, NULL},
    {9, "position", "position", SCHEMA_INT64, 0, -1, NULL, NULL, "Strata-Position"},
    {10, "event_count", "eventCount", SCHEMA_INT32, 0, -1, NULL, NULL, NULL},
    {11, "events", "events", SCHEMA_MESSAGE, SCHEMA_REPEATED, -1, &message_event, NULL, NULL},
    {12, "erased", "erased", SCHEMA_BOOL, 0, -1, NULL, NULL, NULL},
    {13, "etag", "etag", SCHEMA_STRING, 0, -1, NULL, NULL, "ETag"},
    {14, "replayed", "replayed", SCHEMA_BOOL, 0, -1, NULL, NULL, "Strata-Replayed"},
    {15, "as_of_position", "asOfPosition", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_aggregate[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
static const struct schema_name names_aggregate[] = {
    {"id", 2, 0},
    {"etag", 4, 12},
    {"type", 4, 1},
    {"state", 5, 3},
    {"active", 6, 4},
    {"erased", 6, 11},
    {"events", 6, 10},
    {"version", 7, 2},
    {"metadata", 8, 5},
    {"position", 8, 8},
    {"replayed", 8, 13},
    {"createdAt", 9, 6},
    {"updatedAt", 9, 7},
    {"created_at", 10, 6},
    {"eventCount", 10, 9},
    {"updated_at", 10, 7},
    {"event_count", 11, 9},
    {"asOfPosition", 12, 14},
    {"as_of_position", 14, 14},
};
static const struct schema_message message_aggregate = {
    "strata.v1.Aggregate", SCHEMA_PLAIN, fields_aggregate, 15, NULL, 0,
    names_aggregate, 19, places_aggregate, 16, sizeof(Strata__V1__Aggregate) + 16 * 1,
};

static const struct schema_field fields_create_aggregate_request[] = {
    {1, "id", "id", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "type", "type", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {3, "initial_state", "initialState", SCHEMA_BYTES, SCHEMA_RAW_JSON, -1, NULL, NULL, NULL},
    {4, "metadata", "metadata", SCHEMA_BYTES, SCHEMA_RAW_JSON, -1, NULL, NULL, NULL},
    {5, "idempotency_key", "idempotencyKey", SCHEMA_STRING, 0, -1, NULL, NULL, "Idempotency-Key"},
    {6, "validate_only", "validateOnly", SCHEMA_BOOL, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_create_aggregate_request[] = {0, 1, 2, 3, 4, 5, 6};
static const struct schema_name names_create_aggregate_request[] = {
    {"id", 2, 0},
    {"type", 4, 1},
    {"metadata", 8, 3},
    {"initialState", 12, 2},
    {"validateOnly", 12, 5},
    {"initial_state", 13, 2},
    {"validate_only", 13, 5},
    {"idempotencyKey", 14, 4},
    {"idempotency_key", 15, 4},
};
static const struct schema_message message_create_aggregate_request = {
    "strata.v1.CreateAggregateRequest", SCHEMA_PLAIN, fields_create_aggregate_request, 6, NULL, 0,
    names_create_aggregate_request, 9, places_create_aggregate_request, 7, sizeof(Strata__V1__CreateAggregateRequest) + 16 * 0,
};

static const struct schema_field fields_get_aggregate_request[] = {
    {1, "id", "id", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "as_of_version", "asOfVersion", SCHEMA_INT32, SCHEMA_PRESENCE, 0, NULL, NULL, NULL},
    {3, "as_of_time", "asOfTime", SCHEMA_MESSAGE, SCHEMA_PRESENCE, 0, &message_google_protobuf_timestamp, NULL, NULL},
    {4, "as_of_position", "asOfPosition", SCHEMA_INT64, SCHEMA_PRESENCE, 0, NULL, NULL, NULL},
    {5, "include_events", "includeEvents", SCHEMA_BOOL, 0, -1, NULL, NULL, NULL},
    {6, "min_position", "minPosition", SCHEMA_INT64, 0, -1, NULL, NULL, "Strata-Min-Position"},
    {7, "if_none_match", "ifNoneMatch", SCHEMA_STRING, 0, -1, NULL, NULL, "If-None-Match"},
    {8, "effective_at", "effectiveAt", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_google_protobuf_timestamp, NULL, NULL},
};
static const uint8_t places_get_aggregate_request[] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
static const struct schema_name names_get_aggregate_request[] = {
    {"id", 2, 0},
    {"asOfTime", 8, 2},
    {"as_of_time", 10, 2},
    {"asOfVersion", 11, 1},
    {"effectiveAt", 11, 7},
    {"ifNoneMatch", 11, 6},
    {"minPosition", 11, 5},
    {"asOfPosition", 12, 3},
    {"effective_at", 12, 7},
    {"min_position", 12, 5},
    {"as_of_version", 13, 1},
    {"if_none_match", 13, 6},
    {"includeEvents", 13, 4},
    {"as_of_position", 14, 3},
    {"include_events", 14, 4},
};
static const char *const oneofs_get_aggregate_request[] = {"as_of"};
static const struct schema_message message_get_aggregate_request = {
    "strata.v1.GetAggregateRequest", SCHEMA_PLAIN, fields_get_aggregate_request, 8, oneofs_get_aggregate_request, 1,
    names_get_aggregate_request, 15, places_get_aggregate_request, 9, sizeof(Strata__V1__GetAggregateRequest) + 16 * 0,
};

static const struct schema_field fields_save_aggregate_request[] = {
    {1, "id", "id", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "expected_version", "expectedVersion", SCHEMA_INT32, SCHEMA_PRESENCE, -1, NULL, NULL, NULL},
    {3, "if_match", "ifMatch", SCHEMA_STRING, 0, -1, NULL, NULL, "If-Match"},
    {4, "events", "events", SCHEMA_MESSAGE, SCHEMA_REPEATED, -1, &message_new_event, NULL, NULL},
    {5, "state", "state", SCHEMA_BYTES, SCHEMA_RAW_JSON, -1, NULL, NULL, NULL},
    {6, "set_metadata", "setMetadata", SCHEMA_BYTES, SCHEMA_RAW_JSON, -1, NULL, NULL, NULL},
    {7, "active", "active", SCHEMA_BOOL, SCHEMA_PRESENCE, -1, NULL, NULL, NULL},
    {8, "idempotency_key", "idempotencyKey", SCHEMA_STRING, 0, -1, NULL, NULL, "Idempotency-Key"},
    {9, "validate_only", "validateOnly", SCHEMA_BOOL, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_save_aggregate_request[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
static const struct schema_name names_save_aggregate_request[] = {
    {"id", 2, 0},
    {"state", 5, 4},
    {"active", 6, 6},
    {"events", 6, 3},
    {"ifMatch", 7, 2},
    {"if_match", 8, 2},
    {"setMetadata", 11, 5},
    {"set_metadata", 12, 5},
    {"validateOnly", 12, 8},
    {"validate_only", 13, 8},
    {"idempotencyKey", 14, 7},
    {"expectedVersion", 15, 1},
    {"idempotency_key", 15, 7},
    {"expected_version", 16, 1},
};
static const struct schema_message message_save_aggregate_request = {
    "strata.v1.SaveAggregateRequest", SCHEMA_PLAIN, fields_save_aggregate_request, 9, NULL, 0,
    names_save_aggregate_request, 14, places_save_aggregate_request, 10, sizeof(Strata__V1__SaveAggregateRequest) + 16 * 1,
};

static const struct schema_field fields_list_aggregates_request[] = {
    {1, "type", "type", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "active", "active", SCHEMA_BOOL, SCHEMA_PRESENCE, -1, NULL, NULL, NULL},
    {3, "include_state", "includeState", SCHEMA_BOOL, 0, -1, NULL, NULL, NULL},
    {14, "page_size", "pageSize", SCHEMA_INT32, 0, -1, NULL, NULL, NULL},
    {15, "page_token", "pageToken", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_list_aggregates_request[] = {0, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 5};
static const struct schema_name names_list_aggregates_request[] = {
    {"type", 4, 0},
    {"active", 6, 1},
    {"pageSize", 8, 3},
    {"pageToken", 9, 4},
    {"page_size", 9, 3},
    {"page_token", 10, 4},
    {"includeState", 12, 2},
    {"include_state", 13, 2},
};
static const struct schema_message message_list_aggregates_request = {
    "strata.v1.ListAggregatesRequest", SCHEMA_PLAIN, fields_list_aggregates_request, 5, NULL, 0,
    names_list_aggregates_request, 8, places_list_aggregates_request, 16, sizeof(Strata__V1__ListAggregatesRequest) + 16 * 0,
};

static const struct schema_field fields_list_aggregates_response[] = {
    {1, "aggregates", "aggregates", SCHEMA_MESSAGE, SCHEMA_REPEATED, -1, &message_aggregate, NULL, NULL},
    {2, "next_page_token", "nextPageToken", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_list_aggregates_response[] = {0, 1, 2};
static const struct schema_name names_list_aggregates_response[] = {
    {"aggregates", 10, 0},
    {"nextPageToken", 13, 1},
    {"next_page_token", 15, 1},
};
static const struct schema_message message_list_aggregates_response = {
    "strata.v1.ListAggregatesResponse", SCHEMA_PLAIN, fields_list_aggregates_response, 2, NULL, 0,
    names_list_aggregates_response, 3, places_list_aggregates_response, 3, sizeof(Strata__V1__ListAggregatesResponse) + 16 * 1,
};

static const struct schema_field fields_publish_event_request[] = {
    {1, "id", "id", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "type", "type", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {3, "aggregate_id", "aggregateId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {4, "aggregate_type", "aggregateType", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {5, "version", "version", SCHEMA_INT32, SCHEMA_PRESENCE, -1, NULL, NULL, NULL},
    {6, "expected_version", "expectedVersion", SCHEMA_INT32, SCHEMA_PRESENCE, -1, NULL, NULL, NULL},
    {8, "correlation_id", "correlationId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {9, "causation_id", "causationId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {10, "content_type", "contentType", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {11, "schema_version", "schemaVersion", SCHEMA_INT32, 0, -1, NULL, NULL, NULL},
    {12, "tags", "tags", SCHEMA_STRING, SCHEMA_REPEATED, -1, NULL, NULL, NULL},
    {13, "subject", "subject", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {14, "occurred_at", "occurredAt", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_google_protobuf_timestamp, NULL, NULL},
    {30, "data", "data", SCHEMA_BYTES, SCHEMA_RAW_JSON, -1, NULL, NULL, NULL},
    {31, "metadata", "metadata", SCHEMA_BYTES, SCHEMA_RAW_JSON, -1, NULL, NULL, NULL},
    {50, "validate_only", "validateOnly", SCHEMA_BOOL, 0, -1, NULL, NULL, NULL},
    {51, "idempotency_key", "idempotencyKey", SCHEMA_STRING, 0, -1, NULL, NULL, "Idempotency-Key"},
};
static const uint8_t places_publish_event_request[] = {0, 1, 2, 3, 4, 5, 6, 0, 7, 8, 9, 10, 11, 12, 13, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 14, 15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 17};
static const struct schema_name names_publish_event_request[] = {
    {"id", 2, 0},
    {"data", 4, 13},
    {"tags", 4, 10},
    {"type", 4, 1},
    {"subject", 7, 11},
    {"version", 7, 4},
    {"metadata", 8, 14},
    {"occurredAt", 10, 12},
    {"aggregateId", 11, 2},
    {"causationId", 11, 7},
    {"contentType", 11, 8},
    {"occurred_at", 11, 12},
    {"aggregate_id", 12, 2},
    {"causation_id", 12, 7},
    {"content_type", 12, 8},
    {"validateOnly", 12, 15},
    {"aggregateType", 13, 3},
    {"correlationId", 13, 6},
    {"schemaVersion", 13, 9},
    {"validate_only", 13, 15},
    {"aggregate_type", 14, 3},
    {"correlation_id", 14, 6},
    {"idempotencyKey", 14, 16},
    {"schema_version", 14, 9},
    {"expectedVersion", 15, 5},
    {"idempotency_key", 15, 16},
    {"expected_version", 16, 5},
};
static const struct schema_message message_publish_event_request = {
    "strata.v1.PublishEventRequest", SCHEMA_PLAIN, fields_publish_event_request, 17, NULL, 0,
    names_publish_event_request, 27, places_publish_event_request, 52, sizeof(Strata__V1__PublishEventRequest) + 16 * 1,
};

static const struct schema_field fields_publish_event_response[] = {
    {1, "event", "event", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_event, NULL, NULL},
    {2, "replayed", "replayed", SCHEMA_BOOL, 0, -1, NULL, NULL, "Strata-Replayed"},
};
static const uint8_t places_publish_event_response[] = {0, 1, 2};
static const struct schema_name names_publish_event_response[] = {
    {"event", 5, 0},
    {"replayed", 8, 1},
};
static const struct schema_message message_publish_event_response = {
    "strata.v1.PublishEventResponse", SCHEMA_PLAIN, fields_publish_event_response, 2, NULL, 0,
    names_publish_event_response, 2, places_publish_event_response, 3, sizeof(Strata__V1__PublishEventResponse) + 16 * 0,
};

static const struct schema_field fields_append_events_request[] = {
    {1, "append_id", "appendId", SCHEMA_STRING, 0, -1, NULL, NULL, "Idempotency-Key"},
    {2, "events", "events", SCHEMA_MESSAGE, SCHEMA_REPEATED, -1, &message_new_event, NULL, NULL},
    {3, "expectations", "expectations", SCHEMA_MESSAGE, SCHEMA_REPEATED, -1, &message_expectation, NULL, NULL},
    {4, "condition", "condition", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_append_condition, NULL, NULL},
    {5, "validate_only", "validateOnly", SCHEMA_BOOL, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_append_events_request[] = {0, 1, 2, 3, 4, 5};
static const struct schema_name names_append_events_request[] = {
    {"events", 6, 1},
    {"appendId", 8, 0},
    {"append_id", 9, 0},
    {"condition", 9, 3},
    {"expectations", 12, 2},
    {"validateOnly", 12, 4},
    {"validate_only", 13, 4},
};
static const struct schema_message message_append_events_request = {
    "strata.v1.AppendEventsRequest", SCHEMA_PLAIN, fields_append_events_request, 5, NULL, 0,
    names_append_events_request, 7, places_append_events_request, 6, sizeof(Strata__V1__AppendEventsRequest) + 16 * 2,
};

static const struct schema_field fields_aggregate_head[] = {
    {1, "aggregate_id", "aggregateId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "version", "version", SCHEMA_INT32, 0, -1, NULL, NULL, NULL},
    {3, "position", "position", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_aggregate_head[] = {0, 1, 2, 3};
static const struct schema_name names_aggregate_head[] = {
    {"version", 7, 1},
    {"position", 8, 2},
    {"aggregateId", 11, 0},
    {"aggregate_id", 12, 0},
};
static const struct schema_message message_aggregate_head = {
    "strata.v1.AggregateHead", SCHEMA_PLAIN, fields_aggregate_head, 3, NULL, 0,
    names_aggregate_head, 4, places_aggregate_head, 4, sizeof(Strata__V1__AggregateHead) + 16 * 0,
};

static const struct schema_field fields_append_events_response[] = {
    {1, "append_id", "appendId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "first_position", "firstPosition", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
    {3, "last_position", "lastPosition", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
    {4, "timestamp", "timestamp", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_google_protobuf_timestamp, NULL, NULL},
    {5, "heads", "heads", SCHEMA_MESSAGE, SCHEMA_REPEATED, -1, &message_aggregate_head, NULL, NULL},
    {6, "event_ids", "eventIds", SCHEMA_STRING, SCHEMA_REPEATED, -1, NULL, NULL, NULL},
    {7, "replayed", "replayed", SCHEMA_BOOL, 0, -1, NULL, NULL, "Strata-Replayed"},
    {8, "events", "events", SCHEMA_MESSAGE, SCHEMA_REPEATED, -1, &message_event, NULL, NULL},
};
static const uint8_t places_append_events_response[] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
static const struct schema_name names_append_events_response[] = {
    {"heads", 5, 4},
    {"events", 6, 7},
    {"appendId", 8, 0},
    {"eventIds", 8, 5},
    {"replayed", 8, 6},
    {"append_id", 9, 0},
    {"event_ids", 9, 5},
    {"timestamp", 9, 3},
    {"lastPosition", 12, 2},
    {"firstPosition", 13, 1},
    {"last_position", 13, 2},
    {"first_position", 14, 1},
};
static const struct schema_message message_append_events_response = {
    "strata.v1.AppendEventsResponse", SCHEMA_PLAIN, fields_append_events_response, 8, NULL, 0,
    names_append_events_response, 12, places_append_events_response, 9, sizeof(Strata__V1__AppendEventsResponse) + 16 * 3,
};

static const struct schema_field fields_append_stream_request[] = {
    {1, "append", "append", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_append_events_request, NULL, NULL},
};
static const uint8_t places_append_stream_request[] = {0, 1};
static const struct schema_name names_append_stream_request[] = {
    {"append", 6, 0},
};
static const struct schema_message message_append_stream_request = {
    "strata.v1.AppendStreamRequest", SCHEMA_PLAIN, fields_append_stream_request, 1, NULL, 0,
    names_append_stream_request, 1, places_append_stream_request, 2, sizeof(Strata__V1__AppendStreamRequest) + 16 * 0,
};

static const struct schema_field fields_read_events_response[] = {
    {1, "events", "events", SCHEMA_MESSAGE, SCHEMA_REPEATED, -1, &message_event, NULL, NULL},
    {2, "position", "position", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_read_events_response[] = {0, 1, 2};
static const struct schema_name names_read_events_response[] = {
    {"events", 6, 0},
    {"position", 8, 1},
};
static const struct schema_message message_read_events_response = {
    "strata.v1.ReadEventsResponse", SCHEMA_PLAIN, fields_read_events_response, 2, NULL, 0,
    names_read_events_response, 2, places_read_events_response, 3, sizeof(Strata__V1__ReadEventsResponse) + 16 * 1,
};

static const struct schema_field fields_append_error_facts_entry[] = {
    {1, "key", "key", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "value", "value", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_append_error_facts_entry[] = {0, 1, 2};
static const struct schema_name names_append_error_facts_entry[] = {
    {"key", 3, 0},
    {"value", 5, 1},
};
static const struct schema_message message_append_error_facts_entry = {
    "strata.v1.AppendError.FactsEntry", SCHEMA_PLAIN, fields_append_error_facts_entry, 2, NULL, 0,
    names_append_error_facts_entry, 2, places_append_error_facts_entry, 3, sizeof(Strata__V1__AppendError__FactsEntry) + 16 * 0,
};

static const struct schema_field fields_append_error[] = {
    {1, "code", "code", SCHEMA_INT32, 0, -1, NULL, NULL, NULL},
    {2, "reason", "reason", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {3, "message", "message", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {4, "facts", "facts", SCHEMA_MESSAGE, SCHEMA_REPEATED | SCHEMA_MAP, -1, &message_append_error_facts_entry, NULL, NULL},
};
static const uint8_t places_append_error[] = {0, 1, 2, 3, 4};
static const struct schema_name names_append_error[] = {
    {"code", 4, 0},
    {"facts", 5, 3},
    {"reason", 6, 1},
    {"message", 7, 2},
};
static const struct schema_message message_append_error = {
    "strata.v1.AppendError", SCHEMA_PLAIN, fields_append_error, 4, NULL, 0,
    names_append_error, 4, places_append_error, 5, sizeof(Strata__V1__AppendError) + 16 * 1,
};

static const struct schema_field fields_append_stream_response[] = {
    {1, "sequence", "sequence", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
    {2, "appended", "appended", SCHEMA_MESSAGE, SCHEMA_PRESENCE, 0, &message_append_events_response, NULL, NULL},
    {3, "error", "error", SCHEMA_MESSAGE, SCHEMA_PRESENCE, 0, &message_append_error, NULL, NULL},
};
static const uint8_t places_append_stream_response[] = {0, 1, 2, 3};
static const struct schema_name names_append_stream_response[] = {
    {"error", 5, 2},
    {"appended", 8, 1},
    {"sequence", 8, 0},
};
static const char *const oneofs_append_stream_response[] = {"outcome"};
static const struct schema_message message_append_stream_response = {
    "strata.v1.AppendStreamResponse", SCHEMA_PLAIN, fields_append_stream_response, 3, oneofs_append_stream_response, 1,
    names_append_stream_response, 3, places_append_stream_response, 4, sizeof(Strata__V1__AppendStreamResponse) + 16 * 0,
};

static const struct schema_field fields_get_event_request[] = {
    {1, "event_id", "eventId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_get_event_request[] = {0, 1};
static const struct schema_name names_get_event_request[] = {
    {"eventId", 7, 0},
    {"event_id", 8, 0},
};
static const struct schema_message message_get_event_request = {
    "strata.v1.GetEventRequest", SCHEMA_PLAIN, fields_get_event_request, 1, NULL, 0,
    names_get_event_request, 2, places_get_event_request, 2, sizeof(Strata__V1__GetEventRequest) + 16 * 0,
};

static const struct schema_field fields_list_events_request[] = {
    {1, "aggregate_id", "aggregateId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "type", "type", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {3, "aggregate_type", "aggregateType", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {4, "correlation_id", "correlationId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {5, "tags", "tags", SCHEMA_STRING, SCHEMA_REPEATED, -1, NULL, NULL, NULL},
    {6, "from_version", "fromVersion", SCHEMA_INT32, 0, -1, NULL, NULL, NULL},
    {7, "to_version", "toVersion", SCHEMA_INT32, SCHEMA_PRESENCE, -1, NULL, NULL, NULL},
    {8, "from_timestamp", "fromTimestamp", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_google_protobuf_timestamp, NULL, NULL},
    {9, "to_timestamp", "toTimestamp", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_google_protobuf_timestamp, NULL, NULL},
    {10, "from_position", "fromPosition", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
    {11, "after_position", "afterPosition", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
    {12, "to_position", "toPosition", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
    {13, "direction", "direction", SCHEMA_ENUM, 0, -1, NULL, &enum_direction, NULL},
    {14, "page_size", "pageSize", SCHEMA_INT32, 0, -1, NULL, NULL, NULL},
    {15, "page_token", "pageToken", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {16, "min_position", "minPosition", SCHEMA_INT64, 0, -1, NULL, NULL, "Strata-Min-Position"},
};
static const uint8_t places_list_events_request[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
static const struct schema_name names_list_events_request[] = {
    {"tags", 4, 4},
    {"type", 4, 1},
    {"pageSize", 8, 13},
    {"direction", 9, 12},
    {"pageToken", 9, 14},
    {"page_size", 9, 13},
    {"toVersion", 9, 6},
    {"page_token", 10, 14},
    {"toPosition", 10, 11},
    {"to_version", 10, 6},
    {"aggregateId", 11, 0},
    {"fromVersion", 11, 5},
    {"minPosition", 11, 15},
    {"toTimestamp", 11, 8},
    {"to_position", 11, 11},
    {"aggregate_id", 12, 0},
    {"fromPosition", 12, 9},
    {"from_version", 12, 5},
    {"min_position", 12, 15},
    {"to_timestamp", 12, 8},
    {"afterPosition", 13, 10},
    {"aggregateType", 13, 2},
    {"correlationId", 13, 3},
    {"fromTimestamp", 13, 7},
    {"from_position", 13, 9},
    {"after_position", 14, 10},
    {"aggregate_type", 14, 2},
    {"correlation_id", 14, 3},
    {"from_timestamp", 14, 7},
};
static const struct schema_message message_list_events_request = {
    "strata.v1.ListEventsRequest", SCHEMA_PLAIN, fields_list_events_request, 16, NULL, 0,
    names_list_events_request, 29, places_list_events_request, 17, sizeof(Strata__V1__ListEventsRequest) + 16 * 1,
};

static const struct schema_field fields_list_events_response[] = {
    {1, "events", "events", SCHEMA_MESSAGE, SCHEMA_REPEATED, -1, &message_event, NULL, NULL},
    {2, "next_page_token", "nextPageToken", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {3, "head_position", "headPosition", SCHEMA_INT64, 0, -1, NULL, NULL, "Strata-Position"},
    {4, "first_available_version", "firstAvailableVersion", SCHEMA_INT32, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_list_events_response[] = {0, 1, 2, 3, 4};
static const struct schema_name names_list_events_response[] = {
    {"events", 6, 0},
    {"headPosition", 12, 2},
    {"head_position", 13, 2},
    {"nextPageToken", 13, 1},
    {"next_page_token", 15, 1},
    {"firstAvailableVersion", 21, 3},
    {"first_available_version", 23, 3},
};
static const struct schema_message message_list_events_response = {
    "strata.v1.ListEventsResponse", SCHEMA_PLAIN, fields_list_events_response, 4, NULL, 0,
    names_list_events_response, 7, places_list_events_response, 5, sizeof(Strata__V1__ListEventsResponse) + 16 * 1,
};

static const struct schema_field fields_read_events_request[] = {
    {1, "query", "query", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_event_query, NULL, NULL},
    {2, "after_position", "afterPosition", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
    {3, "to_position", "toPosition", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
    {4, "direction", "direction", SCHEMA_ENUM, 0, -1, NULL, &enum_direction, NULL},
    {5, "limit", "limit", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_read_events_request[] = {0, 1, 2, 3, 4, 5};
static const struct schema_name names_read_events_request[] = {
    {"limit", 5, 4},
    {"query", 5, 0},
    {"direction", 9, 3},
    {"toPosition", 10, 2},
    {"to_position", 11, 2},
    {"afterPosition", 13, 1},
    {"after_position", 14, 1},
};
static const struct schema_message message_read_events_request = {
    "strata.v1.ReadEventsRequest", SCHEMA_PLAIN, fields_read_events_request, 5, NULL, 0,
    names_read_events_request, 7, places_read_events_request, 6, sizeof(Strata__V1__ReadEventsRequest) + 16 * 0,
};

static const struct schema_field fields_user_created[] = {
    {1, "user_id", "userId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "email", "email", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {3, "name", "name", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {4, "first_name", "firstName", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {5, "last_name", "lastName", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {6, "role", "role", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_user_created[] = {0, 1, 2, 3, 4, 5, 6};
static const struct schema_name names_user_created[] = {
    {"name", 4, 2},
    {"role", 4, 5},
    {"email", 5, 1},
    {"userId", 6, 0},
    {"user_id", 7, 0},
    {"lastName", 8, 4},
    {"firstName", 9, 3},
    {"last_name", 9, 4},
    {"first_name", 10, 3},
};
static const struct schema_message message_user_created = {
    "strata.v1.UserCreated", SCHEMA_PLAIN, fields_user_created, 6, NULL, 0,
    names_user_created, 9, places_user_created, 7, sizeof(Strata__V1__UserCreated) + 16 * 0,
};

static const struct schema_field fields_change[] = {
    {1, "field", "field", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "old_value", "oldValue", SCHEMA_BYTES, SCHEMA_RAW_JSON, -1, NULL, NULL, NULL},
    {3, "new_value", "newValue", SCHEMA_BYTES, SCHEMA_RAW_JSON, -1, NULL, NULL, NULL},
};
static const uint8_t places_change[] = {0, 1, 2, 3};
static const struct schema_name names_change[] = {
    {"field", 5, 0},
    {"newValue", 8, 2},
    {"oldValue", 8, 1},
    {"new_value", 9, 2},
    {"old_value", 9, 1},
};
static const struct schema_message message_change = {
    "strata.v1.Change", SCHEMA_PLAIN, fields_change, 3, NULL, 0,
    names_change, 5, places_change, 4, sizeof(Strata__V1__Change) + 16 * 0,
};

static const struct schema_field fields_user_updated[] = {
    {1, "user_id", "userId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "changes", "changes", SCHEMA_MESSAGE, SCHEMA_REPEATED, -1, &message_change, NULL, NULL},
    {3, "email", "email", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {4, "name", "name", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {5, "first_name", "firstName", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {6, "last_name", "lastName", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {7, "role", "role", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_user_updated[] = {0, 1, 2, 3, 4, 5, 6, 7};
static const struct schema_name names_user_updated[] = {
    {"name", 4, 3},
    {"role", 4, 6},
    {"email", 5, 2},
    {"userId", 6, 0},
    {"changes", 7, 1},
    {"user_id", 7, 0},
    {"lastName", 8, 5},
    {"firstName", 9, 4},
    {"last_name", 9, 5},
    {"first_name", 10, 4},
};
static const struct schema_message message_user_updated = {
    "strata.v1.UserUpdated", SCHEMA_PLAIN, fields_user_updated, 7, NULL, 0,
    names_user_updated, 10, places_user_updated, 8, sizeof(Strata__V1__UserUpdated) + 16 * 1,
};

static const struct schema_field fields_user_deleted[] = {
    {1, "user_id", "userId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "reason", "reason", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {3, "deleted_by", "deletedBy", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_user_deleted[] = {0, 1, 2, 3};
static const struct schema_name names_user_deleted[] = {
    {"reason", 6, 1},
    {"userId", 6, 0},
    {"user_id", 7, 0},
    {"deletedBy", 9, 2},
    {"deleted_by", 10, 2},
};
static const struct schema_message message_user_deleted = {
    "strata.v1.UserDeleted", SCHEMA_PLAIN, fields_user_deleted, 3, NULL, 0,
    names_user_deleted, 5, places_user_deleted, 4, sizeof(Strata__V1__UserDeleted) + 16 * 0,
};

static const struct schema_field fields_order_item[] = {
    {1, "product_id", "productId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "name", "name", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {3, "quantity", "quantity", SCHEMA_INT32, 0, -1, NULL, NULL, NULL},
    {4, "unit_price", "unitPrice", SCHEMA_STRING, SCHEMA_DECIMAL, -1, NULL, NULL, NULL},
};
static const uint8_t places_order_item[] = {0, 1, 2, 3, 4};
static const struct schema_name names_order_item[] = {
    {"name", 4, 1},
    {"quantity", 8, 2},
    {"productId", 9, 0},
    {"unitPrice", 9, 3},
    {"product_id", 10, 0},
    {"unit_price", 10, 3},
};
static const struct schema_message message_order_item = {
    "strata.v1.OrderItem", SCHEMA_PLAIN, fields_order_item, 4, NULL, 0,
    names_order_item, 6, places_order_item, 5, sizeof(Strata__V1__OrderItem) + 16 * 0,
};

static const struct schema_field fields_order_created[] = {
    {1, "order_id", "orderId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "user_id", "userId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {3, "items", "items", SCHEMA_MESSAGE, SCHEMA_REPEATED, -1, &message_order_item, NULL, NULL},
    {4, "total_amount", "totalAmount", SCHEMA_STRING, SCHEMA_DECIMAL, -1, NULL, NULL, NULL},
    {5, "currency", "currency", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {6, "status", "status", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_order_created[] = {0, 1, 2, 3, 4, 5, 6};
static const struct schema_name names_order_created[] = {
    {"items", 5, 2},
    {"status", 6, 5},
    {"userId", 6, 1},
    {"orderId", 7, 0},
    {"user_id", 7, 1},
    {"currency", 8, 4},
    {"order_id", 8, 0},
    {"totalAmount", 11, 3},
    {"total_amount", 12, 3},
};
static const struct schema_message message_order_created = {
    "strata.v1.OrderCreated", SCHEMA_PLAIN, fields_order_created, 6, NULL, 0,
    names_order_created, 9, places_order_created, 7, sizeof(Strata__V1__OrderCreated) + 16 * 1,
};

static const struct schema_field fields_order_status_changed[] = {
    {1, "order_id", "orderId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "old_status", "oldStatus", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {3, "new_status", "newStatus", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {4, "reason", "reason", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {5, "changed_by", "changedBy", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_order_status_changed[] = {0, 1, 2, 3, 4, 5};
static const struct schema_name names_order_status_changed[] = {
    {"reason", 6, 3},
    {"orderId", 7, 0},
    {"order_id", 8, 0},
    {"changedBy", 9, 4},
    {"newStatus", 9, 2},
    {"oldStatus", 9, 1},
    {"changed_by", 10, 4},
    {"new_status", 10, 2},
    {"old_status", 10, 1},
};
static const struct schema_message message_order_status_changed = {
    "strata.v1.OrderStatusChanged", SCHEMA_PLAIN, fields_order_status_changed, 5, NULL, 0,
    names_order_status_changed, 9, places_order_status_changed, 6, sizeof(Strata__V1__OrderStatusChanged) + 16 * 0,
};

static const struct schema_field fields_payment_processed[] = {
    {1, "payment_id", "paymentId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "order_id", "orderId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {3, "user_id", "userId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {4, "amount", "amount", SCHEMA_STRING, SCHEMA_DECIMAL, -1, NULL, NULL, NULL},
    {5, "currency", "currency", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {6, "method", "method", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {7, "status", "status", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {8, "transaction_id", "transactionId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {9, "processor", "processor", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_payment_processed[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
static const struct schema_name names_payment_processed[] = {
    {"amount", 6, 3},
    {"method", 6, 5},
    {"status", 6, 6},
    {"userId", 6, 2},
    {"orderId", 7, 1},
    {"user_id", 7, 2},
    {"currency", 8, 4},
    {"order_id", 8, 1},
    {"paymentId", 9, 0},
    {"processor", 9, 8},
    {"payment_id", 10, 0},
    {"transactionId", 13, 7},
    {"transaction_id", 14, 7},
};
static const struct schema_message message_payment_processed = {
    "strata.v1.PaymentProcessed", SCHEMA_PLAIN, fields_payment_processed, 9, NULL, 0,
    names_payment_processed, 13, places_payment_processed, 10, sizeof(Strata__V1__PaymentProcessed) + 16 * 0,
};

static const struct schema_field fields_snapshot[] = {
    {1, "aggregate_id", "aggregateId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "aggregate_type", "aggregateType", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {3, "version", "version", SCHEMA_INT32, 0, -1, NULL, NULL, NULL},
    {4, "data", "data", SCHEMA_BYTES, SCHEMA_RAW_JSON, -1, NULL, NULL, NULL},
    {5, "state", "state", SCHEMA_ENUM, 0, -1, NULL, &enum_snapshot_state, NULL},
    {6, "created_at", "createdAt", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_google_protobuf_timestamp, NULL, NULL},
    {7, "event_digest", "eventDigest", SCHEMA_BYTES, SCHEMA_INTERNAL, -1, NULL, NULL, NULL},
    {8, "position", "position", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
    {9, "reducer_version", "reducerVersion", SCHEMA_INT32, 0, -1, NULL, NULL, NULL},
    {10, "metadata", "metadata", SCHEMA_BYTES, SCHEMA_RAW_JSON, -1, NULL, NULL, NULL},
    {11, "folded", "folded", SCHEMA_BYTES, SCHEMA_INTERNAL, -1, NULL, NULL, NULL},
};
static const uint8_t places_snapshot[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
static const struct schema_name names_snapshot[] = {
    {"data", 4, 3},
    {"state", 5, 4},
    {"folded", 6, 10},
    {"version", 7, 2},
    {"metadata", 8, 9},
    {"position", 8, 7},
    {"createdAt", 9, 5},
    {"created_at", 10, 5},
    {"aggregateId", 11, 0},
    {"eventDigest", 11, 6},
    {"aggregate_id", 12, 0},
    {"event_digest", 12, 6},
    {"aggregateType", 13, 1},
    {"aggregate_type", 14, 1},
    {"reducerVersion", 14, 8},
    {"reducer_version", 15, 8},
};
static const struct schema_message message_snapshot = {
    "strata.v1.Snapshot", SCHEMA_PLAIN, fields_snapshot, 11, NULL, 0,
    names_snapshot, 16, places_snapshot, 12, sizeof(Strata__V1__Snapshot) + 16 * 0,
};

static const struct schema_field fields_create_snapshot_request[] = {
    {1, "aggregate_id", "aggregateId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "version", "version", SCHEMA_INT32, SCHEMA_PRESENCE, -1, NULL, NULL, NULL},
    {3, "data", "data", SCHEMA_BYTES, SCHEMA_RAW_JSON, -1, NULL, NULL, NULL},
    {4, "metadata", "metadata", SCHEMA_BYTES, SCHEMA_RAW_JSON, -1, NULL, NULL, NULL},
};
static const uint8_t places_create_snapshot_request[] = {0, 1, 2, 3, 4};
static const struct schema_name names_create_snapshot_request[] = {
    {"data", 4, 2},
    {"version", 7, 1},
    {"metadata", 8, 3},
    {"aggregateId", 11, 0},
    {"aggregate_id", 12, 0},
};
static const struct schema_message message_create_snapshot_request = {
    "strata.v1.CreateSnapshotRequest", SCHEMA_PLAIN, fields_create_snapshot_request, 4, NULL, 0,
    names_create_snapshot_request, 5, places_create_snapshot_request, 5, sizeof(Strata__V1__CreateSnapshotRequest) + 16 * 0,
};

static const struct schema_field fields_get_snapshot_request[] = {
    {1, "aggregate_id", "aggregateId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "version", "version", SCHEMA_INT32, SCHEMA_PRESENCE, -1, NULL, NULL, NULL},
};
static const uint8_t places_get_snapshot_request[] = {0, 1, 2};
static const struct schema_name names_get_snapshot_request[] = {
    {"version", 7, 1},
    {"aggregateId", 11, 0},
    {"aggregate_id", 12, 0},
};
static const struct schema_message message_get_snapshot_request = {
    "strata.v1.GetSnapshotRequest", SCHEMA_PLAIN, fields_get_snapshot_request, 2, NULL, 0,
    names_get_snapshot_request, 3, places_get_snapshot_request, 3, sizeof(Strata__V1__GetSnapshotRequest) + 16 * 0,
};

static const struct schema_field fields_get_latest_snapshot_request[] = {
    {1, "aggregate_id", "aggregateId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_get_latest_snapshot_request[] = {0, 1};
static const struct schema_name names_get_latest_snapshot_request[] = {
    {"aggregateId", 11, 0},
    {"aggregate_id", 12, 0},
};
static const struct schema_message message_get_latest_snapshot_request = {
    "strata.v1.GetLatestSnapshotRequest", SCHEMA_PLAIN, fields_get_latest_snapshot_request, 1, NULL, 0,
    names_get_latest_snapshot_request, 2, places_get_latest_snapshot_request, 2, sizeof(Strata__V1__GetLatestSnapshotRequest) + 16 * 0,
};

static const struct schema_field fields_list_snapshots_request[] = {
    {1, "aggregate_id", "aggregateId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "aggregate_type", "aggregateType", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {14, "page_size", "pageSize", SCHEMA_INT32, 0, -1, NULL, NULL, NULL},
    {15, "page_token", "pageToken", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_list_snapshots_request[] = {0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 4};
static const struct schema_name names_list_snapshots_request[] = {
    {"pageSize", 8, 2},
    {"pageToken", 9, 3},
    {"page_size", 9, 2},
    {"page_token", 10, 3},
    {"aggregateId", 11, 0},
    {"aggregate_id", 12, 0},
    {"aggregateType", 13, 1},
    {"aggregate_type", 14, 1},
};
static const struct schema_message message_list_snapshots_request = {
    "strata.v1.ListSnapshotsRequest", SCHEMA_PLAIN, fields_list_snapshots_request, 4, NULL, 0,
    names_list_snapshots_request, 8, places_list_snapshots_request, 16, sizeof(Strata__V1__ListSnapshotsRequest) + 16 * 0,
};

static const struct schema_field fields_list_snapshots_response[] = {
    {1, "snapshots", "snapshots", SCHEMA_MESSAGE, SCHEMA_REPEATED, -1, &message_snapshot, NULL, NULL},
    {2, "next_page_token", "nextPageToken", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {3, "total_size", "totalSize", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
};
static const uint8_t places_list_snapshots_response[] = {0, 1, 2, 3};
static const struct schema_name names_list_snapshots_response[] = {
    {"snapshots", 9, 0},
    {"totalSize", 9, 2},
    {"total_size", 10, 2},
    {"nextPageToken", 13, 1},
    {"next_page_token", 15, 1},
};
static const struct schema_message message_list_snapshots_response = {
    "strata.v1.ListSnapshotsResponse", SCHEMA_PLAIN, fields_list_snapshots_response, 3, NULL, 0,
    names_list_snapshots_response, 5, places_list_snapshots_response, 4, sizeof(Strata__V1__ListSnapshotsResponse) + 16 * 1,
};

static const struct schema_field fields_google_protobuf_duration[] = {
    {1, "seconds", "seconds", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
    {2, "nanos", "nanos", SCHEMA_INT32, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_google_protobuf_duration[] = {0, 1, 2};
static const struct schema_name names_google_protobuf_duration[] = {
    {"nanos", 5, 1},
    {"seconds", 7, 0},
};
static const struct schema_message message_google_protobuf_duration = {
    "google.protobuf.Duration", SCHEMA_DURATION, fields_google_protobuf_duration, 2, NULL, 0,
    names_google_protobuf_duration, 2, places_google_protobuf_duration, 3, sizeof(Google__Protobuf__Duration) + 16 * 0,
};

static const struct schema_field fields_subscribe_request[] = {
    {1, "query", "query", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_event_query, NULL, NULL},
    {2, "after_position", "afterPosition", SCHEMA_INT64, SCHEMA_PRESENCE, 0, NULL, NULL, "Last-Event-ID"},
    {3, "from_timestamp", "fromTimestamp", SCHEMA_MESSAGE, SCHEMA_PRESENCE, 0, &message_google_protobuf_timestamp, NULL, NULL},
    {4, "from_start", "fromStart", SCHEMA_BOOL, SCHEMA_PRESENCE, 0, NULL, NULL, NULL},
    {5, "from_end", "fromEnd", SCHEMA_BOOL, SCHEMA_PRESENCE, 0, NULL, NULL, NULL},
    {6, "checkpoint_interval", "checkpointInterval", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_google_protobuf_duration, NULL, NULL},
    {7, "name", "name", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {8, "types", "types", SCHEMA_STRING, SCHEMA_REPEATED, -1, NULL, NULL, NULL},
    {9, "aggregate_types", "aggregateTypes", SCHEMA_STRING, SCHEMA_REPEATED, -1, NULL, NULL, NULL},
    {10, "aggregate_ids", "aggregateIds", SCHEMA_STRING, SCHEMA_REPEATED, -1, NULL, NULL, NULL},
    {11, "tags", "tags", SCHEMA_STRING, SCHEMA_REPEATED, -1, NULL, NULL, NULL},
    {12, "correlation_id", "correlationId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {13, "aggregate_id_prefixes", "aggregateIdPrefixes", SCHEMA_STRING, SCHEMA_REPEATED, -1, NULL, NULL, NULL},
};
static const uint8_t places_subscribe_request[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13};
static const struct schema_name names_subscribe_request[] = {
    {"name", 4, 6},
    {"tags", 4, 10},
    {"query", 5, 0},
    {"types", 5, 7},
    {"fromEnd", 7, 4},
    {"from_end", 8, 4},
    {"fromStart", 9, 3},
    {"from_start", 10, 3},
    {"aggregateIds", 12, 9},
    {"afterPosition", 13, 1},
    {"aggregate_ids", 13, 9},
    {"correlationId", 13, 11},
    {"fromTimestamp", 13, 2},
    {"after_position", 14, 1},
    {"aggregateTypes", 14, 8},
    {"correlation_id", 14, 11},
    {"from_timestamp", 14, 2},
    {"aggregate_types", 15, 8},
    {"checkpointInterval", 18, 5},
    {"aggregateIdPrefixes", 19, 12},
    {"checkpoint_interval", 19, 5},
    {"aggregate_id_prefixes", 21, 12},
};
static const char *const oneofs_subscribe_request[] = {"start"};
static const struct schema_message message_subscribe_request = {
    "strata.v1.SubscribeRequest", SCHEMA_PLAIN, fields_subscribe_request, 13, oneofs_subscribe_request, 1,
    names_subscribe_request, 22, places_subscribe_request, 14, sizeof(Strata__V1__SubscribeRequest) + 16 * 5,
};

static const struct schema_field fields_checkpoint[] = {
    {1, "position", "position", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
    {2, "timestamp", "timestamp", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_google_protobuf_timestamp, NULL, NULL},
    {3, "head_position", "headPosition", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_checkpoint[] = {0, 1, 2, 3};
static const struct schema_name names_checkpoint[] = {
    {"position", 8, 0},
    {"timestamp", 9, 1},
    {"headPosition", 12, 2},
    {"head_position", 13, 2},
};
static const struct schema_message message_checkpoint = {
    "strata.v1.Checkpoint", SCHEMA_PLAIN, fields_checkpoint, 3, NULL, 0,
    names_checkpoint, 4, places_checkpoint, 4, sizeof(Strata__V1__Checkpoint) + 16 * 0,
};

static const struct schema_field fields_closing[] = {
    {1, "reason", "reason", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "position", "position", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_closing[] = {0, 1, 2};
static const struct schema_name names_closing[] = {
    {"reason", 6, 0},
    {"position", 8, 1},
};
static const struct schema_message message_closing = {
    "strata.v1.Closing", SCHEMA_PLAIN, fields_closing, 2, NULL, 0,
    names_closing, 2, places_closing, 3, sizeof(Strata__V1__Closing) + 16 * 0,
};

static const struct schema_field fields_subscribe_response[] = {
    {1, "batch", "batch", SCHEMA_MESSAGE, SCHEMA_PRESENCE, 0, &message_event_batch, NULL, NULL},
    {2, "caught_up", "caughtUp", SCHEMA_MESSAGE, SCHEMA_PRESENCE, 0, &message_checkpoint, NULL, NULL},
    {3, "checkpoint", "checkpoint", SCHEMA_MESSAGE, SCHEMA_PRESENCE, 0, &message_checkpoint, NULL, NULL},
    {4, "fell_behind", "fellBehind", SCHEMA_MESSAGE, SCHEMA_PRESENCE, 0, &message_checkpoint, NULL, NULL},
    {5, "closing", "closing", SCHEMA_MESSAGE, SCHEMA_PRESENCE, 0, &message_closing, NULL, NULL},
};
static const uint8_t places_subscribe_response[] = {0, 1, 2, 3, 4, 5};
static const struct schema_name names_subscribe_response[] = {
    {"batch", 5, 0},
    {"closing", 7, 4},
    {"caughtUp", 8, 1},
    {"caught_up", 9, 1},
    {"checkpoint", 10, 2},
    {"fellBehind", 10, 3},
    {"fell_behind", 11, 3},
};
static const char *const oneofs_subscribe_response[] = {"message"};
static const struct schema_message message_subscribe_response = {
    "strata.v1.SubscribeResponse", SCHEMA_PLAIN, fields_subscribe_response, 5, oneofs_subscribe_response, 1,
    names_subscribe_response, 7, places_subscribe_response, 6, sizeof(Strata__V1__SubscribeResponse) + 16 * 0,
};

static const struct schema_field fields_list_subscriptions_request[] = {
    {1, "type", "type", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {14, "page_size", "pageSize", SCHEMA_INT32, 0, -1, NULL, NULL, NULL},
    {15, "page_token", "pageToken", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_list_subscriptions_request[] = {0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 3};
static const struct schema_name names_list_subscriptions_request[] = {
    {"type", 4, 0},
    {"pageSize", 8, 1},
    {"pageToken", 9, 2},
    {"page_size", 9, 1},
    {"page_token", 10, 2},
};
static const struct schema_message message_list_subscriptions_request = {
    "strata.v1.ListSubscriptionsRequest", SCHEMA_PLAIN, fields_list_subscriptions_request, 3, NULL, 0,
    names_list_subscriptions_request, 5, places_list_subscriptions_request, 16, sizeof(Strata__V1__ListSubscriptionsRequest) + 16 * 0,
};

static const struct schema_field fields_subscription[] = {
    {1, "id", "id", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "name", "name", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {3, "kind", "kind", SCHEMA_ENUM, 0, -1, NULL, &enum_subscription_kind, NULL},
    {4, "query", "query", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_event_query, NULL, NULL},
    {5, "position", "position", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
    {6, "lag", "lag", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
    {7, "since", "since", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_google_protobuf_timestamp, NULL, NULL},
    {8, "principal", "principal", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {9, "peer", "peer", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_subscription[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
static const struct schema_name names_subscription[] = {
    {"id", 2, 0},
    {"lag", 3, 5},
    {"kind", 4, 2},
    {"name", 4, 1},
    {"peer", 4, 8},
    {"query", 5, 3},
    {"since", 5, 6},
    {"position", 8, 4},
    {"principal", 9, 7},
};
static const struct schema_message message_subscription = {
    "strata.v1.Subscription", SCHEMA_PLAIN, fields_subscription, 9, NULL, 0,
    names_subscription, 9, places_subscription, 10, sizeof(Strata__V1__Subscription) + 16 * 0,
};

static const struct schema_field fields_list_subscriptions_response[] = {
    {1, "subscriptions", "subscriptions", SCHEMA_MESSAGE, SCHEMA_REPEATED, -1, &message_subscription, NULL, NULL},
    {2, "next_page_token", "nextPageToken", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {3, "event_types", "eventTypes", SCHEMA_STRING, SCHEMA_REPEATED, -1, NULL, NULL, NULL},
    {4, "handler_count", "handlerCount", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
};
static const uint8_t places_list_subscriptions_response[] = {0, 1, 2, 3, 4};
static const struct schema_name names_list_subscriptions_response[] = {
    {"eventTypes", 10, 2},
    {"event_types", 11, 2},
    {"handlerCount", 12, 3},
    {"handler_count", 13, 3},
    {"nextPageToken", 13, 1},
    {"subscriptions", 13, 0},
    {"next_page_token", 15, 1},
};
static const struct schema_message message_list_subscriptions_response = {
    "strata.v1.ListSubscriptionsResponse", SCHEMA_PLAIN, fields_list_subscriptions_response, 4, NULL, 0,
    names_list_subscriptions_response, 7, places_list_subscriptions_response, 5, sizeof(Strata__V1__ListSubscriptionsResponse) + 16 * 2,
};

static const struct schema_message message_get_health_request = {.name = "strata.v1.GetHealthRequest", .unpacked_bytes = sizeof(Strata__V1__GetHealthRequest)};

static const struct schema_field fields_health_component[] = {
    {1, "name", "name", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "state", "state", SCHEMA_ENUM, 0, -1, NULL, &enum_health_state, NULL},
    {3, "reason", "reason", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {4, "latency", "latency", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_google_protobuf_duration, NULL, NULL},
    {5, "required", "required", SCHEMA_BOOL, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_health_component[] = {0, 1, 2, 3, 4, 5};
static const struct schema_name names_health_component[] = {
    {"name", 4, 0},
    {"state", 5, 1},
    {"reason", 6, 2},
    {"latency", 7, 3},
    {"required", 8, 4},
};
static const struct schema_message message_health_component = {
    "strata.v1.Health.Component", SCHEMA_PLAIN, fields_health_component, 5, NULL, 0,
    names_health_component, 5, places_health_component, 6, sizeof(Strata__V1__Health__Component) + 16 * 0,
};

static const struct schema_field fields_health[] = {
    {1, "state", "state", SCHEMA_ENUM, 0, -1, NULL, &enum_health_state, NULL},
    {2, "components", "components", SCHEMA_MESSAGE, SCHEMA_REPEATED, -1, &message_health_component, NULL, NULL},
    {3, "security_mode", "securityMode", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_health[] = {0, 1, 2, 3};
static const struct schema_name names_health[] = {
    {"state", 5, 0},
    {"components", 10, 1},
    {"securityMode", 12, 2},
    {"security_mode", 13, 2},
};
static const struct schema_message message_health = {
    "strata.v1.Health", SCHEMA_PLAIN, fields_health, 3, NULL, 0,
    names_health, 4, places_health, 4, sizeof(Strata__V1__Health) + 16 * 1,
};

static const struct schema_message message_get_info_request = {.name = "strata.v1.GetInfoRequest", .unpacked_bytes = sizeof(Strata__V1__GetInfoRequest)};

static const struct schema_field fields_info_metadata_entry[] = {
    {1, "key", "key", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "value", "value", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_info_metadata_entry[] = {0, 1, 2};
static const struct schema_name names_info_metadata_entry[] = {
    {"key", 3, 0},
    {"value", 5, 1},
};
static const struct schema_message message_info_metadata_entry = {
    "strata.v1.Info.MetadataEntry", SCHEMA_PLAIN, fields_info_metadata_entry, 2, NULL, 0,
    names_info_metadata_entry, 2, places_info_metadata_entry, 3, sizeof(Strata__V1__Info__MetadataEntry) + 16 * 0,
};

static const struct schema_field fields_info_libraries_entry[] = {
    {1, "key", "key", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "value", "value", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_info_libraries_entry[] = {0, 1, 2};
static const struct schema_name names_info_libraries_entry[] = {
    {"key", 3, 0},
    {"value", 5, 1},
};
static const struct schema_message message_info_libraries_entry = {
    "strata.v1.Info.LibrariesEntry", SCHEMA_PLAIN, fields_info_libraries_entry, 2, NULL, 0,
    names_info_libraries_entry, 2, places_info_libraries_entry, 3, sizeof(Strata__V1__Info__LibrariesEntry) + 16 * 0,
};

static const struct schema_field fields_info[] = {
    {1, "name", "name", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "version", "version", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {3, "description", "description", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {4, "metadata", "metadata", SCHEMA_MESSAGE, SCHEMA_REPEATED | SCHEMA_MAP, -1, &message_info_metadata_entry, NULL, NULL},
    {5, "event_types", "eventTypes", SCHEMA_STRING, SCHEMA_REPEATED, -1, NULL, NULL, NULL},
    {6, "aggregate_types", "aggregateTypes", SCHEMA_STRING, SCHEMA_REPEATED, -1, NULL, NULL, NULL},
    {7, "build_version", "buildVersion", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {8, "commit", "commit", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {9, "started_at", "startedAt", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_google_protobuf_timestamp, NULL, NULL},
    {10, "store_id", "storeId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {11, "event_store", "eventStore", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {12, "snapshot_store", "snapshotStore", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {13, "cache", "cache", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {14, "configuration", "configuration", SCHEMA_BYTES, SCHEMA_RAW_JSON, -1, NULL, NULL, NULL},
    {15, "libraries", "libraries", SCHEMA_MESSAGE, SCHEMA_REPEATED | SCHEMA_MAP, -1, &message_info_libraries_entry, NULL, NULL},
};
static const uint8_t places_info[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
static const struct schema_name names_info[] = {
    {"name", 4, 0},
    {"cache", 5, 12},
    {"commit", 6, 7},
    {"storeId", 7, 9},
    {"version", 7, 1},
    {"metadata", 8, 3},
    {"store_id", 8, 9},
    {"libraries", 9, 14},
    {"startedAt", 9, 8},
    {"eventStore", 10, 10},
    {"eventTypes", 10, 4},
    {"started_at", 10, 8},
    {"description", 11, 2},
    {"event_store", 11, 10},
    {"event_types", 11, 4},
    {"buildVersion", 12, 6},
    {"build_version", 13, 6},
    {"configuration", 13, 13},
    {"snapshotStore", 13, 11},
    {"aggregateTypes", 14, 5},
    {"snapshot_store", 14, 11},
    {"aggregate_types", 15, 5},
};
static const struct schema_message message_info = {
    "strata.v1.Info", SCHEMA_PLAIN, fields_info, 15, NULL, 0,
    names_info, 22, places_info, 16, sizeof(Strata__V1__Info) + 16 * 4,
};

static const struct schema_field fields_get_stats_request[] = {
    {1, "exact", "exact", SCHEMA_BOOL, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_get_stats_request[] = {0, 1};
static const struct schema_name names_get_stats_request[] = {
    {"exact", 5, 0},
};
static const struct schema_message message_get_stats_request = {
    "strata.v1.GetStatsRequest", SCHEMA_PLAIN, fields_get_stats_request, 1, NULL, 0,
    names_get_stats_request, 1, places_get_stats_request, 2, sizeof(Strata__V1__GetStatsRequest) + 16 * 0,
};

static const struct schema_field fields_stats_events_by_type_entry[] = {
    {1, "key", "key", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "value", "value", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_stats_events_by_type_entry[] = {0, 1, 2};
static const struct schema_name names_stats_events_by_type_entry[] = {
    {"key", 3, 0},
    {"value", 5, 1},
};
static const struct schema_message message_stats_events_by_type_entry = {
    "strata.v1.Stats.EventsByTypeEntry", SCHEMA_PLAIN, fields_stats_events_by_type_entry, 2, NULL, 0,
    names_stats_events_by_type_entry, 2, places_stats_events_by_type_entry, 3, sizeof(Strata__V1__Stats__EventsByTypeEntry) + 16 * 0,
};

static const struct schema_field fields_stats_aggregates_by_type_entry[] = {
    {1, "key", "key", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "value", "value", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_stats_aggregates_by_type_entry[] = {0, 1, 2};
static const struct schema_name names_stats_aggregates_by_type_entry[] = {
    {"key", 3, 0},
    {"value", 5, 1},
};
static const struct schema_message message_stats_aggregates_by_type_entry = {
    "strata.v1.Stats.AggregatesByTypeEntry", SCHEMA_PLAIN, fields_stats_aggregates_by_type_entry, 2, NULL, 0,
    names_stats_aggregates_by_type_entry, 2, places_stats_aggregates_by_type_entry, 3, sizeof(Strata__V1__Stats__AggregatesByTypeEntry) + 16 * 0,
};

static const struct schema_field fields_store_stats_counters_entry[] = {
    {1, "key", "key", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "value", "value", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_store_stats_counters_entry[] = {0, 1, 2};
static const struct schema_name names_store_stats_counters_entry[] = {
    {"key", 3, 0},
    {"value", 5, 1},
};
static const struct schema_message message_store_stats_counters_entry = {
    "strata.v1.StoreStats.CountersEntry", SCHEMA_PLAIN, fields_store_stats_counters_entry, 2, NULL, 0,
    names_store_stats_counters_entry, 2, places_store_stats_counters_entry, 3, sizeof(Strata__V1__StoreStats__CountersEntry) + 16 * 0,
};

static const struct schema_field fields_store_stats[] = {
    {1, "engine", "engine", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "bytes", "bytes", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
    {3, "appends", "appends", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
    {4, "conflicts", "conflicts", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
    {5, "queue_depth", "queueDepth", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
    {6, "appends_per_second", "appendsPerSecond", SCHEMA_DOUBLE, 0, -1, NULL, NULL, NULL},
    {7, "counters", "counters", SCHEMA_MESSAGE, SCHEMA_REPEATED | SCHEMA_MAP | SCHEMA_JSON_NUMBER, -1, &message_store_stats_counters_entry, NULL, NULL},
};
static const uint8_t places_store_stats[] = {0, 1, 2, 3, 4, 5, 6, 7};
static const struct schema_name names_store_stats[] = {
    {"bytes", 5, 1},
    {"engine", 6, 0},
    {"appends", 7, 2},
    {"counters", 8, 6},
    {"conflicts", 9, 3},
    {"queueDepth", 10, 4},
    {"queue_depth", 11, 4},
    {"appendsPerSecond", 16, 5},
    {"appends_per_second", 18, 5},
};
static const struct schema_message message_store_stats = {
    "strata.v1.StoreStats", SCHEMA_PLAIN, fields_store_stats, 7, NULL, 0,
    names_store_stats, 9, places_store_stats, 8, sizeof(Strata__V1__StoreStats) + 16 * 1,
};

static const struct schema_field fields_bus_stats[] = {
    {1, "subscribers", "subscribers", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
    {2, "groups", "groups", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
    {3, "handlers", "handlers", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
    {4, "relay_lag", "relayLag", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
    {5, "delivered", "delivered", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
    {6, "ended", "ended", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
    {7, "failures", "failures", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
    {8, "handler_lag", "handlerLag", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
    {9, "processed_position", "processedPosition", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
    {10, "standby", "standby", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
};
static const uint8_t places_bus_stats[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
static const struct schema_name names_bus_stats[] = {
    {"ended", 5, 5},
    {"groups", 6, 1},
    {"standby", 7, 9},
    {"failures", 8, 6},
    {"handlers", 8, 2},
    {"relayLag", 8, 3},
    {"delivered", 9, 4},
    {"relay_lag", 9, 3},
    {"handlerLag", 10, 7},
    {"handler_lag", 11, 7},
    {"subscribers", 11, 0},
    {"processedPosition", 17, 8},
    {"processed_position", 18, 8},
};
static const struct schema_message message_bus_stats = {
    "strata.v1.BusStats", SCHEMA_PLAIN, fields_bus_stats, 10, NULL, 0,
    names_bus_stats, 13, places_bus_stats, 11, sizeof(Strata__V1__BusStats) + 16 * 0,
};

static const struct schema_field fields_cache_stats[] = {
    {1, "kind", "kind", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "entries", "entries", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
    {3, "hits", "hits", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
    {4, "misses", "misses", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
};
static const uint8_t places_cache_stats[] = {0, 1, 2, 3, 4};
static const struct schema_name names_cache_stats[] = {
    {"hits", 4, 2},
    {"kind", 4, 0},
    {"misses", 6, 3},
    {"entries", 7, 1},
};
static const struct schema_message message_cache_stats = {
    "strata.v1.CacheStats", SCHEMA_PLAIN, fields_cache_stats, 4, NULL, 0,
    names_cache_stats, 4, places_cache_stats, 5, sizeof(Strata__V1__CacheStats) + 16 * 0,
};

static const struct schema_field fields_stats[] = {
    {1, "event_count", "eventCount", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
    {2, "aggregate_count", "aggregateCount", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
    {3, "event_type_count", "eventTypeCount", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
    {4, "snapshot_count", "snapshotCount", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
    {5, "head_position", "headPosition", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
    {6, "head_timestamp", "headTimestamp", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_google_protobuf_timestamp, NULL, NULL},
    {7, "events_by_type", "eventsByType", SCHEMA_MESSAGE, SCHEMA_REPEATED | SCHEMA_MAP | SCHEMA_JSON_NUMBER, -1, &message_stats_events_by_type_entry, NULL, NULL},
    {8, "aggregates_by_type", "aggregatesByType", SCHEMA_MESSAGE, SCHEMA_REPEATED | SCHEMA_MAP | SCHEMA_JSON_NUMBER, -1, &message_stats_aggregates_by_type_entry, NULL, NULL},
    {9, "event_store", "eventStore", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_store_stats, NULL, NULL},
    {10, "snapshot_store", "snapshotStore", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_store_stats, NULL, NULL},
    {11, "bus", "bus", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_bus_stats, NULL, NULL},
    {12, "cache", "cache", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_cache_stats, NULL, NULL},
    {13, "system_event_count", "systemEventCount", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
};
static const uint8_t places_stats[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13};
static const struct schema_name names_stats[] = {
    {"bus", 3, 10},
    {"cache", 5, 11},
    {"eventCount", 10, 0},
    {"eventStore", 10, 8},
    {"event_count", 11, 0},
    {"event_store", 11, 8},
    {"eventsByType", 12, 6},
    {"headPosition", 12, 4},
    {"headTimestamp", 13, 5},
    {"head_position", 13, 4},
    {"snapshotCount", 13, 3},
    {"snapshotStore", 13, 9},
    {"aggregateCount", 14, 1},
    {"eventTypeCount", 14, 2},
    {"events_by_type", 14, 6},
    {"head_timestamp", 14, 5},
    {"snapshot_count", 14, 3},
    {"snapshot_store", 14, 9},
    {"aggregate_count", 15, 1},
    {"aggregatesByType", 16, 7},
    {"event_type_count", 16, 2},
    {"systemEventCount", 16, 12},
    {"aggregates_by_type", 18, 7},
    {"system_event_count", 18, 12},
};
static const struct schema_message message_stats = {
    "strata.v1.Stats", SCHEMA_PLAIN, fields_stats, 13, NULL, 0,
    names_stats, 24, places_stats, 14, sizeof(Strata__V1__Stats) + 16 * 2,
};

static const struct schema_field fields_verify[] = {
    {1, "from_position", "fromPosition", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
    {2, "trusted_checkpoint", "trustedCheckpoint", SCHEMA_BYTES, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_verify[] = {0, 1, 2};
static const struct schema_name names_verify[] = {
    {"fromPosition", 12, 0},
    {"from_position", 13, 0},
    {"trustedCheckpoint", 17, 1},
    {"trusted_checkpoint", 18, 1},
};
static const struct schema_message message_verify = {
    "strata.v1.Verify", SCHEMA_PLAIN, fields_verify, 2, NULL, 0,
    names_verify, 4, places_verify, 3, sizeof(Strata__V1__Verify) + 16 * 0,
};

static const struct schema_field fields_cleanup[] = {
    {1, "before", "before", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_google_protobuf_timestamp, NULL, NULL},
    {2, "what", "what", SCHEMA_ENUM, SCHEMA_REPEATED, -1, NULL, &enum_cleanup_what, NULL},
};
static const uint8_t places_cleanup[] = {0, 1, 2};
static const struct schema_name names_cleanup[] = {
    {"what", 4, 1},
    {"before", 6, 0},
};
static const struct schema_message message_cleanup = {
    "strata.v1.Cleanup", SCHEMA_PLAIN, fields_cleanup, 2, NULL, 0,
    names_cleanup, 2, places_cleanup, 3, sizeof(Strata__V1__Cleanup) + 16 * 1,
};

static const struct schema_field fields_rebuild[] = {
    {1, "what", "what", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_rebuild[] = {0, 1};
static const struct schema_name names_rebuild[] = {
    {"what", 4, 0},
};
static const struct schema_message message_rebuild = {
    "strata.v1.Rebuild", SCHEMA_PLAIN, fields_rebuild, 1, NULL, 0,
    names_rebuild, 1, places_rebuild, 2, sizeof(Strata__V1__Rebuild) + 16 * 0,
};

static const struct schema_field fields_start_operation_request[] = {
    {1, "verify", "verify", SCHEMA_MESSAGE, SCHEMA_PRESENCE, 0, &message_verify, NULL, NULL},
    {3, "cleanup", "cleanup", SCHEMA_MESSAGE, SCHEMA_PRESENCE, 0, &message_cleanup, NULL, NULL},
    {4, "rebuild", "rebuild", SCHEMA_MESSAGE, SCHEMA_PRESENCE, 0, &message_rebuild, NULL, NULL},
    {15, "validate_only", "validateOnly", SCHEMA_BOOL, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_start_operation_request[] = {0, 1, 0, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4};
static const struct schema_name names_start_operation_request[] = {
    {"verify", 6, 0},
    {"cleanup", 7, 1},
    {"rebuild", 7, 2},
    {"validateOnly", 12, 3},
    {"validate_only", 13, 3},
};
static const char *const oneofs_start_operation_request[] = {"work"};
static const struct schema_message message_start_operation_request = {
    "strata.v1.StartOperationRequest", SCHEMA_PLAIN, fields_start_operation_request, 4, oneofs_start_operation_request, 1,
    names_start_operation_request, 5, places_start_operation_request, 16, sizeof(Strata__V1__StartOperationRequest) + 16 * 0,
};

static const struct schema_field fields_get_operation_request[] = {
    {1, "id", "id", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_get_operation_request[] = {0, 1};
static const struct schema_name names_get_operation_request[] = {
    {"id", 2, 0},
};
static const struct schema_message message_get_operation_request = {
    "strata.v1.GetOperationRequest", SCHEMA_PLAIN, fields_get_operation_request, 1, NULL, 0,
    names_get_operation_request, 1, places_get_operation_request, 2, sizeof(Strata__V1__GetOperationRequest) + 16 * 0,
};

static const struct schema_field fields_cancel_operation_request[] = {
    {1, "id", "id", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_cancel_operation_request[] = {0, 1};
static const struct schema_name names_cancel_operation_request[] = {
    {"id", 2, 0},
};
static const struct schema_message message_cancel_operation_request = {
    "strata.v1.CancelOperationRequest", SCHEMA_PLAIN, fields_cancel_operation_request, 1, NULL, 0,
    names_cancel_operation_request, 1, places_cancel_operation_request, 2, sizeof(Strata__V1__CancelOperationRequest) + 16 * 0,
};

static const struct schema_field fields_watch_operation_request[] = {
    {1, "id", "id", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_watch_operation_request[] = {0, 1};
static const struct schema_name names_watch_operation_request[] = {
    {"id", 2, 0},
};
static const struct schema_message message_watch_operation_request = {
    "strata.v1.WatchOperationRequest", SCHEMA_PLAIN, fields_watch_operation_request, 1, NULL, 0,
    names_watch_operation_request, 1, places_watch_operation_request, 2, sizeof(Strata__V1__WatchOperationRequest) + 16 * 0,
};

static const struct schema_field fields_operation_result_entry[] = {
    {1, "key", "key", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "value", "value", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_operation_result_entry[] = {0, 1, 2};
static const struct schema_name names_operation_result_entry[] = {
    {"key", 3, 0},
    {"value", 5, 1},
};
static const struct schema_message message_operation_result_entry = {
    "strata.v1.Operation.ResultEntry", SCHEMA_PLAIN, fields_operation_result_entry, 2, NULL, 0,
    names_operation_result_entry, 2, places_operation_result_entry, 3, sizeof(Strata__V1__Operation__ResultEntry) + 16 * 0,
};

static const struct schema_field fields_operation[] = {
    {1, "id", "id", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "kind", "kind", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {3, "state", "state", SCHEMA_ENUM, 0, -1, NULL, &enum_operation_state, NULL},
    {4, "done", "done", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
    {5, "total", "total", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
    {6, "message", "message", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {7, "started_at", "startedAt", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_google_protobuf_timestamp, NULL, NULL},
    {8, "ended_at", "endedAt", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_google_protobuf_timestamp, NULL, NULL},
    {9, "started_by", "startedBy", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {10, "error_code", "errorCode", SCHEMA_INT32, 0, -1, NULL, NULL, NULL},
    {11, "result", "result", SCHEMA_MESSAGE, SCHEMA_REPEATED | SCHEMA_MAP, -1, &message_operation_result_entry, NULL, NULL},
};
static const uint8_t places_operation[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
static const struct schema_name names_operation[] = {
    {"id", 2, 0},
    {"done", 4, 3},
    {"kind", 4, 1},
    {"state", 5, 2},
    {"total", 5, 4},
    {"result", 6, 10},
    {"endedAt", 7, 7},
    {"message", 7, 5},
    {"ended_at", 8, 7},
    {"errorCode", 9, 9},
    {"startedAt", 9, 6},
    {"startedBy", 9, 8},
    {"error_code", 10, 9},
    {"started_at", 10, 6},
    {"started_by", 10, 8},
};
static const struct schema_message message_operation = {
    "strata.v1.Operation", SCHEMA_PLAIN, fields_operation, 11, NULL, 0,
    names_operation, 15, places_operation, 12, sizeof(Strata__V1__Operation) + 16 * 1,
};

static const struct schema_field fields_list_operations_request[] = {
    {14, "page_size", "pageSize", SCHEMA_INT32, 0, -1, NULL, NULL, NULL},
    {15, "page_token", "pageToken", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_list_operations_request[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2};
static const struct schema_name names_list_operations_request[] = {
    {"pageSize", 8, 0},
    {"pageToken", 9, 1},
    {"page_size", 9, 0},
    {"page_token", 10, 1},
};
static const struct schema_message message_list_operations_request = {
    "strata.v1.ListOperationsRequest", SCHEMA_PLAIN, fields_list_operations_request, 2, NULL, 0,
    names_list_operations_request, 4, places_list_operations_request, 16, sizeof(Strata__V1__ListOperationsRequest) + 16 * 0,
};

static const struct schema_field fields_list_operations_response[] = {
    {1, "operations", "operations", SCHEMA_MESSAGE, SCHEMA_REPEATED, -1, &message_operation, NULL, NULL},
    {2, "next_page_token", "nextPageToken", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_list_operations_response[] = {0, 1, 2};
static const struct schema_name names_list_operations_response[] = {
    {"operations", 10, 0},
    {"nextPageToken", 13, 1},
    {"next_page_token", 15, 1},
};
static const struct schema_message message_list_operations_response = {
    "strata.v1.ListOperationsResponse", SCHEMA_PLAIN, fields_list_operations_response, 2, NULL, 0,
    names_list_operations_response, 3, places_list_operations_response, 3, sizeof(Strata__V1__ListOperationsResponse) + 16 * 1,
};

static const struct schema_field fields_ws_request[] = {
    {1, "action", "action", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "id", "id", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {3, "filter", "filter", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_subscribe_request, NULL, NULL},
};
static const uint8_t places_ws_request[] = {0, 1, 2, 3};
static const struct schema_name names_ws_request[] = {
    {"id", 2, 1},
    {"action", 6, 0},
    {"filter", 6, 2},
};
static const struct schema_message message_ws_request = {
    "strata.v1.WsRequest", SCHEMA_PLAIN, fields_ws_request, 3, NULL, 0,
    names_ws_request, 3, places_ws_request, 4, sizeof(Strata__V1__WsRequest) + 16 * 0,
};

static const struct schema_field fields_ws_error[] = {
    {1, "code", "code", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "reason", "reason", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {3, "message", "message", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const uint8_t places_ws_error[] = {0, 1, 2, 3};
static const struct schema_name names_ws_error[] = {
    {"code", 4, 0},
    {"reason", 6, 1},
    {"message", 7, 2},
};
static const struct schema_message message_ws_error = {
    "strata.v1.WsError", SCHEMA_PLAIN, fields_ws_error, 3, NULL, 0,
    names_ws_error, 3, places_ws_error, 4, sizeof(Strata__V1__WsError) + 16 * 0,
};

static const struct schema_field fields_ws_message[] = {
    {1, "type", "type", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "subscription", "subscription", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {3, "event", "event", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_event, NULL, NULL},
    {4, "checkpoint", "checkpoint", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_checkpoint, NULL, NULL},
    {5, "error", "error", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_ws_error, NULL, NULL},
    {6, "closing", "closing", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_closing, NULL, NULL},
};
static const uint8_t places_ws_message[] = {0, 1, 2, 3, 4, 5, 6};
static const struct schema_name names_ws_message[] = {
    {"type", 4, 0},
    {"error", 5, 4},
    {"event", 5, 2},
    {"closing", 7, 5},
    {"checkpoint", 10, 3},
    {"subscription", 12, 1},
};
static const struct schema_message message_ws_message = {
    "strata.v1.WsMessage", SCHEMA_PLAIN, fields_ws_message, 6, NULL, 0,
    names_ws_message, 6, places_ws_message, 7, sizeof(Strata__V1__WsMessage) + 16 * 0,
};

const struct schema_message *const schema_messages[] = {
    &message_google_protobuf_duration,
    &message_google_protobuf_timestamp,
    &message_aggregate,
    &message_aggregate_head,
    &message_append_condition,
    &message_append_error,
    &message_append_error_facts_entry,
    &message_append_events_request,
    &message_append_events_response,
    &message_append_stream_request,
    &message_append_stream_response,
    &message_bus_stats,
    &message_cache_stats,
    &message_cancel_operation_request,
    &message_change,
    &message_checkpoint,
    &message_cleanup,
    &message_closing,
    &message_create_aggregate_request,
    &message_create_snapshot_request,
    &message_event,
    &message_event_batch,
    &message_event_query,
    &message_expectation,
    &message_get_aggregate_request,
    &message_get_event_request,
    &message_get_health_request,
    &message_get_info_request,
    &message_get_latest_snapshot_request,
    &message_get_operation_request,
    &message_get_snapshot_request,
    &message_get_stats_request,
    &message_health,
    &message_health_component,
    &message_info,
    &message_info_libraries_entry,
    &message_info_metadata_entry,
    &message_list_aggregates_request,
    &message_list_aggregates_response,
    &message_list_events_request,
    &message_list_events_response,
    &message_list_operations_request,
    &message_list_operations_response,
    &message_list_snapshots_request,
    &message_list_snapshots_response,
    &message_list_subscriptions_request,
    &message_list_subscriptions_response,
    &message_new_event,
    &message_operation,
    &message_operation_result_entry,
    &message_order_created,
    &message_order_item,
    &message_order_status_changed,
    &message_payment_processed,
    &message_publish_event_request,
    &message_publish_event_response,
    &message_query_item,
    &message_read_events_request,
    &message_read_events_response,
    &message_rebuild,
    &message_save_aggregate_request,
    &message_snapshot,
    &message_start_operation_request,
    &message_stats,
    &message_stats_aggregates_by_type_entry,
    &message_stats_events_by_type_entry,
    &message_store_stats,
    &message_store_stats_counters_entry,
    &message_subscribe_request,
    &message_subscribe_response,
    &message_subscription,
    &message_user_created,
    &message_user_deleted,
    &message_user_updated,
    &message_verify,
    &message_watch_operation_request,
    &message_ws_error,
    &message_ws_message,
    &message_ws_request,
};
const size_t schema_message_count = 79;

const struct schema_message *const schema_ws_request = &message_ws_request;
const struct schema_message *const schema_ws_message = &message_ws_message;
const struct schema_message *const schema_event = &message_event;

const struct schema_method schema_methods[SCHEMA_METHOD_COUNT] = {
    [METHOD_AGGREGATE_SERVICE_CREATE_AGGREGATE] = {"/strata.v1.AggregateService/CreateAggregate", "strata.v1.AggregateService", "CreateAggregate",
        &message_create_aggregate_request, &message_aggregate,
        &strata__v1__create_aggregate_request__descriptor,
        &strata__v1__aggregate__descriptor,
        false, false, (enum schema_role)3, (enum schema_rate)2, 201, true, false, "/api/v1/aggregates/{id}"},
    [METHOD_AGGREGATE_SERVICE_GET_AGGREGATE] = {"/strata.v1.AggregateService/GetAggregate", "strata.v1.AggregateService", "GetAggregate",
        &message_get_aggregate_request, &message_aggregate,
        &strata__v1__get_aggregate_request__descriptor,
        &strata__v1__aggregate__descriptor,
        false, false, (enum schema_role)2, (enum schema_rate)1, 200, false, true, NULL},
    [METHOD_AGGREGATE_SERVICE_SAVE_AGGREGATE] = {"/strata.v1.AggregateService/SaveAggregate", "strata.v1.AggregateService", "SaveAggregate",
        &message_save_aggregate_request, &message_aggregate,
        &strata__v1__save_aggregate_request__descriptor,
        &strata__v1__aggregate__descriptor,
        false, false, (enum schema_role)3, (enum schema_rate)2, 200, true, false, NULL},
    [METHOD_AGGREGATE_SERVICE_LIST_AGGREGATES] = {"/strata.v1.AggregateService/ListAggregates", "strata.v1.AggregateService", "ListAggregates",
        &message_list_aggregates_request, &message_list_aggregates_response,
        &strata__v1__list_aggregates_request__descriptor,
        &strata__v1__list_aggregates_response__descriptor,
        false, false, (enum schema_role)2, (enum schema_rate)1, 200, false, true, NULL},
    [METHOD_EVENT_SERVICE_PUBLISH_EVENT] = {"/strata.v1.EventService/PublishEvent", "strata.v1.EventService", "PublishEvent",
        &message_publish_event_request, &message_publish_event_response,
        &strata__v1__publish_event_request__descriptor,
        &strata__v1__publish_event_response__descriptor,
        false, false, (enum schema_role)3, (enum schema_rate)2, 201, true, false, "/api/v1/events/id/{event.id}"},
    [METHOD_EVENT_SERVICE_APPEND_EVENTS] = {"/strata.v1.EventService/AppendEvents", "strata.v1.EventService", "AppendEvents",
        &message_append_events_request, &message_append_events_response,
        &strata__v1__append_events_request__descriptor,
        &strata__v1__append_events_response__descriptor,
        false, false, (enum schema_role)3, (enum schema_rate)2, 201, true, false, NULL},
    [METHOD_EVENT_SERVICE_APPEND_STREAM] = {"/strata.v1.EventService/AppendStream", "strata.v1.EventService", "AppendStream",
        &message_append_stream_request, &message_append_stream_response,
        &strata__v1__append_stream_request__descriptor,
        &strata__v1__append_stream_response__descriptor,
        true, true, (enum schema_role)3, (enum schema_rate)3, 200, true, false, NULL},
    [METHOD_EVENT_SERVICE_GET_EVENT] = {"/strata.v1.EventService/GetEvent", "strata.v1.EventService", "GetEvent",
        &message_get_event_request, &message_event,
        &strata__v1__get_event_request__descriptor,
        &strata__v1__event__descriptor,
        false, false, (enum schema_role)2, (enum schema_rate)1, 200, false, true, NULL},
    [METHOD_EVENT_SERVICE_LIST_EVENTS] = {"/strata.v1.EventService/ListEvents", "strata.v1.EventService", "ListEvents",
        &message_list_events_request, &message_list_events_response,
        &strata__v1__list_events_request__descriptor,
        &strata__v1__list_events_response__descriptor,
        false, false, (enum schema_role)2, (enum schema_rate)1, 200, false, true, NULL},
    [METHOD_EVENT_SERVICE_READ_EVENTS] = {"/strata.v1.EventService/ReadEvents", "strata.v1.EventService", "ReadEvents",
        &message_read_events_request, &message_read_events_response,
        &strata__v1__read_events_request__descriptor,
        &strata__v1__read_events_response__descriptor,
        false, true, (enum schema_role)2, (enum schema_rate)3, 200, false, true, NULL},
    [METHOD_SNAPSHOT_SERVICE_CREATE_SNAPSHOT] = {"/strata.v1.SnapshotService/CreateSnapshot", "strata.v1.SnapshotService", "CreateSnapshot",
        &message_create_snapshot_request, &message_snapshot,
        &strata__v1__create_snapshot_request__descriptor,
        &strata__v1__snapshot__descriptor,
        false, false, (enum schema_role)3, (enum schema_rate)2, 201, true, false, NULL},
    [METHOD_SNAPSHOT_SERVICE_GET_SNAPSHOT] = {"/strata.v1.SnapshotService/GetSnapshot", "strata.v1.SnapshotService", "GetSnapshot",
        &message_get_snapshot_request, &message_snapshot,
        &strata__v1__get_snapshot_request__descriptor,
        &strata__v1__snapshot__descriptor,
        false, false, (enum schema_role)2, (enum schema_rate)1, 200, false, true, NULL},
    [METHOD_SNAPSHOT_SERVICE_GET_LATEST_SNAPSHOT] = {"/strata.v1.SnapshotService/GetLatestSnapshot", "strata.v1.SnapshotService", "GetLatestSnapshot",
        &message_get_latest_snapshot_request, &message_snapshot,
        &strata__v1__get_latest_snapshot_request__descriptor,
        &strata__v1__snapshot__descriptor,
        false, false, (enum schema_role)2, (enum schema_rate)1, 200, false, true, NULL},
    [METHOD_SNAPSHOT_SERVICE_LIST_SNAPSHOTS] = {"/strata.v1.SnapshotService/ListSnapshots", "strata.v1.SnapshotService", "ListSnapshots",
        &message_list_snapshots_request, &message_list_snapshots_response,
        &strata__v1__list_snapshots_request__descriptor,
        &strata__v1__list_snapshots_response__descriptor,
        false, false, (enum schema_role)2, (enum schema_rate)1, 200, false, true, NULL},
    [METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE] = {"/strata.v1.SubscriptionService/Subscribe", "strata.v1.SubscriptionService", "Subscribe",
        &message_subscribe_request, &message_subscribe_response,
        &strata__v1__subscribe_request__descriptor,
        &strata__v1__subscribe_response__descriptor,
        false, true, (enum schema_role)2, (enum schema_rate)3, 200, false, true, NULL},
    [METHOD_SUBSCRIPTION_SERVICE_LIST_SUBSCRIPTIONS] = {"/strata.v1.SubscriptionService/ListSubscriptions", "strata.v1.SubscriptionService", "ListSubscriptions",
        &message_list_subscriptions_request, &message_list_subscriptions_response,
        &strata__v1__list_subscriptions_request__descriptor,
        &strata__v1__list_subscriptions_response__descriptor,
        false, false, (enum schema_role)4, (enum schema_rate)1, 200, false, true, NULL},
    [METHOD_SYSTEM_SERVICE_GET_HEALTH] = {"/strata.v1.SystemService/GetHealth", "strata.v1.SystemService", "GetHealth",
        &message_get_health_request, &message_health,
        &strata__v1__get_health_request__descriptor,
        &strata__v1__health__descriptor,
        false, false, (enum schema_role)1, (enum schema_rate)5, 200, false, true, NULL},
    [METHOD_SYSTEM_SERVICE_GET_INFO] = {"/strata.v1.SystemService/GetInfo", "strata.v1.SystemService", "GetInfo",
        &message_get_info_request, &message_info,
        &strata__v1__get_info_request__descriptor,
        &strata__v1__info__descriptor,
        false, false, (enum schema_role)2, (enum schema_rate)1, 200, false, true, NULL},
    [METHOD_SYSTEM_SERVICE_GET_STATS] = {"/strata.v1.SystemService/GetStats", "strata.v1.SystemService", "GetStats",
        &message_get_stats_request, &message_stats,
        &strata__v1__get_stats_request__descriptor,
        &strata__v1__stats__descriptor,
        false, false, (enum schema_role)2, (enum schema_rate)1, 200, false, true, NULL},
    [METHOD_SYSTEM_SERVICE_START_OPERATION] = {"/strata.v1.SystemService/StartOperation", "strata.v1.SystemService", "StartOperation",
        &message_start_operation_request, &message_operation,
        &strata__v1__start_operation_request__descriptor,
        &strata__v1__operation__descriptor,
        false, false, (enum schema_role)6, (enum schema_rate)4, 202, true, false, "/api/v1/operations/{id}"},
    [METHOD_SYSTEM_SERVICE_GET_OPERATION] = {"/strata.v1.SystemService/GetOperation", "strata.v1.SystemService", "GetOperation",
        &message_get_operation_request, &message_operation,
        &strata__v1__get_operation_request__descriptor,
        &strata__v1__operation__descriptor,
        false, false, (enum schema_role)4, (enum schema_rate)1, 200, false, true, NULL},
    [METHOD_SYSTEM_SERVICE_LIST_OPERATIONS] = {"/strata.v1.SystemService/ListOperations", "strata.v1.SystemService", "ListOperations",
        &message_list_operations_request, &message_list_operations_response,
        &strata__v1__list_operations_request__descriptor,
        &strata__v1__list_operations_response__descriptor,
        false, false, (enum schema_role)4, (enum schema_rate)1, 200, false, true, NULL},
    [METHOD_SYSTEM_SERVICE_CANCEL_OPERATION] = {"/strata.v1.SystemService/CancelOperation", "strata.v1.SystemService", "CancelOperation",
        &message_cancel_operation_request, &message_operation,
        &strata__v1__cancel_operation_request__descriptor,
        &strata__v1__operation__descriptor,
        false, false, (enum schema_role)6, (enum schema_rate)4, 200, true, false, NULL},
    [METHOD_SYSTEM_SERVICE_WATCH_OPERATION] = {"/strata.v1.SystemService/WatchOperation", "strata.v1.SystemService", "WatchOperation",
        &message_watch_operation_request, &message_operation,
        &strata__v1__watch_operation_request__descriptor,
        &strata__v1__operation__descriptor,
        false, true, (enum schema_role)4, (enum schema_rate)3, 200, false, true, NULL},
};

static const struct schema_segment segments_0[] = {
    {"api", NULL},
    {"v1", NULL},
    {"aggregates", NULL},
};
static const struct schema_segment segments_1[] = {
    {"api", NULL},
    {"v1", NULL},
    {"aggregates", NULL},
    {NULL, &fields_get_aggregate_request[0]},
};
static const struct schema_segment segments_2[] = {
    {"api", NULL},
    {"v1", NULL},
    {"aggregates", NULL},
    {NULL, &fields_save_aggregate_request[0]},
};
static const struct schema_segment segments_3[] = {
    {"api", NULL},
    {"v1", NULL},
    {"aggregates", NULL},
};
static const struct schema_segment segments_4[] = {
    {"api", NULL},
    {"v1", NULL},
    {"events", NULL},
    {"publish", NULL},
};
static const struct schema_segment segments_5[] = {
    {"api", NULL},
    {"v1", NULL},
    {"events", NULL},
    {"append", NULL},
};
static const struct schema_segment segments_6[] = {
    {"api", NULL},
    {"v1", NULL},
    {"events", NULL},
    {"id", NULL},
    {NULL, &fields_get_event_request[0]},
};
static const struct schema_segment segments_7[] = {
    {"api", NULL},
    {"v1", NULL},
    {"events", NULL},
};
static const struct schema_segment segments_8[] = {
    {"api", NULL},
    {"v1", NULL},
    {"events", NULL},
    {"aggregate", NULL},
    {NULL, &fields_list_events_request[0]},
};
static const struct schema_segment segments_9[] = {
    {"api", NULL},
    {"v1", NULL},
    {"events", NULL},
    {"type", NULL},
    {NULL, &fields_list_events_request[1]},
};
static const struct schema_segment segments_10[] = {
    {"api", NULL},
    {"v1", NULL},
    {"events", NULL},
    {"aggregate-type", NULL},
    {NULL, &fields_list_events_request[2]},
};
static const struct schema_segment segments_11[] = {
    {"api", NULL},
    {"v1", NULL},
    {"snapshots", NULL},
};
static const struct schema_segment segments_12[] = {
    {"api", NULL},
    {"v1", NULL},
    {"snapshots", NULL},
    {NULL, &fields_get_snapshot_request[0]},
};
static const struct schema_segment segments_13[] = {
    {"api", NULL},
    {"v1", NULL},
    {"snapshots", NULL},
    {NULL, &fields_get_latest_snapshot_request[0]},
    {"latest", NULL},
};
static const struct schema_segment segments_14[] = {
    {"api", NULL},
    {"v1", NULL},
    {"snapshots", NULL},
};
static const struct schema_segment segments_15[] = {
    {"api", NULL},
    {"v1", NULL},
    {"events", NULL},
    {"subscribe", NULL},
};
static const struct schema_segment segments_16[] = {
    {"api", NULL},
    {"v1", NULL},
    {"subscriptions", NULL},
};
static const struct schema_segment segments_17[] = {
    {"health", NULL},
};
static const struct schema_segment segments_18[] = {
    {"api", NULL},
    {"v1", NULL},
    {"info", NULL},
};
static const struct schema_segment segments_19[] = {
    {"api", NULL},
    {"v1", NULL},
    {"stats", NULL},
};
static const struct schema_segment segments_20[] = {
    {"api", NULL},
    {"v1", NULL},
    {"operations", NULL},
};
static const struct schema_segment segments_21[] = {
    {"api", NULL},
    {"v1", NULL},
    {"operations", NULL},
    {NULL, &fields_get_operation_request[0]},
};
static const struct schema_segment segments_22[] = {
    {"api", NULL},
    {"v1", NULL},
    {"operations", NULL},
};
static const struct schema_segment segments_23[] = {
    {"api", NULL},
    {"v1", NULL},
    {"operations", NULL},
    {NULL, &fields_cancel_operation_request[0]},
    {"cancel", NULL},
};

const struct schema_route schema_routes[] = {
    {"POST", "/api/v1/aggregates", segments_0, 3, METHOD_AGGREGATE_SERVICE_CREATE_AGGREGATE, "*", NULL},
    {"GET", "/api/v1/aggregates/{id}", segments_1, 4, METHOD_AGGREGATE_SERVICE_GET_AGGREGATE, NULL, NULL},
    {"PUT", "/api/v1/aggregates/{id}", segments_2, 4, METHOD_AGGREGATE_SERVICE_SAVE_AGGREGATE, "*", NULL},
    {"GET", "/api/v1/aggregates", segments_3, 3, METHOD_AGGREGATE_SERVICE_LIST_AGGREGATES, NULL, NULL},
    {"POST", "/api/v1/events/publish", segments_4, 4, METHOD_EVENT_SERVICE_PUBLISH_EVENT, "*", "event"},
    {"POST", "/api/v1/events/append", segments_5, 4, METHOD_EVENT_SERVICE_APPEND_EVENTS, "*", NULL},
    {"GET", "/api/v1/events/id/{event_id}", segments_6, 5, METHOD_EVENT_SERVICE_GET_EVENT, NULL, NULL},
    {"GET", "/api/v1/events", segments_7, 3, METHOD_EVENT_SERVICE_LIST_EVENTS, NULL, NULL},
    {"GET", "/api/v1/events/aggregate/{aggregate_id}", segments_8, 5, METHOD_EVENT_SERVICE_LIST_EVENTS, NULL, NULL},
    {"GET", "/api/v1/events/type/{type}", segments_9, 5, METHOD_EVENT_SERVICE_LIST_EVENTS, NULL, NULL},
    {"GET", "/api/v1/events/aggregate-type/{aggregate_type}", segments_10, 5, METHOD_EVENT_SERVICE_LIST_EVENTS, NULL, NULL},
    {"POST", "/api/v1/snapshots", segments_11, 3, METHOD_SNAPSHOT_SERVICE_CREATE_SNAPSHOT, "*", NULL},
    {"GET", "/api/v1/snapshots/{aggregate_id}", segments_12, 4, METHOD_SNAPSHOT_SERVICE_GET_SNAPSHOT, NULL, NULL},
    {"GET", "/api/v1/snapshots/{aggregate_id}/latest", segments_13, 5, METHOD_SNAPSHOT_SERVICE_GET_LATEST_SNAPSHOT, NULL, NULL},
    {"GET", "/api/v1/snapshots", segments_14, 3, METHOD_SNAPSHOT_SERVICE_LIST_SNAPSHOTS, NULL, NULL},
    {"GET", "/api/v1/events/subscribe", segments_15, 4, METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE, NULL, NULL},
    {"GET", "/api/v1/subscriptions", segments_16, 3, METHOD_SUBSCRIPTION_SERVICE_LIST_SUBSCRIPTIONS, NULL, NULL},
    {"GET", "/health", segments_17, 1, METHOD_SYSTEM_SERVICE_GET_HEALTH, NULL, NULL},
    {"GET", "/api/v1/info", segments_18, 3, METHOD_SYSTEM_SERVICE_GET_INFO, NULL, NULL},
    {"GET", "/api/v1/stats", segments_19, 3, METHOD_SYSTEM_SERVICE_GET_STATS, NULL, NULL},
    {"POST", "/api/v1/operations", segments_20, 3, METHOD_SYSTEM_SERVICE_START_OPERATION, "*", NULL},
    {"GET", "/api/v1/operations/{id}", segments_21, 4, METHOD_SYSTEM_SERVICE_GET_OPERATION, NULL, NULL},
    {"GET", "/api/v1/operations", segments_22, 3, METHOD_SYSTEM_SERVICE_LIST_OPERATIONS, NULL, NULL},
    {"POST", "/api/v1/operations/{id}/cancel", segments_23, 5, METHOD_SYSTEM_SERVICE_CANCEL_OPERATION, "*", NULL},
};
const size_t schema_route_count = 24;
