// A client of Strata in Node: appends, reads, follows and comes back. `node client.mjs HOST:PORT` prints what it met.
//
// Code is made from ../protos when it starts, by @grpc/proto-loader (docs/clients.md). What it does: tests/clients/README.md.

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { promisify } from 'node:util';
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';

const STATE = '{"owner":"zoë","balance":10.10,"limit":9007199254740993}';
const FAR = '9007199254740993'; // 2^53 + 1: no number of this language holds it
const DEADLINE_MS = 300;

// `longs: String`: positions are int64. `oneofs`: which one is given is in a property with the oneof's name.
const contract = protoLoader.loadSync(
  ['aggregate', 'event', 'subscription'].map((name) => `strata/v1/${name}_service.proto`)
    .concat('google/rpc/status.proto', 'google/rpc/error_details.proto', 'grpc/health/v1/health.proto'),
  {
    includeDirs: [new URL('../protos', import.meta.url).pathname],
    keepCase: true, longs: String, defaults: true, oneofs: true,
  },
);
const { strata, grpc: { health } } = grpc.loadPackageDefinition(contract);

/** What a failed call says, from google.rpc.Status in its trailing metadata. */
function refusal(error) {
  const told = { code: error.code, message: error.details };
  for (const bytes of error.metadata?.get('grpc-status-details-bin') ?? []) {
    for (const detail of contract['google.rpc.Status'].deserialize(bytes).details) {
      const name = detail.type_url.split('/').pop();
      if (name === 'google.rpc.ErrorInfo') {
        const info = contract[name].deserialize(detail.value);
        Object.assign(told, { domain: info.domain, reason: info.reason, facts: info.metadata });
      } else if (name === 'google.rpc.BadRequest') {
        told.fields = contract[name].deserialize(detail.value).field_violations.map((violation) => violation.field);
      }
    }
  }
  return told;
}

/** Of a call that must fail: a promise of its answer, or a stream. */
async function refused(call) {
  try {
    if (Symbol.asyncIterator in call) for await (const _ of call);
    else await call;
  } catch (error) {
    return refusal(error);
  }
  throw new Error('the call was not refused');
}

/** A service of the contract; its unary calls return promises. */
function connect(Service, target) {
  const service = new Service(target, grpc.credentials.createInsecure());
  for (const [name, method] of Object.entries(Service.service)) {
    if (!method.requestStream && !method.responseStream) service[name] = promisify(service[name]).bind(service);
  }
  return service;
}

const custom = (aggregate_id, data) => ({ type: 'custom', aggregate_id, aggregate_type: 'custom', data: Buffer.from(data) });

const atVersion = (append_id, aggregate_id, be_at_version, ...events) =>
  ({ append_id, events, expectations: [{ aggregate_id, be_at_version }] });

const soon = () => ({ deadline: Date.now() + DEADLINE_MS });

/** Every event once, in the order of positions: what a subscriber must see, however often it comes back. */
class Followed {
  position = 0n;
  digest = createHash('sha256');

  take(event) {
    if (BigInt(event.position) !== this.position + 1n) {
      throw new Error(`position ${event.position} follows ${this.position}`);
    }
    this.position += 1n;
    this.digest.update(`${event.position} ${event.id} `).update(event.data).update('\n');
  }
}

class Client {
  facts = {};

  constructor(target) {
    this.health = connect(health.v1.Health, target);
    this.aggregates = connect(strata.v1.AggregateService, target);
    this.events = connect(strata.v1.EventService, target);
    this.subscriptions = connect(strata.v1.SubscriptionService, target);
  }

  close() {
    for (const service of [this.health, this.aggregates, this.events, this.subscriptions]) service.close();
  }

  async create() {
    this.facts.health = (await this.health.Check({})).status;
    const request = { id: 'account', type: 'custom', initial_state: Buffer.from(STATE) };
    const { version, etag, position, state } = await this.aggregates.CreateAggregate(request);
    this.facts.created = { version, etag, position, state: state.toString() };
    this.facts.create_again = await refused(this.aggregates.CreateAggregate(request));
  }

