/**
 * The HTTP streams of a gateway: who may go on with which, and when an idle one ends. A stream that ends, for
 * whatever reason, closes its session, which rolls back an open transaction.
 */
import { everyBeside } from '../../storage/index.ts';
import { adviseFailure, limitFailure } from '../sql/errors.ts';
import type { SessionOptions, SqlOutcome, SqlService, SqlSession } from '../sql/sql.ts';
import type { GatewayLimits } from './core/protocol-limits.ts';
import { SqlStore } from './core/stored-sql.ts';
import { createBatonMint } from './hrana-baton.ts';

export interface HttpStream {
  readonly id: number;
  /** Whom it belongs to: nobody else may go on with it (G41). */
  readonly owner: string;
  /** Of which database; undefined for main. A URL of another one does not go on with it. */
  readonly branch: SessionOptions['branch'];
  readonly session: SqlSession;
  readonly store: SqlStore;
  /** Count of requests taken; the next baton carries it. */
  seq: number;
  /** Requests holding the stream: at most one runs and, behind a cursor, one waits. */
  holders: number;
  /** Settles when the latest holder is done. */
  done: Promise<void>;
  closed: boolean;
}

/** The right to use a stream until `release` or `end`. */
export interface StreamLease {
  readonly stream: HttpStream;
  /** Settles when an earlier request on the stream (a cursor still being read) is done. */
  readonly ready: Promise<void>;
  /** The baton for the next request, to be sent with the answer to this one. */
  readonly baton: string;
  /** Gives the stream back; it expires when not used again in time. */
  release(): void;
  /** Ends the stream and rolls back what is open. */
  end(): void;
}

export class StreamRegistry {
  readonly #service: SqlService;
  readonly #limits: GatewayLimits;
  readonly #mint = createBatonMint();
  readonly #streams = new Map<number, HttpStream>();
  /** Idle streams with the monotonic time they fell idle at; the order of the map is the order of time. */
  readonly #idle = new Map<HttpStream, number>();
  /** Why streams ended, oldest first. */
  readonly #tombstones = new Map<number, { readonly reason: string; readonly endedAtMs: number }>();
  readonly #stopSweeping: () => void;
  readonly #closing = new Set<Promise<void>>();
  #nextId = 1;

  constructor(service: SqlService, limits: GatewayLimits) {
    this.#service = service;
    this.#limits = limits;
    const periodMs = Math.max(10, Math.min(1_000, Math.floor(limits.streamIdleMs / 4)));
    this.#stopSweeping = everyBeside(periodMs, () => this.#sweep());
  }

  get size(): number {
    return this.#streams.size;
  }

  /** Opens a stream (`baton` null) with these options, or goes on with the one of this owner that the baton names. */
  take(baton: string | null, options: SessionOptions, owner: string): SqlOutcome<StreamLease> {
    return baton === null ? this.#open(options, owner) : this.#resume(baton, options, owner);
  }

  /** Ends every stream; settles when all sessions are closed. */
  async close(): Promise<void> {
    this.#stopSweeping();
    for (const stream of this.#streams.values()) this.#end(stream, 'the gateway is stopping');
    await Promise.all(this.#closing);
  }

  #open(options: SessionOptions, owner: string): SqlOutcome<StreamLease> {
    if (this.#streams.size >= this.#limits.httpStreams && !this.#evict()) {
      return limitFailure('httpStreams', this.#limits.httpStreams);
    }
    const session = this.#service.openSession(options);
    if (!session.ok) return session;
    const stream: HttpStream = {
      id: this.#nextId++,
      owner,
      branch: options.branch,
      session: session.value,
      store: new SqlStore(this.#limits.storedSqlPerHttpStream, this.#limits.storedSqlBytes),
      seq: 0,
      holders: 0,
      done: Promise.resolve(),
      closed: false,
    };
    this.#streams.set(stream.id, stream);
    return { ok: true, value: this.#lease(stream) };
  }

  #resume(text: string, { branch }: SessionOptions, owner: string): SqlOutcome<StreamLease> {
    const baton = this.#mint.read(text);
    if (baton === null) {
      return adviseFailure(
        'BATON_INVALID',
        'The baton was not issued by this gateway process, or was altered',
      );
    }
    const stream = this.#streams.get(baton.streamId);
    if (stream === undefined) {
      const reason = this.#tombstones.get(baton.streamId)?.reason ?? 'it ended some time ago';
      return adviseFailure('STREAM_EXPIRED', `The stream is closed: ${reason}`);
    }
    if (stream.owner !== owner)
      return adviseFailure('BATON_INVALID', 'The stream was opened with the token of somebody else');
    if (stream.branch !== branch)
      return adviseFailure('BATON_INVALID', 'The stream was opened on another branch, at its URL');
    if (baton.seq !== stream.seq) {
      return adviseFailure('BATON_REUSED', 'The baton was used before; every response carries a new one');
    }
    return { ok: true, value: this.#lease(stream) };
  }

  #lease(stream: HttpStream): StreamLease {
    stream.seq += 1;
    stream.holders += 1;
    this.#idle.delete(stream);
    const ready = stream.done;
    const { promise, resolve } = Promise.withResolvers<void>();
    stream.done = promise;
    let held = true;
    const giveBack = () => {
      if (!held) return;
      held = false;
      stream.holders -= 1;
      resolve();
      if (stream.holders === 0 && !stream.closed) this.#idle.set(stream, performance.now());
    };
    const { seq } = stream;
    const mint = this.#mint;
    return {
      stream,
      ready,
      get baton() {
        return mint.issue({ streamId: stream.id, seq });
      },
      release: giveBack,
      end: () => {
        this.#end(stream, 'it was closed, or the connection was lost before the answer could be sent');
        giveBack();
      },
    };
  }

  #end(stream: HttpStream, reason: string): void {
    if (stream.closed) return;
    stream.closed = true;
    this.#streams.delete(stream.id);
    this.#idle.delete(stream);
    // A stream that never gave out a baton has nobody who could ask for the reason.
    if (stream.seq > 1 || stream.holders === 0) {
      const oldest =
        this.#tombstones.size >= this.#limits.streamTombstones
          ? this.#tombstones.keys().next().value
          : undefined;
      if (oldest !== undefined) this.#tombstones.delete(oldest);
      this.#tombstones.set(stream.id, { reason, endedAtMs: performance.now() });
    }
    const closing = stream.session.close();
    this.#closing.add(closing);
    void closing.finally(() => this.#closing.delete(closing));
  }

  /** Makes room by ending the longest idle stream that has no transaction open. */
  #evict(): boolean {
    for (const stream of this.#idle.keys()) {
      if (!stream.session.isAutocommit()) continue;
      this.#end(
        stream,
        `it was the longest idle one when the limit httpStreams = ${this.#limits.httpStreams} was reached`,
      );
      return true;
    }
    return false;
  }

  #sweep(): void {
    const now = performance.now();
    const { streamIdleMs, streamTombstoneMs } = this.#limits;
    for (const [stream, sinceMs] of this.#idle) {
      if (now - sinceMs < streamIdleMs) break;
      const rolledBack = stream.session.isAutocommit()
        ? 'no transaction was open'
        : 'its transaction was rolled back';
      this.#end(stream, `stream expired because it was idle for more than ${streamIdleMs} ms; ${rolledBack}`);
    }
    for (const [id, tombstone] of this.#tombstones) {
      if (now - tombstone.endedAtMs < streamTombstoneMs) break;
      this.#tombstones.delete(id);
    }
  }
}
