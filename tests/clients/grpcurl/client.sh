#!/usr/bin/env bash
# A client of Strata by grpcurl and jq: appends, reads, follows and comes back. `client.sh HOST:PORT` prints what it met.
#
# The contract comes from ../protos (docs/clients.md). What it does: tests/clients/README.md. Bytes are base64 in JSON and
# int64 is text, as protobuf has it.
set -euo pipefail
cd "$(dirname "$0")"
target=$1
far=9007199254740993
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo '{}' >"$work/facts"

flags=(-plaintext -emit-defaults -format-error -import-path ../protos)
for file in strata/v1/{aggregate,event,subscription}_service google/rpc/error_details grpc/health/v1/health; do
    flags+=(-proto "$file.proto")
done

# call METHOD [REQUEST] [FLAG...]
call() {
    local method=$1 request=${2:-'{}'}
    shift $(($# < 2 ? $# : 2))
    grpcurl "${flags[@]}" "$@" -d "$request" "$target" "$method"
}
aggregates=strata.v1.AggregateService events=strata.v1.EventService subscriptions=strata.v1.SubscriptionService

# fact NAME: what comes in as JSON.
fact() {
    jq --arg name "$1" --slurpfile value /dev/stdin '.[$name] = $value[0]' "$work/facts" >"$work/more"
    mv "$work/more" "$work/facts"
}

# refused METHOD [REQUEST] [FLAG...]: what a call that must fail says, from google.rpc.Status.
refused() {
    if call "$@" >/dev/null 2>"$work/error"; then echo "client.sh: $1 was not refused" >&2; exit 1; fi
    jq 'def detail($name): (.details // [])[] | select(.["@type"] | endswith("/google.rpc." + $name));
        {code, message}
        + (detail("ErrorInfo") // {} | if . == {} then {} else {domain, reason, facts: (.metadata // {})} end)
        + ([detail("BadRequest").fieldViolations[].field] | if . == [] then {} else {fields: .} end)' "$work/error"
}

# custom AGGREGATE DATA: a new event.
custom() {
    jq -n --arg id "$1" --arg data "$2" \
        '{type: "custom", aggregateId: $id, aggregateType: "custom", data: ($data | @base64)}'
}

# at_version APPEND_ID AGGREGATE VERSION: a request of the events that come in.
at_version() {
    jq -s --arg name "$1" --arg id "$2" --argjson at "$3" \
        '{appendId: $name, events: ., expectations: [{aggregateId: $id, beAtVersion: $at}]}'
}

create() {
    call grpc.health.v1.Health/Check | jq '{SERVING: 1}[.status]' | fact health
    local request state='{"owner":"zoë","balance":10.10,"limit":9007199254740993}'
    request=$(jq -n --arg state "$state" '{id: "account", type: "custom", initialState: ($state | @base64)}')
    call $aggregates/CreateAggregate "$request" | jq '{version, etag, position, state: (.state | @base64d)}' | fact created
    refused $aggregates/CreateAggregate "$request" | fact create_again
}

append() {
    local request second name
    request=$({ custom account '{"balance": 9.90}'; custom account '{"note":"\u00e9","limit":1e400}'; } |
        at_version first account 0)
    second=$(custom account '{}' | at_version second account 0)
    for name in appended appended_again; do
        call $events/AppendEvents "$request" |
            jq '{first: .firstPosition, last: .lastPosition, version: .heads[0].version, ids: .eventIds, replayed}' |
            fact $name
        refused $events/AppendEvents "$second" | fact conflict
    done
    refused $events/AppendEvents '{"events":[{"aggregateId":"account","data":"e30="}]}' | fact invalid
    jq -n '{events: [range(1000) | {aggregateId: ("€" * 100)}]}' >"$work/hopeless"
    refused $events/AppendEvents @ <"$work/hopeless" | fact hopeless
}

read_back() {
    local found='{version, state: (.state | @base64d)}' token='' page
    call $aggregates/GetAggregate '{"id":"account"}' | jq "$found" | fact aggregate
    call $aggregates/GetAggregate '{"id":"account","asOfVersion":1}' | jq "$found" | fact past
    refused $aggregates/GetAggregate '{"id":"nobody-€-100%"}' | fact unknown
    while page=$(call $events/ListEvents "{\"aggregateId\":\"account\",\"pageSize\":2,\"pageToken\":\"$token\"}"); do
        jq '[.events[].version]' <<<"$page" >>"$work/pages"
        token=$(jq -r .nextPageToken <<<"$page")
        [ -n "$token" ] || break
    done
    jq -s . "$work/pages" | fact listed
    call $events/ReadEvents | jq -s '[.[].events[] | [.position, (.data | @base64d)]]' | fact read
}

# numbered FROM TO: an event of `live` for each number.
numbered() {
    jq -n --argjson from "$1" --argjson to "$2" 'range($from; $to + 1) |
        {n: ., event: {type: "custom", aggregateId: "live", aggregateType: "custom", data: ({n: .} | tojson | @base64)}}'
}

stream() {
    numbered 1 50 | jq '{append: {appendId: "stream-\(.n)", events: [.event], expectations: [{aggregateId: "live",
        beAtVersion: (if .n == 7 then 1000 elif .n < 7 then .n - 1 else .n - 2 end)}]}}' >"$work/requests"
    call $events/AppendStream @ <"$work/requests" |
        jq -s 'map("\(.sequence): " + if .error then .error.reason else "version \(.appended.heads[0].version)" end)' |
        fact streamed
}