  async append() {
    const request = atVersion('first', 'account', 0, custom('account', '{"balance": 9.90}'),
      custom('account', '{"note":"\\u00e9","limit":1e400}'));
    const told = async () => {
      const reply = await this.events.AppendEvents(request);
      return { first: reply.first_position, last: reply.last_position, version: reply.heads[0].version,
        ids: reply.event_ids, replayed: reply.replayed };
    };
    this.facts.appended = await told();
    const second = atVersion('second', 'account', 0, custom('account', '{}'));
    this.facts.conflict = await refused(this.events.AppendEvents(second));
    this.facts.appended_again = await told();
    const untyped = { aggregate_id: 'account', data: Buffer.from('{}') };
    this.facts.invalid = await refused(this.events.AppendEvents({ events: [untyped] }));
    const hopeless = Array(1000).fill({ aggregate_id: '€'.repeat(100) });
    this.facts.hopeless = await refused(this.events.AppendEvents({ events: hopeless }));
  }

  async read() {
    for (const [name, request] of [['aggregate', { id: 'account' }], ['past', { id: 'account', as_of_version: 1 }]]) {
      const { version, state } = await this.aggregates.GetAggregate(request);
      this.facts[name] = { version, state: state.toString() };
    }
    this.facts.unknown = await refused(this.aggregates.GetAggregate({ id: 'nobody-€-100%' }));

    this.facts.listed = [];
    let page_token = '';
    do {
      const page = await this.events.ListEvents({ aggregate_id: 'account', page_size: 2, page_token });
      this.facts.listed.push(page.events.map((event) => event.version));
      page_token = page.next_page_token;
    } while (page_token);

    this.facts.read = [];
    for await (const { events } of this.events.ReadEvents({})) {
      this.facts.read.push(...events.map((event) => [event.position, event.data.toString()]));
    }
  }

  async stream() {
    const call = this.events.AppendStream();
    const send = async () => {
      let version = 0;
      for (let number = 1; number <= 50; number++) {
        const expected = number === 7 ? 1000 : version++;
        const append = atVersion(`stream-${number}`, 'live', expected, custom('live', `{"n":${number}}`));
        if (!call.write({ append })) await once(call, 'drain');
      }
      call.end();
    };
    const sent = send();
    this.facts.streamed = [];
    for await (const { sequence, outcome, appended, error } of call) {
      const told = outcome === 'error' ? error.reason : `version ${appended.heads[0].version}`;
      this.facts.streamed.push(`${sequence}: ${told}`);
    }
    await sent;
  }

  async refuseAndWait() {
    this.facts.far_position = await refused(this.subscriptions.Subscribe({ after_position: FAR }));
    const unary = await refused(this.aggregates.GetAggregate({ id: 'account', min_position: FAR }, soon()));
    const quiet = await refused(this.subscriptions.Subscribe({ from_end: true }, soon()));
    this.facts.deadline = [unary.code, quiet.code];
  }

  async follow() {
    await this.aggregates.CreateAggregate({ id: 'rival', type: 'custom' });
    const followed = new Followed();
    let written;
    this.facts.cut_off = await this.followUntil({ from_start: true }, 100, followed, () => {
      this.facts.before_caught_up = `${followed.position}`;
      written = this.writeLive();
    });
    await this.followUntil({ after_position: `${followed.position}` }, 249, followed, () => {});
    await written;
    this.facts.followed = { count: `${followed.position}`, sha256: followed.digest.digest('hex') };
  }

  /** Reads up to a version of `live`, cancels, and returns the code with which the call then ends. */
  async followUntil(request, version, followed, onCaughtUp) {
    const call = this.subscriptions.Subscribe(request);
    let cancelled = false;
    try {
      for await (const { message, batch, closing } of call) {
        if (message === 'caught_up') onCaughtUp();
        if (message === 'closing') throw new Error(`the server ended the stream: ${closing.reason}`);
        for (const event of batch?.events ?? []) {
          if (cancelled) break;
          followed.take(event);
          cancelled = event.aggregate_id === 'live' && event.version === version;
          if (cancelled) call.cancel();
        }
      }
    } catch (error) {
      if (!cancelled) throw error;
      return error.code;
    }
    throw new Error('the stream ended');
  }

  async writeLive() {
    for (let number = 50; number < 250; number++) {
      await this.events.AppendEvents({ append_id: `live-${number}`, events: [custom('live', `{"n":${number}}`)] });
    }
  }
}

const client = new Client(process.argv[2]);
for (const part of ['create', 'append', 'read', 'stream', 'refuseAndWait', 'follow']) await client[part]();
client.close();
console.log(JSON.stringify(client.facts));
