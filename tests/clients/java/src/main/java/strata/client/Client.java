package strata.client;

import com.google.gson.GsonBuilder;
import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import io.grpc.Channel;
import io.grpc.Context;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthGrpc;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.StreamObserver;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import strata.v1.*;

/**
 * A client of Strata in Java: appends, reads, follows and comes back. {@code Client HOST:PORT} prints what it met.
 *
 * <p>Generated code: strata.v1, by protoc and protoc-gen-grpc-java from pom.xml (docs/clients.md). What it does:
 * tests/clients/README.md.
 */
public final class Client {
    private static final String STATE = "{\"owner\":\"zoë\",\"balance\":10.10,\"limit\":9007199254740993}";
    private static final long FAR = (1L << 53) + 1;
    private static final int DEADLINE_MS = 300;

    private final HealthGrpc.HealthBlockingStub health;
    private final AggregateServiceGrpc.AggregateServiceBlockingStub aggregates;
    private final EventServiceGrpc.EventServiceBlockingStub events;
    private final EventServiceGrpc.EventServiceStub asyncEvents;
    private final SubscriptionServiceGrpc.SubscriptionServiceBlockingStub subscriptions;
    private final Map<String, Object> facts = new LinkedHashMap<>();

    private Client(Channel channel) {
        health = HealthGrpc.newBlockingStub(channel);
        aggregates = AggregateServiceGrpc.newBlockingStub(channel);
        events = EventServiceGrpc.newBlockingStub(channel);
        asyncEvents = EventServiceGrpc.newStub(channel);
        subscriptions = SubscriptionServiceGrpc.newBlockingStub(channel);
    }

    public static void main(String[] arguments) throws Exception {
        ManagedChannel channel = Grpc.newChannelBuilder(arguments[0], InsecureChannelCredentials.create()).build();
        Client client = new Client(channel);
        client.create();
        client.append();
        client.read();
        client.stream();
        client.refuseAndWait();
        client.follow();
        channel.shutdown().awaitTermination(5, TimeUnit.SECONDS);
        System.out.println(new GsonBuilder().disableHtmlEscaping().create().toJson(client.facts));
    }

    private void create() {
        facts.put("health", health.check(HealthCheckRequest.getDefaultInstance()).getStatusValue());
        CreateAggregateRequest request = CreateAggregateRequest.newBuilder()
                .setId("account").setType("custom").setInitialState(ByteString.copyFromUtf8(STATE)).build();
        Aggregate made = aggregates.createAggregate(request);
        facts.put("created", Map.of("version", made.getVersion(), "etag", made.getEtag(),
                "position", text(made.getPosition()), "state", made.getState().toStringUtf8()));
        facts.put("create_again", refused(() -> aggregates.createAggregate(request)));
    }

    private void append() {
        AppendEventsRequest request = atVersion("first", "account", 0, custom("account", "{\"balance\": 9.90}"),
                custom("account", "{\"note\":\"\\u00e9\",\"limit\":1e400}"));
        facts.put("appended", told(events.appendEvents(request)));
        facts.put("conflict", refused(() -> events.appendEvents(
                atVersion("second", "account", 0, custom("account", "{}")))));
        facts.put("appended_again", told(events.appendEvents(request)));
        facts.put("invalid", refused(() -> events.appendEvents(AppendEventsRequest.newBuilder()
                .addEvents(NewEvent.newBuilder().setAggregateId("account").setData(ByteString.copyFromUtf8("{}")))
                .build())));
        NewEvent faulty = NewEvent.newBuilder().setAggregateId("€".repeat(100)).build();
        facts.put("hopeless", refused(() -> events.appendEvents(
                AppendEventsRequest.newBuilder().addAllEvents(Collections.nCopies(1000, faulty)).build())));
    }

    private static Map<String, Object> told(AppendEventsResponse reply) {
        return Map.of("first", text(reply.getFirstPosition()), "last", text(reply.getLastPosition()),
                "version", reply.getHeads(0).getVersion(), "ids", reply.getEventIdsList(),
                "replayed", reply.getReplayed());
    }