# -max-time counts from before the connection is made, so it is longer here than what the server needs to be late.
refuse_and_wait() {
    refused $subscriptions/Subscribe "{\"afterPosition\":\"$far\"}" | fact far_position
    { refused $aggregates/GetAggregate "{\"id\":\"account\",\"minPosition\":\"$far\"}" -max-time 2
      refused $subscriptions/Subscribe '{"fromEnd":true}' -max-time 2; } | jq -s 'map(.code)' | fact deadline
}

# Starts when a subscription has caught up for the first time.
write_live() {
    jq -n "\"$position\"" | fact before_caught_up
    numbered 50 249 | jq '{append: {appendId: "live-\(.n)", events: [.event]}}' >"$work/live"
    call $events/AppendStream @ <"$work/live" >/dev/null &
    writer=$!
}

# follow_until VERSION REQUEST: takes every event once, in the order of positions, up to a version of `live`; then kills
# grpcurl, however much of a message is still unread.
follow_until() {
    local kind at id aggregate version data lines
    mkfifo "$work/feed"
    exec {lines}< <(jq -r --unbuffered 'if .batch then .batch.events[] |
        "event\t\(.position)\t\(.id)\t\(.aggregateId)\t\(.version)\t\(.data | @base64d)" else keys[0] end' "$work/feed")
    grpcurl "${flags[@]}" -d "$2" "$target" $subscriptions/Subscribe >"$work/feed" &
    subscriber=$!
    while IFS=$'\t' read -r kind at id aggregate version data <&"$lines"; do
        case $kind in
            caughtUp) [ -n "$writer" ] || write_live; continue ;;
            closing) echo "client.sh: the server ended the stream" >&2; exit 1 ;;
            event) ;;
            *) continue ;;
        esac
        [ "$at" = $((position + 1)) ] || { echo "client.sh: position $at follows $position" >&2; exit 1; }
        position=$at
        printf '%s %s %s\n' "$at" "$id" "$data" >>"$work/followed"
        [ "$aggregate $version" != "live $1" ] || break
    done
    kill "$subscriber"
    wait "$subscriber" || ended=$?
    exec {lines}<&-
    rm "$work/feed"
}

follow() {
    call $aggregates/CreateAggregate '{"id":"rival","type":"custom"}' >/dev/null
    position=0 writer='' ended=0
    follow_until 100 '{"fromStart":true}'
    jq -n "$ended" | fact cut_off
    follow_until 249 "{\"afterPosition\":\"$position\"}"
    wait "$writer"
    jq -n --arg count "$position" --arg sha256 "$(sha256sum <"$work/followed" | cut -d' ' -f1)" \
        '{count: $count, sha256: $sha256}' | fact followed
}

create
append
read_back
stream
refuse_and_wait
follow
jq -c . "$work/facts"
