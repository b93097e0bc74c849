// A client of Strata in Go: appends, reads, follows and comes back. `client HOST:PORT` prints what it met.
//
// Generated code: protoc-gen-go and protoc-gen-go-grpc, in strata/v1 (docs/clients.md). What it does:
// tests/clients/README.md.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"log"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	strata "strata-client/strata/v1"
)

const (
	state    = `{"owner":"zoë","balance":10.10,"limit":9007199254740993}`
	far      = 1<<53 + 1
	deadline = 300 * time.Millisecond
)

type facts map[string]any

// refusal is what a failed call says, from google.rpc.Status in its trailing metadata.
func refusal(err error) facts {
	told := status.Convert(err)
	seen := facts{"code": told.Code(), "message": told.Message()}
	for _, detail := range told.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			seen["domain"], seen["reason"] = detail.Domain, detail.Reason
			seen["facts"] = map[string]string{}
			if detail.Metadata != nil {
				seen["facts"] = detail.Metadata
			}
		case *errdetails.BadRequest:
			fields := []string{}
			for _, violation := range detail.FieldViolations {
				fields = append(fields, violation.Field)
			}
			seen["fields"] = fields
		}
	}
	return seen
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

// refused is for a call that must fail: what it returns beside the error is nothing.
func refused[T any](_ T, err error) facts {
	if err == nil {
		log.Fatal("the call was not refused")
	}
	return refusal(err)
}

func text(position int64) string { return strconv.FormatInt(position, 10) }

func custom(aggregate, data string) *strata.NewEvent {
	return &strata.NewEvent{Type: "custom", AggregateId: aggregate, AggregateType: "custom", Data: []byte(data)}
}

func atVersion(appendID, aggregate string, version int32, events ...*strata.NewEvent) *strata.AppendEventsRequest {
	return &strata.AppendEventsRequest{AppendId: appendID, Events: events, Expectations: []*strata.Expectation{
		{AggregateId: aggregate, Must: &strata.Expectation_BeAtVersion{BeAtVersion: version}},
	}}
}

// followed is every event once, in the order of positions: what a subscriber must see, however often it comes back.
type followed struct {
	position int64
	digest   hash.Hash
}

func (f *followed) take(event *strata.Event) {
	if event.Position != f.position+1 {
		log.Fatalf("position %d follows %d", event.Position, f.position)
	}
	f.position = event.Position
	fmt.Fprintf(f.digest, "%d %s %s\n", event.Position, event.Id, event.Data)
}

type client struct {
	health        grpc_health_v1.HealthClient
	aggregates    strata.AggregateServiceClient
	events        strata.EventServiceClient
	subscriptions strata.SubscriptionServiceClient
	facts         facts
}

func (c *client) create(ctx context.Context) {
	c.facts["health"] = must(c.health.Check(ctx, &grpc_health_v1.HealthCheckRequest{})).Status
	request := &strata.CreateAggregateRequest{Id: "account", Type: "custom", InitialState: []byte(state)}
	made := must(c.aggregates.CreateAggregate(ctx, request))
	c.facts["created"] = facts{"version": made.Version, "etag": made.Etag, "position": text(made.Position),
		"state": string(made.State)}
	c.facts["create_again"] = refused(c.aggregates.CreateAggregate(ctx, request))
}

func (c *client) append(ctx context.Context) {
	request := atVersion("first", "account", 0, custom("account", `{"balance": 9.90}`),
		custom("account", `{"note":"\u00e9","limit":1e400}`))
	told := func() facts {
		reply := must(c.events.AppendEvents(ctx, request))
		return facts{"first": text(reply.FirstPosition), "last": text(reply.LastPosition),
			"version": reply.Heads[0].Version, "ids": reply.EventIds, "replayed": reply.Replayed}
	}
	c.facts["appended"] = told()
	c.facts["conflict"] = refused(c.events.AppendEvents(ctx, atVersion("second", "account", 0, custom("account", "{}"))))
	c.facts["appended_again"] = told()
	c.facts["invalid"] = refused(c.events.AppendEvents(ctx, &strata.AppendEventsRequest{
		Events: []*strata.NewEvent{{AggregateId: "account", Data: []byte("{}")}}}))
	hopeless := slices.Repeat([]*strata.NewEvent{{AggregateId: strings.Repeat("€", 100)}}, 1000)
	c.facts["hopeless"] = refused(c.events.AppendEvents(ctx, &strata.AppendEventsRequest{Events: hopeless}))
}

func (c *client) read(ctx context.Context) {
	get := func(request *strata.GetAggregateRequest) facts {
		found := must(c.aggregates.GetAggregate(ctx, request))
		return facts{"version": found.Version, "state": string(found.State)}
	}
	c.facts["aggregate"] = get(&strata.GetAggregateRequest{Id: "account"})
	c.facts["past"] = get(&strata.GetAggregateRequest{Id: "account",
		AsOf: &strata.GetAggregateRequest_AsOfVersion{AsOfVersion: 1}})
	c.facts["unknown"] = refused(c.aggregates.GetAggregate(ctx, &strata.GetAggregateRequest{Id: "nobody-€-100%"}))

	pages := [][]int32{}
	for request := (&strata.ListEventsRequest{AggregateId: "account", PageSize: 2}); ; {
		page := must(c.events.ListEvents(ctx, request))
		versions := []int32{}
		for _, event := range page.Events {
			versions = append(versions, event.Version)
		}
		pages = append(pages, versions)
		if request.PageToken = page.NextPageToken; request.PageToken == "" {
			break
		}
	}
	c.facts["listed"] = pages

	read := [][2]string{}
	stream := must(c.events.ReadEvents(ctx, &strata.ReadEventsRequest{}))
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		for _, event := range must(message, err).Events {
			read = append(read, [2]string{text(event.Position), string(event.Data)})
		}
	}
	c.facts["read"] = read
}