    private void read() {
        GetAggregateRequest now = GetAggregateRequest.newBuilder().setId("account").build();
        Map.of("aggregate", now, "past", now.toBuilder().setAsOfVersion(1).build()).forEach((name, request) -> {
            Aggregate found = aggregates.getAggregate(request);
            facts.put(name, Map.of("version", found.getVersion(), "state", found.getState().toStringUtf8()));
        });
        facts.put("unknown", refused(() -> aggregates.getAggregate(now.toBuilder().setId("nobody-€-100%").build())));

        List<List<Integer>> pages = new ArrayList<>();
        ListEventsRequest.Builder request = ListEventsRequest.newBuilder().setAggregateId("account").setPageSize(2);
        do {
            ListEventsResponse page = events.listEvents(request.build());
            pages.add(page.getEventsList().stream().map(Event::getVersion).toList());
            request.setPageToken(page.getNextPageToken());
        } while (!request.getPageToken().isEmpty());
        facts.put("listed", pages);

        List<List<String>> read = new ArrayList<>();
        events.readEvents(ReadEventsRequest.getDefaultInstance()).forEachRemaining(message -> {
            for (Event event : message.getEventsList()) {
                read.add(List.of(text(event.getPosition()), event.getData().toStringUtf8()));
            }
        });
        facts.put("read", read);
    }

    private void stream() {
        List<String> streamed = new ArrayList<>();
        CompletableFuture<Void> ended = new CompletableFuture<>();
        StreamObserver<AppendStreamRequest> requests = asyncEvents.appendStream(new StreamObserver<>() {
            @Override
            public void onNext(AppendStreamResponse reply) {
                streamed.add(reply.getSequence() + ": " + switch (reply.getOutcomeCase()) {
                    case APPENDED -> "version " + reply.getAppended().getHeads(0).getVersion();
                    case ERROR -> reply.getError().getReason();
                    case OUTCOME_NOT_SET -> "nothing";
                });
            }

            @Override
            public void onError(Throwable error) {
                ended.completeExceptionally(error);
            }

            @Override
            public void onCompleted() {
                ended.complete(null);
            }
        });
        int version = 0;
        for (int number = 1; number <= 50; number++) {
            int expected = number == 7 ? 1000 : version++;
            requests.onNext(AppendStreamRequest.newBuilder().setAppend(atVersion("stream-" + number, "live", expected,
                    custom("live", "{\"n\":" + number + "}"))).build());
        }
        requests.onCompleted();
        ended.join();
        facts.put("streamed", streamed);
    }

    private void refuseAndWait() {
        facts.put("far_position", refused(
                () -> subscriptions.subscribe(SubscribeRequest.newBuilder().setAfterPosition(FAR).build()).next()));
        Map<String, Object> unary = refused(() -> aggregates.withDeadlineAfter(DEADLINE_MS, TimeUnit.MILLISECONDS)
                .getAggregate(GetAggregateRequest.newBuilder().setId("account").setMinPosition(FAR).build()));
        Map<String, Object> quiet = refused(() -> subscriptions.withDeadlineAfter(DEADLINE_MS, TimeUnit.MILLISECONDS)
                .subscribe(SubscribeRequest.newBuilder().setFromEnd(true).build()).forEachRemaining(message -> {}));
        facts.put("deadline", List.of(unary.get("code"), quiet.get("code")));
    }

    private void follow() {
        aggregates.createAggregate(CreateAggregateRequest.newBuilder().setId("rival").setType("custom").build());
        Followed followed = new Followed();
        List<CompletableFuture<Void>> writer = new ArrayList<>();
        facts.put("cut_off", followUntil(SubscribeRequest.newBuilder().setFromStart(true).build(), 100, followed, () -> {
            facts.put("before_caught_up", text(followed.position));
            writer.add(CompletableFuture.runAsync(this::writeLive));
        }));
        followUntil(SubscribeRequest.newBuilder().setAfterPosition(followed.position).build(), 249, followed, () -> {});
        writer.get(0).join();
        facts.put("followed", Map.of("count", text(followed.position),
                "sha256", HexFormat.of().formatHex(followed.digest.digest())));
    }

