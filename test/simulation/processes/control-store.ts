/**
 * The control store port over a client of the simulated bucket. It keeps what the port promises and no more: each call
 * answers exactly once and in time, reads may be stale but never go back, and an outcome nobody told is `unknown`.
 */
import type {
  ControlReading,
  ControlStore,
  ControlWrite,
} from '../../../regions/control/core/control-port.ts';
import { type ControlRecord, checkControlRecord } from '../../../regions/control/core/control-record.ts';
import type { ControlClient, ControlEntry, ControlEvent } from '../twins/control-bucket.ts';

/** Where the record lies in the bucket. */
export const controlKey = 'control';

const timeoutMs = 750;
const retryMs = 150;
const pollMs = 1_000;

type Call =
  | {
      readonly kind: 'read';
      readonly token: string;
      readonly deadlineMs: number;
      readonly done: (reading: ControlReading) => void;
    }
  | {
      readonly kind: 'write';
      readonly token: string;
      readonly deadlineMs: number;
      readonly expectedSeq: number;
      readonly record: ControlRecord;
      readonly done: (write: ControlWrite) => void;
      /** When to send the same attempt again; nothing else may be assumed of one that was not answered. */
      againAtMs: number;
    };

export class SimControlStore implements ControlStore {
  private readonly client: ControlClient<ControlRecord>;
  private readonly nowMs: () => number;
  private readonly calls = new Map<string, Call>();
  private readonly watchers = new Set<(reading: ControlReading) => void>();
  private highestSeq = 0;
  private nextToken = 1;
  private pollAtMs = 0;

  constructor(client: ControlClient<ControlRecord>, nowMs: () => number) {
    this.client = client;
    this.nowMs = nowMs;
  }

  read(done: (reading: ControlReading) => void): void {
    const token = this.token();
    this.calls.set(token, { kind: 'read', token, deadlineMs: this.nowMs() + timeoutMs, done });
    this.client.get(controlKey, token);
  }

  compareAndSet(expectedSeq: number, record: ControlRecord, done: (write: ControlWrite) => void): void {
    checkControlRecord(record);
    const token = this.token();
    const nowMs = this.nowMs();
    const deadlineMs = nowMs + timeoutMs;
    this.calls.set(token, {
      kind: 'write',
      token,
      deadlineMs,
      expectedSeq,
      record,
      done,
      againAtMs: nowMs + timeoutMs / 2,
    });
    this.client.update(controlKey, record, expectedSeq, token);
  }

  watch(onReading: (reading: ControlReading) => void): () => void {
    this.watchers.add(onReading);
    return () => void this.watchers.delete(onReading);
  }

  /** Hands over what the client heard. */
  heard(event: ControlEvent<ControlRecord>): void {
    switch (event.kind) {
      case 'connected':
      case 'disconnected':
        return;
      case 'changed':
        this.news(event.entry);
        return;
      case 'entry':
        this.answered(event.token, event.entry);
        return;
      case 'updated':
        this.settle(event.token, { kind: 'won', seq: event.sequence });
        return;
      case 'wrong-sequence':
        this.settle(event.token, { kind: 'lost' });
        return;
      case 'unavailable': {
        const call = this.calls.get(event.token);
        if (call?.kind === 'write') call.againAtMs = this.nowMs() + retryMs;
        return;
      }
    }
  }

  /** Ends what took too long, repeats what was turned away, and looks again now and then. */
  tick(): void {
    const nowMs = this.nowMs();
    for (const call of [...this.calls.values()]) {
      if (nowMs >= call.deadlineMs) {
        this.calls.delete(call.token);
        if (call.kind === 'read') call.done({ kind: 'unavailable', reason: 'timeout' });
        else call.done({ kind: 'unknown', reason: 'timeout' });
      } else if (call.kind === 'write' && nowMs >= call.againAtMs) {
        call.againAtMs = nowMs + timeoutMs / 2;
        this.client.update(controlKey, call.record, call.expectedSeq, call.token);
      }
    }
    if (this.watchers.size === 0 || nowMs < this.pollAtMs) return;
    this.pollAtMs = nowMs + pollMs;
    this.read((reading) => {
      if (reading.kind === 'record') for (const watcher of this.watchers) watcher(reading);
    });
  }

  private token(): string {
    this.nextToken += 1;
    return `t${this.nextToken}`;
  }

  private news(entry: ControlEntry<ControlRecord>): void {
    if (entry.sequence < this.highestSeq) return;
    this.highestSeq = entry.sequence;
    for (const watcher of [...this.watchers]) watcher(readingOf(entry));
  }

  private answered(token: string, entry: ControlEntry<ControlRecord> | undefined): void {
    const call = this.calls.get(token);
    if (call?.kind !== 'read') return;
    this.calls.delete(token);
    if (entry === undefined || entry.sequence < this.highestSeq) {
      call.done({ kind: 'unavailable', reason: 'this replica is behind' });
      return;
    }
    this.highestSeq = entry.sequence;
    call.done(readingOf(entry));
  }

  private settle(token: string, write: ControlWrite): void {
    const call = this.calls.get(token);
    if (call?.kind !== 'write') return;
    this.calls.delete(token);
    if (write.kind === 'won') this.highestSeq = Math.max(this.highestSeq, write.seq);
    call.done(write);
  }
}

function readingOf(entry: ControlEntry<ControlRecord>): ControlReading {
  return { kind: 'record', view: { seq: entry.sequence, record: entry.value } };
}
