/* Made from proto/ by scripts/generate; never edited. */

#include "schema/schema.h"

#include "strata/v1/aggregate_service.pb-c.h"
#include "strata/v1/event.pb-c.h"
#include "strata/v1/event_service.pb-c.h"
#include "strata/v1/snapshot_service.pb-c.h"
#include "strata/v1/subscription_service.pb-c.h"
#include "strata/v1/system_service.pb-c.h"

static const struct schema_enum_value values_strata_v1_direction[] = {
    {"DIRECTION_UNSPECIFIED", 0},
    {"FORWARD", 1},
    {"BACKWARD", 2},
};
static const struct schema_enum enum_strata_v1_direction = {"strata.v1.Direction", values_strata_v1_direction, 3};

static const struct schema_enum_value values_strata_v1_health_state[] = {
    {"STATE_UNSPECIFIED", 0},
    {"HEALTHY", 1},
    {"DEGRADED", 2},
    {"UNHEALTHY", 3},
};
static const struct schema_enum enum_strata_v1_health_state = {"strata.v1.Health.State", values_strata_v1_health_state, 4};

static const struct schema_enum_value values_strata_v1_snapshot_state[] = {
    {"STATE_UNSPECIFIED", 0},
    {"VERIFIED", 1},
    {"PENDING", 2},
    {"DIVERGENT", 3},
};
static const struct schema_enum enum_strata_v1_snapshot_state = {"strata.v1.Snapshot.State", values_strata_v1_snapshot_state, 4};

