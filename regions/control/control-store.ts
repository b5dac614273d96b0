/**
 * The control record in a JetStream bucket `sextant-<cluster>-control`, key `control`.
 *
 * Every change is a publish that expects the stream's last sequence, which is checked when the change is applied, on
 * every server version and any number of replicas. Reads go through the stream's leader. Nothing but `bootstrap` ever
 * creates the bucket: an absent one is reported, because an empty one in its place would allot old epochs again.
 *
 * A write whose acknowledgement was lost is settled where possible: the same attempt is sent again at the same revision,
 * which can take effect once only, and the change that did follow that revision is read and compared.
 */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { type Epoch, genesisEpoch, type RegionId } from '../../storage/core.ts';
import { controlBucket, hintSubject, recordSubject, streamName } from '../bus/core/control-subjects.ts';
import type { NatsConnection, RequestOutcome } from '../bus/nats-connection.ts';
import { askUntilCertain } from './ask-until-certain.ts';
import {
  decodeControlRecord,
  encodeControlRecord,
  isLaterVersion,
  jetStreamCode,
  jsonBytes,
  parseAck,
  parseMessage,
  parseStream,
  type Reply,
  type StoredMessage,
  type StreamReply,
  streamConfig,
  streamProblems,
} from './control-store-wire.ts';
import { ControlWatch } from './control-watch.ts';
import type { Branch } from './core/branch-list.ts';
import type { ControlReading, ControlStore, ControlView, ControlWrite } from './core/control-port.ts';
import { type ControlRecord, initialControlRecord } from './core/control-record.ts';
import { defaultLeaseLimits } from './core/lease.ts';

export interface ControlStoreOptions {
  /** Not owned: closing the store leaves it open. */
  readonly connection: NatsConnection;
  readonly cluster: string;
  /** Copies the bucket must have, or null to accept what it has. */
  readonly replicas: number | null;
  readonly readTimeoutMs?: number;
  /** At most `attemptMs` of the lease limits. */
  readonly writeTimeoutMs?: number;
  /** How late a watch may be when every notification is lost. */
  readonly pollMs?: number;
}

export interface BootstrapRequest {
  readonly primary: RegionId;
  readonly replicas: number;
  /** The highest epoch any storage node of the deployment knows of. Above genesis, an absent bucket is a lost one. */
  readonly highestLocalEpoch: Epoch;
  /**
   * An operator's word that the record is lost for good and may be made anew, with `highestLocalEpoch` as its epoch: in a
   * new bucket where there is none, and else as the next revision of the one that has lost it.
   */
  readonly rebuild?: boolean;
  /** The branches that a record which is made anew names. */
  readonly branches?: readonly Branch[];
  readonly timeoutMs?: number;
}

export type BootstrapOutcome =
  | { readonly kind: 'created' | 'exists'; readonly view: ControlView }
  | {
      readonly kind: 'refused';
      readonly code: 'settings' | 'record-lost' | 'unusable' | 'replicas';
      readonly reason: string;
    }
  | { readonly kind: 'unavailable'; readonly reason: string };

export interface JetStreamControlStore extends ControlStore {
  /** Creates the bucket and its first record, once in a cluster's life; with both there, answers what they hold. */
  bootstrap(request: BootstrapRequest): Promise<BootstrapOutcome>;
  /**
   * For how long the stream's leader has answered every read with an older record than was seen before, in ms; 0 while it does
   * not. A server whose disk failed may lead like that for good.
   */
  readonly staleForMs: number;
  /** How long ago a read last brought the record, or that there is none, in ms; null before the first. */
  readonly readMsAgo: number | null;
  /** Ends all watches. Reads and writes under way still answer. */
  close(): void;
}

const defaultReadTimeoutMs = 1_500;
const defaultWriteTimeoutMs = defaultLeaseLimits.attemptMs;
const defaultPollMs = 1_000;
/** A cluster that has just started elects two leaders before it can create a bucket. */
const defaultBootstrapTimeoutMs = 30_000;
/** Between tries while there is no leader, in milliseconds. */
const retryMs = 50;
const bootstrapRetryMs = 250;

/** Does not contact the server. @throws AssertionError when `cluster` cannot be part of a bucket's name. */
export function openControlStore(options: ControlStoreOptions): JetStreamControlStore {
  return new BucketStore(options);
}

type Settled<T> =
  | { readonly kind: 'ok'; readonly value: T }
  | { readonly kind: 'absent' }
  | { readonly kind: 'unusable'; readonly reason: string }
  | { readonly kind: 'unavailable'; readonly reason: string };

class BucketStore implements JetStreamControlStore {
  readonly #connection: NatsConnection;
  readonly #bucket: string;
  readonly #replicas: number | null;
  readonly #readTimeoutMs: number;
  readonly #writeTimeoutMs: number;
  readonly #watch: ControlWatch;
  #verified: boolean = false;
  #highestSeq = 0;
  #staleSinceMs: number | null = null;
  #readAtMs: number | null = null;