    /** Reads up to a version of {@code live}, cancels, and returns the code with which the call then ends. */
    private Object followUntil(SubscribeRequest request, int version, Followed followed, Runnable onCaughtUp) {
        try (Context.CancellableContext context = Context.current().withCancellation()) {
            Context before = context.attach();
            try {
                Iterator<SubscribeResponse> stream = subscriptions.subscribe(request);
                while (!takeUntil(version, stream.next(), followed, onCaughtUp)) {
                    // The stream goes on until the version is there.
                }
                context.cancel(null);
                return refused(() -> stream.forEachRemaining(message -> {})).get("code");
            } finally {
                context.detach(before);
            }
        }
    }

    private static boolean takeUntil(int version, SubscribeResponse message, Followed followed, Runnable onCaughtUp) {
        switch (message.getMessageCase()) {
            case CAUGHT_UP -> onCaughtUp.run();
            case CLOSING -> throw new IllegalStateException(
                    "the server ended the stream: " + message.getClosing().getReason());
            default -> { }
        }
        for (Event event : message.getBatch().getEventsList()) {
            followed.take(event);
            if (event.getAggregateId().equals("live") && event.getVersion() == version) {
                return true;
            }
        }
        return false;
    }

    private void writeLive() {
        for (int number = 50; number < 250; number++) {
            events.appendEvents(AppendEventsRequest.newBuilder().setAppendId("live-" + number)
                    .addEvents(custom("live", "{\"n\":" + number + "}")).build());
        }
    }

    /** Every event once, in the order of positions: what a subscriber must see, however often it comes back. */
    private static final class Followed {
        private final MessageDigest digest;
        private long position = 0;

        Followed() {
            try {
                digest = MessageDigest.getInstance("SHA-256");
            } catch (NoSuchAlgorithmException error) {
                throw new IllegalStateException(error);
            }
        }

        void take(Event event) {
            if (event.getPosition() != position + 1) {
                throw new IllegalStateException("position " + event.getPosition() + " follows " + position);
            }
            position = event.getPosition();
            digest.update((position + " " + event.getId() + " ").getBytes(StandardCharsets.UTF_8));
            digest.update(event.getData().toByteArray());
            digest.update((byte) '\n');
        }
    }

    private static String text(long position) {
        return Long.toString(position);
    }

    private static NewEvent custom(String aggregate, String data) {
        return NewEvent.newBuilder().setType("custom").setAggregateId(aggregate).setAggregateType("custom")
                .setData(ByteString.copyFromUtf8(data)).build();
    }

    private static AppendEventsRequest atVersion(String appendId, String aggregate, int version, NewEvent... events) {
        return AppendEventsRequest.newBuilder().setAppendId(appendId).addAllEvents(List.of(events))
                .addExpectations(Expectation.newBuilder().setAggregateId(aggregate).setBeAtVersion(version)).build();
    }

    private static Map<String, Object> refused(Runnable call) {
        try {
            call.run();
        } catch (StatusRuntimeException error) {
            return refusal(error);
        }
        throw new IllegalStateException("the call was not refused");
    }

    /** What a failed call says, from google.rpc.Status in its trailing metadata. */
    private static Map<String, Object> refusal(StatusRuntimeException error) {
        Map<String, Object> told = new LinkedHashMap<>();
        told.put("code", error.getStatus().getCode().value());
        told.put("message", error.getStatus().getDescription());
        try {
            for (Any detail : StatusProto.fromThrowable(error).getDetailsList()) {
                if (detail.is(ErrorInfo.class)) {
                    ErrorInfo info = detail.unpack(ErrorInfo.class);
                    told.put("domain", info.getDomain());
                    told.put("reason", info.getReason());
                    told.put("facts", info.getMetadataMap());
                } else if (detail.is(BadRequest.class)) {
                    told.put("fields", detail.unpack(BadRequest.class).getFieldViolationsList().stream()
                            .map(BadRequest.FieldViolation::getField).toList());
                }
            }
        } catch (InvalidProtocolBufferException unreadable) {
            throw new IllegalStateException(unreadable);
        }
        return told;
    }
}