func (c *client) stream(ctx context.Context) {
	const count, conflicting = 50, 7
	stream := must(c.events.AppendStream(ctx))
	go func() {
		version := int32(0)
		for number := 1; number <= count; number++ {
			expected := version
			if number == conflicting {
				expected = 1000
			} else {
				version++
			}
			event := custom("live", fmt.Sprintf(`{"n":%d}`, number))
			request := atVersion(fmt.Sprintf("stream-%d", number), "live", expected, event)
			if err := stream.Send(&strata.AppendStreamRequest{Append: request}); err != nil {
				log.Fatal(err)
			}
		}
		if err := stream.CloseSend(); err != nil {
			log.Fatal(err)
		}
	}()
	streamed := []string{}
	for {
		reply, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		switch outcome := must(reply, err).Outcome.(type) {
		case *strata.AppendStreamResponse_Appended:
			streamed = append(streamed, fmt.Sprintf("%d: version %d", reply.Sequence, outcome.Appended.Heads[0].Version))
		case *strata.AppendStreamResponse_Error:
			streamed = append(streamed, fmt.Sprintf("%d: %s", reply.Sequence, outcome.Error.Reason))
		}
	}
	c.facts["streamed"] = streamed
}

func (c *client) refuseAndWait(ctx context.Context) {
	stream := must(c.subscriptions.Subscribe(ctx, after(far)))
	_, err := stream.Recv()
	c.facts["far_position"] = refusal(err)

	waiting, done := context.WithTimeout(ctx, deadline)
	defer done()
	unary := refused(c.aggregates.GetAggregate(waiting, &strata.GetAggregateRequest{Id: "account", MinPosition: far}))
	quiet, done := context.WithTimeout(ctx, deadline)
	defer done()
	live := must(c.subscriptions.Subscribe(quiet, &strata.SubscribeRequest{
		Start: &strata.SubscribeRequest_FromEnd{FromEnd: true}}))
	for err = nil; err == nil; {
		_, err = live.Recv()
	}
	c.facts["deadline"] = []any{unary["code"], refusal(err)["code"]}
}

func after(position int64) *strata.SubscribeRequest {
	return &strata.SubscribeRequest{Start: &strata.SubscribeRequest_AfterPosition{AfterPosition: position}}
}

func (c *client) follow(ctx context.Context) {
	must(c.aggregates.CreateAggregate(ctx, &strata.CreateAggregateRequest{Id: "rival", Type: "custom"}))
	seen := &followed{digest: sha256.New()}
	written := make(chan struct{})
	fromStart := &strata.SubscribeRequest{Start: &strata.SubscribeRequest_FromStart{FromStart: true}}
	c.facts["cut_off"] = c.followUntil(ctx, fromStart, 100, seen, func() {
		c.facts["before_caught_up"] = text(seen.position)
		go c.writeLive(ctx, written)
	})
	c.followUntil(ctx, after(seen.position), 249, seen, func() {})
	<-written
	c.facts["followed"] = facts{"count": text(seen.position), "sha256": fmt.Sprintf("%x", seen.digest.Sum(nil))}
}

// followUntil reads up to a version of `live`, cancels, and returns the code with which the call then ends.
func (c *client) followUntil(ctx context.Context, request *strata.SubscribeRequest, version int32, seen *followed,
	onCaughtUp func()) any {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream := must(c.subscriptions.Subscribe(ctx, request))
	for {
		switch message := must(stream.Recv()).Message.(type) {
		case *strata.SubscribeResponse_Batch:
			for _, event := range message.Batch.Events {
				seen.take(event)
				if event.AggregateId == "live" && event.Version == version {
					cancel()
					return codeOfEnd(stream)
				}
			}
		case *strata.SubscribeResponse_CaughtUp:
			onCaughtUp()
		case *strata.SubscribeResponse_Closing:
			log.Fatalf("the server ended the stream: %s", message.Closing.Reason)
		}
	}
}

// codeOfEnd reads what had come before a stream was cancelled, up to the status.
func codeOfEnd(stream grpc.ServerStreamingClient[strata.SubscribeResponse]) any {
	for {
		if _, err := stream.Recv(); err != nil {
			return refusal(err)["code"]
		}
	}
}

func (c *client) writeLive(ctx context.Context, written chan<- struct{}) {
	for number := 50; number < 250; number++ {
		must(c.events.AppendEvents(ctx, &strata.AppendEventsRequest{AppendId: fmt.Sprintf("live-%d", number),
			Events: []*strata.NewEvent{custom("live", fmt.Sprintf(`{"n":%d}`, number))}}))
	}
	close(written)
}

func main() {
	connection := must(grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials())))
	defer connection.Close()
	c := &client{
		health:        grpc_health_v1.NewHealthClient(connection),
		aggregates:    strata.NewAggregateServiceClient(connection),
		events:        strata.NewEventServiceClient(connection),
		subscriptions: strata.NewSubscriptionServiceClient(connection),
		facts:         facts{},
	}
	for _, part := range []func(context.Context){c.create, c.append, c.read, c.stream, c.refuseAndWait, c.follow} {
		part(context.Background())
	}
	fmt.Println(string(must(json.Marshal(c.facts))))
}