  constructor(options: ControlStoreOptions) {
    assert(/^[a-z0-9][a-z0-9-]{0,62}$/.test(options.cluster), `not a cluster name: ${options.cluster}`);
    this.#connection = options.connection;
    this.#bucket = controlBucket(options.cluster);
    this.#replicas = options.replicas;
    this.#readTimeoutMs = options.readTimeoutMs ?? defaultReadTimeoutMs;
    this.#writeTimeoutMs = options.writeTimeoutMs ?? defaultWriteTimeoutMs;
    this.#watch = new ControlWatch({
      connection: options.connection,
      hintSubject: hintSubject(options.cluster),
      pollMs: options.pollMs ?? defaultPollMs,
      read: () => this.#read(performance.now() + this.#readTimeoutMs),
    });
  }

  get staleForMs(): number {
    return this.#staleSinceMs === null ? 0 : performance.now() - this.#staleSinceMs;
  }

  get readMsAgo(): number | null {
    return this.#readAtMs === null ? null : performance.now() - this.#readAtMs;
  }

  read(done: (reading: ControlReading) => void): void {
    void this.#read(performance.now() + this.#readTimeoutMs).then(done);
  }

  compareAndSet(expectedSeq: number, record: ControlRecord, done: (write: ControlWrite) => void): void {
    // The first record is written by `bootstrap` alone, so nobody has cause to expect an empty bucket.
    assert(
      Number.isSafeInteger(expectedSeq) && expectedSeq >= 1,
      `not a sequence of the store: ${expectedSeq}`,
    );
    void this.#write(expectedSeq, record).then(done);
  }

  watch(onReading: (reading: ControlReading) => void): () => void {
    return this.#watch.watch(onReading);
  }

  close(): void {
    this.#watch.close();
  }

  // Reading

  async #read(deadline: number): Promise<ControlReading> {
    const verified = await this.#verify(deadline);
    if (verified.kind !== 'ok') return verified;
    const last = await this.#getMessage({ last_by_subj: recordSubject(this.#bucket) }, deadline);
    if (last.kind !== 'ok') return last;
    const { seq, data } = last.value;
    if (seq < this.#highestSeq) {
      this.#staleSinceMs ??= performance.now();
      return {
        kind: 'unavailable',
        reason: `stale answer: revision ${seq} after ${this.#highestSeq} was seen`,
      };
    }
    this.#staleSinceMs = null;
    this.#readAtMs = performance.now();
    const decoded = decodeControlRecord(data);
    if (decoded.kind === 'unusable') return decoded;
    this.#highestSeq = seq;
    const view = { seq, record: decoded.record };
    this.#watch.saw(view);
    return { kind: 'record', view };
  }

  /** Once per store: a bucket that expires or thins out its messages, or has too few copies, is not worked with. */
  async #verify(deadline: number): Promise<Settled<null>> {
    if (this.#verified) return { kind: 'ok', value: null };
    const stream = await this.#ask('STREAM.INFO', streamName(this.#bucket), {}, parseStream, deadline);
    if (stream.kind !== 'ok') return stream;
    const problems = streamProblems(this.#bucket, this.#replicas, stream.value);
    if (problems.length > 0) return { kind: 'unusable', reason: this.#mismatch(problems) };
    this.#verified = true;
    return { kind: 'ok', value: null };
  }

  async #getMessage(
    which: { last_by_subj: string } | { seq: number },
    deadline: number,
  ): Promise<Settled<StoredMessage>> {
    return this.#ask('STREAM.MSG.GET', streamName(this.#bucket), which, parseMessage, deadline);
  }

  /** One API request, repeated while no leader answers and there is time. */
  async #ask<T>(
    api: string,
    stream: string,
    body: object,
    parse: (bytes: Uint8Array) => Reply<T>,
    deadline: number,
  ): Promise<Settled<T>> {
    let reason = 'no time left';
    const subject = `$JS.API.${api}.${stream}`;
    const settled = await askUntilCertain<RequestOutcome, Settled<T>>({
      ...pace(deadline),
      ask: (timeoutMs) => this.#connection.request(subject, jsonBytes(body), timeoutMs),
      certain: (answer) => {
        if (answer.kind !== 'reply') {
          reason = answer.kind === 'failed' ? answer.reason : answer.kind;
          return null;
        }
        const reply = parse(answer.data);
        if (reply.kind === 'ok') return reply;
        if (reply.kind === 'malformed') return { kind: 'unavailable', reason: reply.reason };
        const { err_code: code, description } = reply.error;
        if (code === jetStreamCode.noStream || code === jetStreamCode.noMessage) return { kind: 'absent' };
        reason = description;
        return null;
      },
    });
    return settled ?? { kind: 'unavailable', reason: `${api}: ${reason}` };
  }

  // Writing

  async #write(expectedSeq: number, record: ControlRecord): Promise<ControlWrite> {
    const deadline = performance.now() + this.#writeTimeoutMs;
    const verified = await this.#verify(deadline);
    if (verified.kind !== 'ok') return { kind: 'unknown', reason: `the bucket is ${verified.kind}` };
    const expectation = { 'Nats-Expected-Last-Sequence': String(expectedSeq) };
    const write = await this.#publish(expectedSeq, expectation, record, deadline);
    if (write.kind === 'won') {
      this.#highestSeq = Math.max(this.#highestSeq, write.seq);
      this.#watch.wrote({ seq: write.seq, record });
    }
    return write;
  }

  /** Sends one attempt until something is certain about it or the time is up. */
  async #publish(
    expectedSeq: number,
    expectation: Readonly<Record<string, string>>,
    record: ControlRecord,
    deadline: number,
  ): Promise<ControlWrite> {
    const data = encodeControlRecord(record);
    const stream = streamName(this.#bucket);
    const headers = { ...expectation, 'Nats-Expected-Stream': stream };
    const subject = recordSubject(this.#bucket);
    let reason = 'no time left';
    const write = await askUntilCertain<RequestOutcome, ControlWrite>({
      ...pace(deadline),
      ask: (timeoutMs) => this.#connection.request(subject, data, timeoutMs, headers),
      certain: async (answer) => {
        if (answer.kind !== 'reply') {
          reason = answer.kind === 'failed' ? answer.reason : answer.kind;
          return null;
        }
        const reply = parseAck(answer.data);
        if (reply.kind === 'ok' && reply.value.stream === stream && reply.value.seq === expectedSeq + 1)
          return { kind: 'won', seq: reply.value.seq };
        const code = reply.kind === 'error' ? reply.error.err_code : 0;
        reason = reply.kind === 'error' ? reply.error.description : 'unexpected acknowledgement';
        const isSettled =
          code === jetStreamCode.wrongLastSequence || code === jetStreamCode.wrongLastSequenceInFlight;
        return isSettled ? this.#settle(expectedSeq, record, deadline) : null;
      },
    });
    return write ?? { kind: 'unknown', reason };
  }

  /**
   * A refusal is no proof that somebody else wrote: an earlier try, or an earlier call, may have. The one change that can
   * follow `expectedSeq` is this record, another one, or not to be seen yet (null).
   */
  async #settle(expectedSeq: number, record: ControlRecord, deadline: number): Promise<ControlWrite | null> {
    const found = await this.#getMessage({ seq: expectedSeq + 1 }, deadline);
    if (found.kind !== 'ok') return null;
    const decoded = decodeControlRecord(found.value.data);
    const ours = decoded.kind === 'record' && isDeepStrictEqual(decoded.record, record);
    return ours ? { kind: 'won', seq: found.value.seq } : { kind: 'lost' };
  }

  // Bootstrap

  async bootstrap(request: BootstrapRequest): Promise<BootstrapOutcome> {
    const deadline = performance.now() + (request.timeoutMs ?? defaultBootstrapTimeoutMs);
    let reason = 'no time left';
    while (deadline - performance.now() > retryMs) {
      const step = await this.#bootstrapOnce(
        request,
        Math.min(deadline, performance.now() + this.#readTimeoutMs),
      );
      if (step.kind !== 'unavailable') return step;
      reason = step.reason;
      await pause(bootstrapRetryMs, deadline);
    }
    return { kind: 'unavailable', reason };
  }

  async #bootstrapOnce(request: BootstrapRequest, deadline: number): Promise<BootstrapOutcome> {
    const stream = await this.#ask('STREAM.INFO', streamName(this.#bucket), {}, parseStream, deadline);
    if (stream.kind === 'unavailable') return stream;
    if (stream.kind === 'unusable') return { kind: 'refused', code: 'unusable', reason: stream.reason };
    if (stream.kind === 'absent') {
      const lost = this.#lost(request, 'is absent');
      if (lost !== null) return lost;
      const refusal = await this.#createStream(request.replicas);
      // Revisions of the new bucket begin anew; what was seen of the lost one says nothing about it.
      if (request.rebuild === true) {
        this.#highestSeq = 0;
        this.#watch.forget();
      }
      return refusal ?? this.#bootstrapOnce(request, deadline);
    }
    const problems = streamProblems(this.#bucket, request.replicas, stream.value);
    if (problems.length > 0) return { kind: 'refused', code: 'settings', reason: this.#mismatch(problems) };
    const reading = await this.#read(deadline);
    switch (reading.kind) {
      case 'record':
        return { kind: 'exists', view: reading.view };
      case 'unusable':
        if (request.rebuild === true) return this.#writeOver(request, stream.value, deadline);
        return { kind: 'refused', code: 'unusable', reason: reading.reason };
      case 'unavailable':
        return reading;
      case 'absent':
        return this.#writeFirst(request, stream.value);
    }
  }

  /** Puts a new record in the place of one that is damaged, unless a later version of this program wrote it. */
  async #writeOver(
    request: BootstrapRequest,
    stream: StreamReply,
    deadline: number,
  ): Promise<BootstrapOutcome> {
    const last = await this.#getMessage({ last_by_subj: recordSubject(this.#bucket) }, deadline);
    if (last.kind === 'unavailable') return last;
    if (last.kind === 'ok' && isLaterVersion(last.value.data)) {
      const reason = `bucket ${this.#bucket} holds a record of a later version of Sextant: use that version`;
      return { kind: 'refused', code: 'unusable', reason };
    }
    return this.#writeNext(request, stream.state.last_seq);
  }

  /** The record as the revision after `lastSeq`, whatever became of those before. */
  async #writeNext(request: BootstrapRequest, lastSeq: number): Promise<BootstrapOutcome> {
    const record = initialControlRecord(request.primary, request.highestLocalEpoch, request.branches);
    const expectation = { 'Nats-Expected-Last-Sequence': String(lastSeq) };
    const write = await this.#publish(lastSeq, expectation, record, performance.now() + this.#writeTimeoutMs);
    if (write.kind !== 'won') return { kind: 'unavailable', reason: `the new record: ${write.kind}` };
    this.#highestSeq = write.seq;
    return { kind: 'created', view: { seq: write.seq, record } };
  }

  /** Refuses to begin at nothing where something was, unless an operator says that it is lost. */
  #lost(request: BootstrapRequest, how: string): BootstrapOutcome | null {
    if (request.highestLocalEpoch === genesisEpoch || request.rebuild === true) return null;
    const reason = `bucket ${this.#bucket} ${how}, but storage nodes know epoch ${request.highestLocalEpoch}`;
    return { kind: 'refused', code: 'record-lost', reason };
  }

  async #createStream(replicas: number): Promise<BootstrapOutcome | null> {
    const answer = await this.#connection.request(
      `$JS.API.STREAM.CREATE.${streamName(this.#bucket)}`,
      jsonBytes(streamConfig(this.#bucket, replicas)),
      this.#readTimeoutMs,
    );
    if (answer.kind !== 'reply') return { kind: 'unavailable', reason: `STREAM.CREATE: ${answer.kind}` };
    const reply = parseStream(answer.data);
    if (reply.kind === 'ok') return null;
    if (reply.kind === 'malformed') return { kind: 'unavailable', reason: reply.reason };
    const { err_code: code, description } = reply.error;
    if (code === jetStreamCode.replicasUnsupported)
      return { kind: 'refused', code: 'replicas', reason: description };
    return { kind: 'unavailable', reason: `STREAM.CREATE: ${description}` };
  }

  /** The first record expects that its subject was never used, the one per-subject check that is safe everywhere. */
  async #writeFirst(request: BootstrapRequest, stream: StreamReply): Promise<BootstrapOutcome> {
    // A server that finds its files damaged may come back with a bucket that says it was never written.
    const lost = this.#lost(request, 'is empty');
    if (lost !== null) return lost;
    if (stream.state.last_seq > 0) {
      if (request.rebuild === true) return this.#writeNext(request, stream.state.last_seq);
      const reason = `bucket ${this.#bucket} has lost its record after revision ${stream.state.last_seq}`;
      return { kind: 'refused', code: 'record-lost', reason };
    }
    const record = initialControlRecord(request.primary, request.highestLocalEpoch, request.branches);
    const write = await this.#publish(
      0,
      { 'Nats-Expected-Last-Subject-Sequence': '0' },
      record,
      performance.now() + this.#writeTimeoutMs,
    );
    if (write.kind !== 'won') return { kind: 'unavailable', reason: `the first record: ${write.kind}` };
    this.#highestSeq = Math.max(this.#highestSeq, write.seq);
    return { kind: 'created', view: { seq: write.seq, record } };
  }

  #mismatch(problems: readonly string[]): string {
    return `bucket ${this.#bucket} is not set up as Sextant needs it: ${problems.join('; ')}`;
  }
}

/** Waits, but never past the deadline. */
/** How one question of the store is asked: again while no leader answers, and beside itself at half of the time. */
const pace = (deadlineMs: number) => ({
  deadlineMs,
  againMs: retryMs,
  besideMs: Math.max(retryMs, (deadlineMs - performance.now()) / 2),
});

async function pause(ms: number, deadline: number): Promise<void> {
  await delay(Math.max(0, Math.min(ms, deadline - performance.now())));
}