static const struct schema_field fields_strata_v1_createaggregaterequest[] = {
    {1, "id", "id", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "type", "type", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {3, "initial_state", "initialState", SCHEMA_BYTES, SCHEMA_RAW_JSON, -1, NULL, NULL, NULL},
    {4, "metadata", "metadata", SCHEMA_BYTES, SCHEMA_RAW_JSON, -1, NULL, NULL, NULL},
    {5, "idempotency_key", "idempotencyKey", SCHEMA_STRING, 0, -1, NULL, NULL, "Idempotency-Key"},
    {6, "validate_only", "validateOnly", SCHEMA_BOOL, 0, -1, NULL, NULL, NULL},
};
static const struct schema_message message_strata_v1_createaggregaterequest = {"strata.v1.CreateAggregateRequest", SCHEMA_PLAIN, fields_strata_v1_createaggregaterequest, 6, NULL, 0};

static const struct schema_field fields_google_protobuf_timestamp[] = {
    {1, "seconds", "seconds", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
    {2, "nanos", "nanos", SCHEMA_INT32, 0, -1, NULL, NULL, NULL},
};
static const struct schema_message message_google_protobuf_timestamp = {"google.protobuf.Timestamp", SCHEMA_TIMESTAMP, fields_google_protobuf_timestamp, 2, NULL, 0};

static const struct schema_field fields_strata_v1_event[] = {
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
static const struct schema_message message_strata_v1_event = {"strata.v1.Event", SCHEMA_PLAIN, fields_strata_v1_event, 28, NULL, 0};

static const struct schema_field fields_strata_v1_aggregate[] = {
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
    {11, "events", "events", SCHEMA_MESSAGE, SCHEMA_REPEATED, -1, &message_strata_v1_event, NULL, NULL},
    {12, "erased", "erased", SCHEMA_BOOL, 0, -1, NULL, NULL, NULL},
    {13, "etag", "etag", SCHEMA_STRING, 0, -1, NULL, NULL, "ETag"},
    {14, "replayed", "replayed", SCHEMA_BOOL, 0, -1, NULL, NULL, "Strata-Replayed"},
    {15, "as_of_position", "asOfPosition", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
};
static const struct schema_message message_strata_v1_aggregate = {"strata.v1.Aggregate", SCHEMA_PLAIN, fields_strata_v1_aggregate, 15, NULL, 0};

static const struct schema_field fields_strata_v1_getaggregaterequest[] = {
    {1, "id", "id", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "as_of_version", "asOfVersion", SCHEMA_INT32, SCHEMA_PRESENCE, 0, NULL, NULL, NULL},
    {3, "as_of_time", "asOfTime", SCHEMA_MESSAGE, SCHEMA_PRESENCE, 0, &message_google_protobuf_timestamp, NULL, NULL},
    {4, "as_of_position", "asOfPosition", SCHEMA_INT64, SCHEMA_PRESENCE, 0, NULL, NULL, NULL},
    {5, "include_events", "includeEvents", SCHEMA_BOOL, 0, -1, NULL, NULL, NULL},
    {6, "min_position", "minPosition", SCHEMA_INT64, 0, -1, NULL, NULL, "Strata-Min-Position"},
    {7, "if_none_match", "ifNoneMatch", SCHEMA_STRING, 0, -1, NULL, NULL, "If-None-Match"},
    {8, "effective_at", "effectiveAt", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_google_protobuf_timestamp, NULL, NULL},
};
static const char *const oneofs_strata_v1_getaggregaterequest[] = {"as_of"};
static const struct schema_message message_strata_v1_getaggregaterequest = {"strata.v1.GetAggregateRequest", SCHEMA_PLAIN, fields_strata_v1_getaggregaterequest, 8, oneofs_strata_v1_getaggregaterequest, 1};

static const struct schema_field fields_strata_v1_newevent[] = {
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
static const struct schema_message message_strata_v1_newevent = {"strata.v1.NewEvent", SCHEMA_PLAIN, fields_strata_v1_newevent, 13, NULL, 0};

static const struct schema_field fields_strata_v1_saveaggregaterequest[] = {
    {1, "id", "id", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "expected_version", "expectedVersion", SCHEMA_INT32, SCHEMA_PRESENCE, -1, NULL, NULL, NULL},
    {3, "if_match", "ifMatch", SCHEMA_STRING, 0, -1, NULL, NULL, "If-Match"},
    {4, "events", "events", SCHEMA_MESSAGE, SCHEMA_REPEATED, -1, &message_strata_v1_newevent, NULL, NULL},
    {5, "state", "state", SCHEMA_BYTES, SCHEMA_RAW_JSON, -1, NULL, NULL, NULL},
    {6, "set_metadata", "setMetadata", SCHEMA_BYTES, SCHEMA_RAW_JSON, -1, NULL, NULL, NULL},
    {7, "active", "active", SCHEMA_BOOL, SCHEMA_PRESENCE, -1, NULL, NULL, NULL},
    {8, "idempotency_key", "idempotencyKey", SCHEMA_STRING, 0, -1, NULL, NULL, "Idempotency-Key"},
    {9, "validate_only", "validateOnly", SCHEMA_BOOL, 0, -1, NULL, NULL, NULL},
};
static const struct schema_message message_strata_v1_saveaggregaterequest = {"strata.v1.SaveAggregateRequest", SCHEMA_PLAIN, fields_strata_v1_saveaggregaterequest, 9, NULL, 0};

static const struct schema_field fields_strata_v1_listaggregatesrequest[] = {
    {1, "type", "type", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "active", "active", SCHEMA_BOOL, SCHEMA_PRESENCE, -1, NULL, NULL, NULL},
    {3, "include_state", "includeState", SCHEMA_BOOL, 0, -1, NULL, NULL, NULL},
    {14, "page_size", "pageSize", SCHEMA_INT32, 0, -1, NULL, NULL, NULL},
    {15, "page_token", "pageToken", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const struct schema_message message_strata_v1_listaggregatesrequest = {"strata.v1.ListAggregatesRequest", SCHEMA_PLAIN, fields_strata_v1_listaggregatesrequest, 5, NULL, 0};

static const struct schema_field fields_strata_v1_listaggregatesresponse[] = {
    {1, "aggregates", "aggregates", SCHEMA_MESSAGE, SCHEMA_REPEATED, -1, &message_strata_v1_aggregate, NULL, NULL},
    {2, "next_page_token", "nextPageToken", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const struct schema_message message_strata_v1_listaggregatesresponse = {"strata.v1.ListAggregatesResponse", SCHEMA_PLAIN, fields_strata_v1_listaggregatesresponse, 2, NULL, 0};

static const struct schema_field fields_strata_v1_publisheventrequest[] = {
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
static const struct schema_message message_strata_v1_publisheventrequest = {"strata.v1.PublishEventRequest", SCHEMA_PLAIN, fields_strata_v1_publisheventrequest, 17, NULL, 0};

static const struct schema_field fields_strata_v1_publisheventresponse[] = {
    {1, "event", "event", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_strata_v1_event, NULL, NULL},
    {2, "replayed", "replayed", SCHEMA_BOOL, 0, -1, NULL, NULL, "Strata-Replayed"},
};
static const struct schema_message message_strata_v1_publisheventresponse = {"strata.v1.PublishEventResponse", SCHEMA_PLAIN, fields_strata_v1_publisheventresponse, 2, NULL, 0};

static const struct schema_field fields_strata_v1_expectation[] = {
    {1, "aggregate_id", "aggregateId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "be_at_version", "beAtVersion", SCHEMA_INT32, SCHEMA_PRESENCE, 0, NULL, NULL, NULL},
    {3, "not_exist", "notExist", SCHEMA_BOOL, SCHEMA_PRESENCE, 0, NULL, NULL, NULL},
    {4, "exist", "exist", SCHEMA_BOOL, SCHEMA_PRESENCE, 0, NULL, NULL, NULL},
};
static const char *const oneofs_strata_v1_expectation[] = {"must"};
static const struct schema_message message_strata_v1_expectation = {"strata.v1.Expectation", SCHEMA_PLAIN, fields_strata_v1_expectation, 4, oneofs_strata_v1_expectation, 1};

static const struct schema_field fields_strata_v1_queryitem[] = {
    {1, "types", "types", SCHEMA_STRING, SCHEMA_REPEATED, -1, NULL, NULL, NULL},
    {2, "tags", "tags", SCHEMA_STRING, SCHEMA_REPEATED, -1, NULL, NULL, NULL},
    {3, "aggregate_types", "aggregateTypes", SCHEMA_STRING, SCHEMA_REPEATED, -1, NULL, NULL, NULL},
    {4, "aggregate_ids", "aggregateIds", SCHEMA_STRING, SCHEMA_REPEATED, -1, NULL, NULL, NULL},
    {5, "aggregate_id_prefixes", "aggregateIdPrefixes", SCHEMA_STRING, SCHEMA_REPEATED, -1, NULL, NULL, NULL},
    {6, "correlation_id", "correlationId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const struct schema_message message_strata_v1_queryitem = {"strata.v1.QueryItem", SCHEMA_PLAIN, fields_strata_v1_queryitem, 6, NULL, 0};

static const struct schema_field fields_strata_v1_eventquery[] = {
    {1, "items", "items", SCHEMA_MESSAGE, SCHEMA_REPEATED, -1, &message_strata_v1_queryitem, NULL, NULL},
};
static const struct schema_message message_strata_v1_eventquery = {"strata.v1.EventQuery", SCHEMA_PLAIN, fields_strata_v1_eventquery, 1, NULL, 0};

static const struct schema_field fields_strata_v1_appendcondition[] = {
    {1, "fail_if_match", "failIfMatch", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_strata_v1_eventquery, NULL, NULL},
    {2, "after_position", "afterPosition", SCHEMA_INT64, SCHEMA_PRESENCE, -1, NULL, NULL, NULL},
};
static const struct schema_message message_strata_v1_appendcondition = {"strata.v1.AppendCondition", SCHEMA_PLAIN, fields_strata_v1_appendcondition, 2, NULL, 0};

static const struct schema_field fields_strata_v1_appendeventsrequest[] = {
    {1, "append_id", "appendId", SCHEMA_STRING, 0, -1, NULL, NULL, "Idempotency-Key"},
    {2, "events", "events", SCHEMA_MESSAGE, SCHEMA_REPEATED, -1, &message_strata_v1_newevent, NULL, NULL},
    {3, "expectations", "expectations", SCHEMA_MESSAGE, SCHEMA_REPEATED, -1, &message_strata_v1_expectation, NULL, NULL},
    {4, "condition", "condition", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_strata_v1_appendcondition, NULL, NULL},
    {5, "validate_only", "validateOnly", SCHEMA_BOOL, 0, -1, NULL, NULL, NULL},
};
static const struct schema_message message_strata_v1_appendeventsrequest = {"strata.v1.AppendEventsRequest", SCHEMA_PLAIN, fields_strata_v1_appendeventsrequest, 5, NULL, 0};

static const struct schema_field fields_strata_v1_aggregatehead[] = {
    {1, "aggregate_id", "aggregateId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "version", "version", SCHEMA_INT32, 0, -1, NULL, NULL, NULL},
    {3, "position", "position", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
};
static const struct schema_message message_strata_v1_aggregatehead = {"strata.v1.AggregateHead", SCHEMA_PLAIN, fields_strata_v1_aggregatehead, 3, NULL, 0};

static const struct schema_field fields_strata_v1_appendeventsresponse[] = {
    {1, "append_id", "appendId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "first_position", "firstPosition", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
    {3, "last_position", "lastPosition", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
    {4, "timestamp", "timestamp", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_google_protobuf_timestamp, NULL, NULL},
    {5, "heads", "heads", SCHEMA_MESSAGE, SCHEMA_REPEATED, -1, &message_strata_v1_aggregatehead, NULL, NULL},
    {6, "event_ids", "eventIds", SCHEMA_STRING, SCHEMA_REPEATED, -1, NULL, NULL, NULL},
    {7, "replayed", "replayed", SCHEMA_BOOL, 0, -1, NULL, NULL, "Strata-Replayed"},
    {8, "events", "events", SCHEMA_MESSAGE, SCHEMA_REPEATED, -1, &message_strata_v1_event, NULL, NULL},
};
static const struct schema_message message_strata_v1_appendeventsresponse = {"strata.v1.AppendEventsResponse", SCHEMA_PLAIN, fields_strata_v1_appendeventsresponse, 8, NULL, 0};

static const struct schema_field fields_strata_v1_appendstreamrequest[] = {
    {1, "append", "append", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_strata_v1_appendeventsrequest, NULL, NULL},
};
static const struct schema_message message_strata_v1_appendstreamrequest = {"strata.v1.AppendStreamRequest", SCHEMA_PLAIN, fields_strata_v1_appendstreamrequest, 1, NULL, 0};

static const struct schema_field fields_strata_v1_appenderror_factsentry[] = {
    {1, "key", "key", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "value", "value", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const struct schema_message message_strata_v1_appenderror_factsentry = {"strata.v1.AppendError.FactsEntry", SCHEMA_PLAIN, fields_strata_v1_appenderror_factsentry, 2, NULL, 0};

static const struct schema_field fields_strata_v1_appenderror[] = {
    {1, "code", "code", SCHEMA_INT32, 0, -1, NULL, NULL, NULL},
    {2, "reason", "reason", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {3, "message", "message", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {4, "facts", "facts", SCHEMA_MESSAGE, SCHEMA_REPEATED | SCHEMA_MAP, -1, &message_strata_v1_appenderror_factsentry, NULL, NULL},
};
static const struct schema_message message_strata_v1_appenderror = {"strata.v1.AppendError", SCHEMA_PLAIN, fields_strata_v1_appenderror, 4, NULL, 0};

static const struct schema_field fields_strata_v1_appendstreamresponse[] = {
    {1, "sequence", "sequence", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
    {2, "appended", "appended", SCHEMA_MESSAGE, SCHEMA_PRESENCE, 0, &message_strata_v1_appendeventsresponse, NULL, NULL},
    {3, "error", "error", SCHEMA_MESSAGE, SCHEMA_PRESENCE, 0, &message_strata_v1_appenderror, NULL, NULL},
};
static const char *const oneofs_strata_v1_appendstreamresponse[] = {"outcome"};
static const struct schema_message message_strata_v1_appendstreamresponse = {"strata.v1.AppendStreamResponse", SCHEMA_PLAIN, fields_strata_v1_appendstreamresponse, 3, oneofs_strata_v1_appendstreamresponse, 1};

static const struct schema_field fields_strata_v1_geteventrequest[] = {
    {1, "event_id", "eventId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const struct schema_message message_strata_v1_geteventrequest = {"strata.v1.GetEventRequest", SCHEMA_PLAIN, fields_strata_v1_geteventrequest, 1, NULL, 0};

static const struct schema_field fields_strata_v1_listeventsrequest[] = {
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
    {13, "direction", "direction", SCHEMA_ENUM, 0, -1, NULL, &enum_strata_v1_direction, NULL},
    {14, "page_size", "pageSize", SCHEMA_INT32, 0, -1, NULL, NULL, NULL},
    {15, "page_token", "pageToken", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {16, "min_position", "minPosition", SCHEMA_INT64, 0, -1, NULL, NULL, "Strata-Min-Position"},
};
static const struct schema_message message_strata_v1_listeventsrequest = {"strata.v1.ListEventsRequest", SCHEMA_PLAIN, fields_strata_v1_listeventsrequest, 16, NULL, 0};

static const struct schema_field fields_strata_v1_listeventsresponse[] = {
    {1, "events", "events", SCHEMA_MESSAGE, SCHEMA_REPEATED, -1, &message_strata_v1_event, NULL, NULL},
    {2, "next_page_token", "nextPageToken", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {3, "head_position", "headPosition", SCHEMA_INT64, 0, -1, NULL, NULL, "Strata-Position"},
    {4, "first_available_version", "firstAvailableVersion", SCHEMA_INT32, 0, -1, NULL, NULL, NULL},
};
static const struct schema_message message_strata_v1_listeventsresponse = {"strata.v1.ListEventsResponse", SCHEMA_PLAIN, fields_strata_v1_listeventsresponse, 4, NULL, 0};

static const struct schema_field fields_strata_v1_readeventsrequest[] = {
    {1, "query", "query", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_strata_v1_eventquery, NULL, NULL},
    {2, "after_position", "afterPosition", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
    {3, "to_position", "toPosition", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
    {4, "direction", "direction", SCHEMA_ENUM, 0, -1, NULL, &enum_strata_v1_direction, NULL},
    {5, "limit", "limit", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
};
static const struct schema_message message_strata_v1_readeventsrequest = {"strata.v1.ReadEventsRequest", SCHEMA_PLAIN, fields_strata_v1_readeventsrequest, 5, NULL, 0};

static const struct schema_field fields_strata_v1_readeventsresponse[] = {
    {1, "events", "events", SCHEMA_MESSAGE, SCHEMA_REPEATED, -1, &message_strata_v1_event, NULL, NULL},
    {2, "position", "position", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
};
static const struct schema_message message_strata_v1_readeventsresponse = {"strata.v1.ReadEventsResponse", SCHEMA_PLAIN, fields_strata_v1_readeventsresponse, 2, NULL, 0};

static const struct schema_field fields_strata_v1_createsnapshotrequest[] = {
    {1, "aggregate_id", "aggregateId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "version", "version", SCHEMA_INT32, SCHEMA_PRESENCE, -1, NULL, NULL, NULL},
    {3, "data", "data", SCHEMA_BYTES, SCHEMA_RAW_JSON, -1, NULL, NULL, NULL},
    {4, "metadata", "metadata", SCHEMA_BYTES, SCHEMA_RAW_JSON, -1, NULL, NULL, NULL},
};
static const struct schema_message message_strata_v1_createsnapshotrequest = {"strata.v1.CreateSnapshotRequest", SCHEMA_PLAIN, fields_strata_v1_createsnapshotrequest, 4, NULL, 0};

static const struct schema_field fields_strata_v1_snapshot[] = {
    {1, "aggregate_id", "aggregateId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "aggregate_type", "aggregateType", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {3, "version", "version", SCHEMA_INT32, 0, -1, NULL, NULL, NULL},
    {4, "data", "data", SCHEMA_BYTES, SCHEMA_RAW_JSON, -1, NULL, NULL, NULL},
    {5, "state", "state", SCHEMA_ENUM, 0, -1, NULL, &enum_strata_v1_snapshot_state, NULL},
    {6, "created_at", "createdAt", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_google_protobuf_timestamp, NULL, NULL},
    {7, "event_digest", "eventDigest", SCHEMA_BYTES, SCHEMA_INTERNAL, -1, NULL, NULL, NULL},
    {8, "position", "position", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
    {9, "reducer_version", "reducerVersion", SCHEMA_INT32, 0, -1, NULL, NULL, NULL},
    {10, "metadata", "metadata", SCHEMA_BYTES, SCHEMA_RAW_JSON, -1, NULL, NULL, NULL},
    {11, "folded", "folded", SCHEMA_BYTES, SCHEMA_INTERNAL, -1, NULL, NULL, NULL},
};
static const struct schema_message message_strata_v1_snapshot = {"strata.v1.Snapshot", SCHEMA_PLAIN, fields_strata_v1_snapshot, 11, NULL, 0};

static const struct schema_field fields_strata_v1_getsnapshotrequest[] = {
    {1, "aggregate_id", "aggregateId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "version", "version", SCHEMA_INT32, SCHEMA_PRESENCE, -1, NULL, NULL, NULL},
};
static const struct schema_message message_strata_v1_getsnapshotrequest = {"strata.v1.GetSnapshotRequest", SCHEMA_PLAIN, fields_strata_v1_getsnapshotrequest, 2, NULL, 0};

static const struct schema_field fields_strata_v1_getlatestsnapshotrequest[] = {
    {1, "aggregate_id", "aggregateId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const struct schema_message message_strata_v1_getlatestsnapshotrequest = {"strata.v1.GetLatestSnapshotRequest", SCHEMA_PLAIN, fields_strata_v1_getlatestsnapshotrequest, 1, NULL, 0};

static const struct schema_field fields_strata_v1_listsnapshotsrequest[] = {
    {1, "aggregate_id", "aggregateId", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "aggregate_type", "aggregateType", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {14, "page_size", "pageSize", SCHEMA_INT32, 0, -1, NULL, NULL, NULL},
    {15, "page_token", "pageToken", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const struct schema_message message_strata_v1_listsnapshotsrequest = {"strata.v1.ListSnapshotsRequest", SCHEMA_PLAIN, fields_strata_v1_listsnapshotsrequest, 4, NULL, 0};

static const struct schema_field fields_strata_v1_listsnapshotsresponse[] = {
    {1, "snapshots", "snapshots", SCHEMA_MESSAGE, SCHEMA_REPEATED, -1, &message_strata_v1_snapshot, NULL, NULL},
    {2, "next_page_token", "nextPageToken", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {3, "total_size", "totalSize", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
};
static const struct schema_message message_strata_v1_listsnapshotsresponse = {"strata.v1.ListSnapshotsResponse", SCHEMA_PLAIN, fields_strata_v1_listsnapshotsresponse, 3, NULL, 0};

static const struct schema_field fields_google_protobuf_duration[] = {
    {1, "seconds", "seconds", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
    {2, "nanos", "nanos", SCHEMA_INT32, 0, -1, NULL, NULL, NULL},
};
static const struct schema_message message_google_protobuf_duration = {"google.protobuf.Duration", SCHEMA_DURATION, fields_google_protobuf_duration, 2, NULL, 0};

static const struct schema_field fields_strata_v1_subscriberequest[] = {
    {1, "query", "query", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_strata_v1_eventquery, NULL, NULL},
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
static const char *const oneofs_strata_v1_subscriberequest[] = {"start"};
static const struct schema_message message_strata_v1_subscriberequest = {"strata.v1.SubscribeRequest", SCHEMA_PLAIN, fields_strata_v1_subscriberequest, 13, oneofs_strata_v1_subscriberequest, 1};

static const struct schema_field fields_strata_v1_eventbatch[] = {
    {1, "events", "events", SCHEMA_MESSAGE, SCHEMA_REPEATED, -1, &message_strata_v1_event, NULL, NULL},
};
static const struct schema_message message_strata_v1_eventbatch = {"strata.v1.EventBatch", SCHEMA_PLAIN, fields_strata_v1_eventbatch, 1, NULL, 0};

static const struct schema_field fields_strata_v1_checkpoint[] = {
    {1, "position", "position", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
    {2, "timestamp", "timestamp", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_google_protobuf_timestamp, NULL, NULL},
    {3, "head_position", "headPosition", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
};
static const struct schema_message message_strata_v1_checkpoint = {"strata.v1.Checkpoint", SCHEMA_PLAIN, fields_strata_v1_checkpoint, 3, NULL, 0};

static const struct schema_field fields_strata_v1_closing[] = {
    {1, "reason", "reason", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "position", "position", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
};
static const struct schema_message message_strata_v1_closing = {"strata.v1.Closing", SCHEMA_PLAIN, fields_strata_v1_closing, 2, NULL, 0};

static const struct schema_field fields_strata_v1_subscriberesponse[] = {
    {1, "batch", "batch", SCHEMA_MESSAGE, SCHEMA_PRESENCE, 0, &message_strata_v1_eventbatch, NULL, NULL},
    {2, "caught_up", "caughtUp", SCHEMA_MESSAGE, SCHEMA_PRESENCE, 0, &message_strata_v1_checkpoint, NULL, NULL},
    {3, "checkpoint", "checkpoint", SCHEMA_MESSAGE, SCHEMA_PRESENCE, 0, &message_strata_v1_checkpoint, NULL, NULL},
    {4, "fell_behind", "fellBehind", SCHEMA_MESSAGE, SCHEMA_PRESENCE, 0, &message_strata_v1_checkpoint, NULL, NULL},
    {5, "closing", "closing", SCHEMA_MESSAGE, SCHEMA_PRESENCE, 0, &message_strata_v1_closing, NULL, NULL},
};
static const char *const oneofs_strata_v1_subscriberesponse[] = {"message"};
static const struct schema_message message_strata_v1_subscriberesponse = {"strata.v1.SubscribeResponse", SCHEMA_PLAIN, fields_strata_v1_subscriberesponse, 5, oneofs_strata_v1_subscriberesponse, 1};

static const struct schema_message message_strata_v1_gethealthrequest = {"strata.v1.GetHealthRequest", SCHEMA_PLAIN, NULL, 0, NULL, 0};

static const struct schema_field fields_strata_v1_health_component[] = {
    {1, "name", "name", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "state", "state", SCHEMA_ENUM, 0, -1, NULL, &enum_strata_v1_health_state, NULL},
    {3, "reason", "reason", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {4, "latency", "latency", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_google_protobuf_duration, NULL, NULL},
    {5, "required", "required", SCHEMA_BOOL, 0, -1, NULL, NULL, NULL},
};
static const struct schema_message message_strata_v1_health_component = {"strata.v1.Health.Component", SCHEMA_PLAIN, fields_strata_v1_health_component, 5, NULL, 0};

static const struct schema_field fields_strata_v1_health[] = {
    {1, "state", "state", SCHEMA_ENUM, 0, -1, NULL, &enum_strata_v1_health_state, NULL},
    {2, "components", "components", SCHEMA_MESSAGE, SCHEMA_REPEATED, -1, &message_strata_v1_health_component, NULL, NULL},
    {3, "security_mode", "securityMode", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const struct schema_message message_strata_v1_health = {"strata.v1.Health", SCHEMA_PLAIN, fields_strata_v1_health, 3, NULL, 0};

static const struct schema_message message_strata_v1_getinforequest = {"strata.v1.GetInfoRequest", SCHEMA_PLAIN, NULL, 0, NULL, 0};

static const struct schema_field fields_strata_v1_info_metadataentry[] = {
    {1, "key", "key", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "value", "value", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const struct schema_message message_strata_v1_info_metadataentry = {"strata.v1.Info.MetadataEntry", SCHEMA_PLAIN, fields_strata_v1_info_metadataentry, 2, NULL, 0};

static const struct schema_field fields_strata_v1_info_librariesentry[] = {
    {1, "key", "key", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "value", "value", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const struct schema_message message_strata_v1_info_librariesentry = {"strata.v1.Info.LibrariesEntry", SCHEMA_PLAIN, fields_strata_v1_info_librariesentry, 2, NULL, 0};

static const struct schema_field fields_strata_v1_info[] = {
    {1, "name", "name", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "version", "version", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {3, "description", "description", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {4, "metadata", "metadata", SCHEMA_MESSAGE, SCHEMA_REPEATED | SCHEMA_MAP, -1, &message_strata_v1_info_metadataentry, NULL, NULL},
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
    {15, "libraries", "libraries", SCHEMA_MESSAGE, SCHEMA_REPEATED | SCHEMA_MAP, -1, &message_strata_v1_info_librariesentry, NULL, NULL},
};
static const struct schema_message message_strata_v1_info = {"strata.v1.Info", SCHEMA_PLAIN, fields_strata_v1_info, 15, NULL, 0};

static const struct schema_field fields_strata_v1_getstatsrequest[] = {
    {1, "exact", "exact", SCHEMA_BOOL, 0, -1, NULL, NULL, NULL},
};
static const struct schema_message message_strata_v1_getstatsrequest = {"strata.v1.GetStatsRequest", SCHEMA_PLAIN, fields_strata_v1_getstatsrequest, 1, NULL, 0};

static const struct schema_field fields_strata_v1_stats_eventsbytypeentry[] = {
    {1, "key", "key", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "value", "value", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
};
static const struct schema_message message_strata_v1_stats_eventsbytypeentry = {"strata.v1.Stats.EventsByTypeEntry", SCHEMA_PLAIN, fields_strata_v1_stats_eventsbytypeentry, 2, NULL, 0};

static const struct schema_field fields_strata_v1_stats_aggregatesbytypeentry[] = {
    {1, "key", "key", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "value", "value", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
};
static const struct schema_message message_strata_v1_stats_aggregatesbytypeentry = {"strata.v1.Stats.AggregatesByTypeEntry", SCHEMA_PLAIN, fields_strata_v1_stats_aggregatesbytypeentry, 2, NULL, 0};

static const struct schema_field fields_strata_v1_storestats_countersentry[] = {
    {1, "key", "key", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "value", "value", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
};
static const struct schema_message message_strata_v1_storestats_countersentry = {"strata.v1.StoreStats.CountersEntry", SCHEMA_PLAIN, fields_strata_v1_storestats_countersentry, 2, NULL, 0};

static const struct schema_field fields_strata_v1_storestats[] = {
    {1, "engine", "engine", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "bytes", "bytes", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
    {3, "appends", "appends", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
    {4, "conflicts", "conflicts", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
    {5, "queue_depth", "queueDepth", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
    {6, "appends_per_second", "appendsPerSecond", SCHEMA_DOUBLE, 0, -1, NULL, NULL, NULL},
    {7, "counters", "counters", SCHEMA_MESSAGE, SCHEMA_REPEATED | SCHEMA_MAP | SCHEMA_JSON_NUMBER, -1, &message_strata_v1_storestats_countersentry, NULL, NULL},
};
static const struct schema_message message_strata_v1_storestats = {"strata.v1.StoreStats", SCHEMA_PLAIN, fields_strata_v1_storestats, 7, NULL, 0};

static const struct schema_field fields_strata_v1_busstats[] = {
    {1, "subscribers", "subscribers", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
    {2, "groups", "groups", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
    {3, "handlers", "handlers", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
    {4, "relay_lag", "relayLag", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
    {5, "delivered", "delivered", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
};
static const struct schema_message message_strata_v1_busstats = {"strata.v1.BusStats", SCHEMA_PLAIN, fields_strata_v1_busstats, 5, NULL, 0};

static const struct schema_field fields_strata_v1_cachestats[] = {
    {1, "kind", "kind", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "entries", "entries", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
    {3, "hits", "hits", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
    {4, "misses", "misses", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
};
static const struct schema_message message_strata_v1_cachestats = {"strata.v1.CacheStats", SCHEMA_PLAIN, fields_strata_v1_cachestats, 4, NULL, 0};

static const struct schema_field fields_strata_v1_stats[] = {
    {1, "event_count", "eventCount", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
    {2, "aggregate_count", "aggregateCount", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
    {3, "event_type_count", "eventTypeCount", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
    {4, "snapshot_count", "snapshotCount", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
    {5, "head_position", "headPosition", SCHEMA_INT64, 0, -1, NULL, NULL, NULL},
    {6, "head_timestamp", "headTimestamp", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_google_protobuf_timestamp, NULL, NULL},
    {7, "events_by_type", "eventsByType", SCHEMA_MESSAGE, SCHEMA_REPEATED | SCHEMA_MAP | SCHEMA_JSON_NUMBER, -1, &message_strata_v1_stats_eventsbytypeentry, NULL, NULL},
    {8, "aggregates_by_type", "aggregatesByType", SCHEMA_MESSAGE, SCHEMA_REPEATED | SCHEMA_MAP | SCHEMA_JSON_NUMBER, -1, &message_strata_v1_stats_aggregatesbytypeentry, NULL, NULL},
    {9, "event_store", "eventStore", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_strata_v1_storestats, NULL, NULL},
    {10, "snapshot_store", "snapshotStore", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_strata_v1_storestats, NULL, NULL},
    {11, "bus", "bus", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_strata_v1_busstats, NULL, NULL},
    {12, "cache", "cache", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_strata_v1_cachestats, NULL, NULL},
    {13, "system_event_count", "systemEventCount", SCHEMA_INT64, SCHEMA_JSON_NUMBER, -1, NULL, NULL, NULL},
};
static const struct schema_message message_strata_v1_stats = {"strata.v1.Stats", SCHEMA_PLAIN, fields_strata_v1_stats, 13, NULL, 0};

static const struct schema_field fields_strata_v1_wsrequest[] = {
    {1, "action", "action", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "id", "id", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {3, "filter", "filter", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_strata_v1_subscriberequest, NULL, NULL},
};
static const struct schema_message message_strata_v1_wsrequest = {"strata.v1.WsRequest", SCHEMA_PLAIN, fields_strata_v1_wsrequest, 3, NULL, 0};

static const struct schema_field fields_strata_v1_wserror[] = {
    {1, "code", "code", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "reason", "reason", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {3, "message", "message", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
};
static const struct schema_message message_strata_v1_wserror = {"strata.v1.WsError", SCHEMA_PLAIN, fields_strata_v1_wserror, 3, NULL, 0};

static const struct schema_field fields_strata_v1_wsmessage[] = {
    {1, "type", "type", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {2, "subscription", "subscription", SCHEMA_STRING, 0, -1, NULL, NULL, NULL},
    {3, "event", "event", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_strata_v1_event, NULL, NULL},
    {4, "checkpoint", "checkpoint", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_strata_v1_checkpoint, NULL, NULL},
    {5, "error", "error", SCHEMA_MESSAGE, SCHEMA_PRESENCE, -1, &message_strata_v1_wserror, NULL, NULL},
};
static const struct schema_message message_strata_v1_wsmessage = {"strata.v1.WsMessage", SCHEMA_PLAIN, fields_strata_v1_wsmessage, 5, NULL, 0};

const struct schema_message *const schema_ws_request = &message_strata_v1_wsrequest;
const struct schema_message *const schema_ws_message = &message_strata_v1_wsmessage;
const struct schema_message *const schema_event = &message_strata_v1_event;

const struct schema_method schema_methods[SCHEMA_METHOD_COUNT] = {
    [METHOD_AGGREGATE_SERVICE_CREATE_AGGREGATE] = {"/strata.v1.AggregateService/CreateAggregate", "CreateAggregate", &message_strata_v1_createaggregaterequest, &message_strata_v1_aggregate,
        &strata__v1__create_aggregate_request__descriptor, &strata__v1__aggregate__descriptor,
        false, false, (enum schema_role)3, (enum schema_rate)2, 201, true, false, "/api/v1/aggregates/{id}"},
    [METHOD_AGGREGATE_SERVICE_GET_AGGREGATE] = {"/strata.v1.AggregateService/GetAggregate", "GetAggregate", &message_strata_v1_getaggregaterequest, &message_strata_v1_aggregate,
        &strata__v1__get_aggregate_request__descriptor, &strata__v1__aggregate__descriptor,
        false, false, (enum schema_role)2, (enum schema_rate)1, 200, false, true, NULL},
    [METHOD_AGGREGATE_SERVICE_SAVE_AGGREGATE] = {"/strata.v1.AggregateService/SaveAggregate", "SaveAggregate", &message_strata_v1_saveaggregaterequest, &message_strata_v1_aggregate,
        &strata__v1__save_aggregate_request__descriptor, &strata__v1__aggregate__descriptor,
        false, false, (enum schema_role)3, (enum schema_rate)2, 200, true, false, NULL},
    [METHOD_AGGREGATE_SERVICE_LIST_AGGREGATES] = {"/strata.v1.AggregateService/ListAggregates", "ListAggregates", &message_strata_v1_listaggregatesrequest, &message_strata_v1_listaggregatesresponse,
        &strata__v1__list_aggregates_request__descriptor, &strata__v1__list_aggregates_response__descriptor,
        false, false, (enum schema_role)2, (enum schema_rate)1, 200, false, true, NULL},
    [METHOD_EVENT_SERVICE_PUBLISH_EVENT] = {"/strata.v1.EventService/PublishEvent", "PublishEvent", &message_strata_v1_publisheventrequest, &message_strata_v1_publisheventresponse,
        &strata__v1__publish_event_request__descriptor, &strata__v1__publish_event_response__descriptor,
        false, false, (enum schema_role)3, (enum schema_rate)2, 201, true, false, "/api/v1/events/id/{event.id}"},
    [METHOD_EVENT_SERVICE_APPEND_EVENTS] = {"/strata.v1.EventService/AppendEvents", "AppendEvents", &message_strata_v1_appendeventsrequest, &message_strata_v1_appendeventsresponse,
        &strata__v1__append_events_request__descriptor, &strata__v1__append_events_response__descriptor,
        false, false, (enum schema_role)3, (enum schema_rate)2, 201, true, false, NULL},
    [METHOD_EVENT_SERVICE_APPEND_STREAM] = {"/strata.v1.EventService/AppendStream", "AppendStream", &message_strata_v1_appendstreamrequest, &message_strata_v1_appendstreamresponse,
        &strata__v1__append_stream_request__descriptor, &strata__v1__append_stream_response__descriptor,
        true, true, (enum schema_role)3, (enum schema_rate)3, 200, true, false, NULL},
    [METHOD_EVENT_SERVICE_GET_EVENT] = {"/strata.v1.EventService/GetEvent", "GetEvent", &message_strata_v1_geteventrequest, &message_strata_v1_event,
        &strata__v1__get_event_request__descriptor, &strata__v1__event__descriptor,
        false, false, (enum schema_role)2, (enum schema_rate)1, 200, false, true, NULL},
    [METHOD_EVENT_SERVICE_LIST_EVENTS] = {"/strata.v1.EventService/ListEvents", "ListEvents", &message_strata_v1_listeventsrequest, &message_strata_v1_listeventsresponse,
        &strata__v1__list_events_request__descriptor, &strata__v1__list_events_response__descriptor,
        false, false, (enum schema_role)2, (enum schema_rate)1, 200, false, true, NULL},
    [METHOD_EVENT_SERVICE_READ_EVENTS] = {"/strata.v1.EventService/ReadEvents", "ReadEvents", &message_strata_v1_readeventsrequest, &message_strata_v1_readeventsresponse,
        &strata__v1__read_events_request__descriptor, &strata__v1__read_events_response__descriptor,
        false, true, (enum schema_role)2, (enum schema_rate)3, 200, false, true, NULL},
    [METHOD_SNAPSHOT_SERVICE_CREATE_SNAPSHOT] = {"/strata.v1.SnapshotService/CreateSnapshot", "CreateSnapshot", &message_strata_v1_createsnapshotrequest, &message_strata_v1_snapshot,
        &strata__v1__create_snapshot_request__descriptor, &strata__v1__snapshot__descriptor,
        false, false, (enum schema_role)3, (enum schema_rate)2, 201, true, false, NULL},
    [METHOD_SNAPSHOT_SERVICE_GET_SNAPSHOT] = {"/strata.v1.SnapshotService/GetSnapshot", "GetSnapshot", &message_strata_v1_getsnapshotrequest, &message_strata_v1_snapshot,
        &strata__v1__get_snapshot_request__descriptor, &strata__v1__snapshot__descriptor,
        false, false, (enum schema_role)2, (enum schema_rate)1, 200, false, true, NULL},
    [METHOD_SNAPSHOT_SERVICE_GET_LATEST_SNAPSHOT] = {"/strata.v1.SnapshotService/GetLatestSnapshot", "GetLatestSnapshot", &message_strata_v1_getlatestsnapshotrequest, &message_strata_v1_snapshot,
        &strata__v1__get_latest_snapshot_request__descriptor, &strata__v1__snapshot__descriptor,
        false, false, (enum schema_role)2, (enum schema_rate)1, 200, false, true, NULL},
    [METHOD_SNAPSHOT_SERVICE_LIST_SNAPSHOTS] = {"/strata.v1.SnapshotService/ListSnapshots", "ListSnapshots", &message_strata_v1_listsnapshotsrequest, &message_strata_v1_listsnapshotsresponse,
        &strata__v1__list_snapshots_request__descriptor, &strata__v1__list_snapshots_response__descriptor,
        false, false, (enum schema_role)2, (enum schema_rate)1, 200, false, true, NULL},
    [METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE] = {"/strata.v1.SubscriptionService/Subscribe", "Subscribe", &message_strata_v1_subscriberequest, &message_strata_v1_subscriberesponse,
        &strata__v1__subscribe_request__descriptor, &strata__v1__subscribe_response__descriptor,
        false, true, (enum schema_role)2, (enum schema_rate)3, 200, false, true, NULL},
    [METHOD_SYSTEM_SERVICE_GET_HEALTH] = {"/strata.v1.SystemService/GetHealth", "GetHealth", &message_strata_v1_gethealthrequest, &message_strata_v1_health,
        &strata__v1__get_health_request__descriptor, &strata__v1__health__descriptor,
        false, false, (enum schema_role)1, (enum schema_rate)5, 200, false, true, NULL},
    [METHOD_SYSTEM_SERVICE_GET_INFO] = {"/strata.v1.SystemService/GetInfo", "GetInfo", &message_strata_v1_getinforequest, &message_strata_v1_info,
        &strata__v1__get_info_request__descriptor, &strata__v1__info__descriptor,
        false, false, (enum schema_role)2, (enum schema_rate)1, 200, false, true, NULL},
    [METHOD_SYSTEM_SERVICE_GET_STATS] = {"/strata.v1.SystemService/GetStats", "GetStats", &message_strata_v1_getstatsrequest, &message_strata_v1_stats,
        &strata__v1__get_stats_request__descriptor, &strata__v1__stats__descriptor,
        false, false, (enum schema_role)2, (enum schema_rate)1, 200, false, true, NULL},
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
    {NULL, &fields_strata_v1_getaggregaterequest[0]},
};
static const struct schema_segment segments_2[] = {
    {"api", NULL},
    {"v1", NULL},
    {"aggregates", NULL},
    {NULL, &fields_strata_v1_saveaggregaterequest[0]},
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
    {NULL, &fields_strata_v1_geteventrequest[0]},
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
    {NULL, &fields_strata_v1_listeventsrequest[0]},
};
static const struct schema_segment segments_9[] = {
    {"api", NULL},
    {"v1", NULL},
    {"events", NULL},
    {"type", NULL},
    {NULL, &fields_strata_v1_listeventsrequest[1]},
};
static const struct schema_segment segments_10[] = {
    {"api", NULL},
    {"v1", NULL},
    {"events", NULL},
    {"aggregate-type", NULL},
    {NULL, &fields_strata_v1_listeventsrequest[2]},
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
    {NULL, &fields_strata_v1_getsnapshotrequest[0]},
};
static const struct schema_segment segments_13[] = {
    {"api", NULL},
    {"v1", NULL},
    {"snapshots", NULL},
    {NULL, &fields_strata_v1_getlatestsnapshotrequest[0]},
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
    {"health", NULL},
};
static const struct schema_segment segments_17[] = {
    {"api", NULL},
    {"v1", NULL},
    {"info", NULL},
};
static const struct schema_segment segments_18[] = {
    {"api", NULL},
    {"v1", NULL},
    {"stats", NULL},
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
    {"GET", "/health", segments_16, 1, METHOD_SYSTEM_SERVICE_GET_HEALTH, NULL, NULL},
    {"GET", "/api/v1/info", segments_17, 3, METHOD_SYSTEM_SERVICE_GET_INFO, NULL, NULL},
    {"GET", "/api/v1/stats", segments_18, 3, METHOD_SYSTEM_SERVICE_GET_STATS, NULL, NULL},
};
const size_t schema_route_count = 19;
