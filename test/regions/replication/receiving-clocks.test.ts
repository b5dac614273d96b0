import { pino } from 'pino';
import { expect, test } from 'vitest';
import { decodeAck, encodeShipped } from '../../../regions/bus/core/messages.ts';
import type { NatsMessage } from '../../../regions/bus/nats-connection.ts';
import { type ReceiverNews, Receiving } from '../../../regions/replication/receiving.ts';
import type { Fork } from '../../../storage/history/epoch-tree.ts';
import { machine, type Runtime } from '../../../storage/process/runtime.ts';
import { encodeFrame } from '../../../storage/redo/frame.ts';
import {
  epoch,
  type Lsn,
  lsn,
  mainBranch,
  pgId,
  type RegionId,
  regionId,
} from '../../../storage/redo/ids.ts';
import { encodeMtr } from '../../../storage/redo/record.ts';
import { encodeTraceContext, keptTrace, type SpanFact } from '../../../telemetry/index.ts';
import { keepSpans } from '../../telemetry/kept-spans.ts';

const minuteMs = 60_000;
const [us, eu, ap] = [regionId('us-east-1'), regionId('eu-west-1'), regionId('ap-northeast-1')];
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** ap-northeast-1 and who ships to it, on one true time and clocks that are wrong by minutes. */
class Distance {
  trueMs = 1_795_000_000_000;
  readonly spans: SpanFact[] = [];
  private readonly oneWayMs: number;
  private readonly aheadMs: Readonly<Record<string, number>>;
  private readonly receiving: Receiving;
  private arrived: (bytes: Uint8Array) => void = () => undefined;
  private acked: Uint8Array | null = null;
  private news: ReceiverNews | null = null;
  private readonly forks: Fork[] = [];

  constructor(oneWayMs: number, aheadMs: Readonly<Record<string, number>>) {
    this.oneWayMs = oneWayMs;
    this.aheadMs = aheadMs;
    const runtime: Runtime = {
      ...machine,
      nowMs: () => this.trueMs,
      wallUs: () => this.wallUs(ap),
      every: () => ({ stop: () => undefined }),
    };
    this.receiving = new Receiving({
      nodes: { nodes: [], request: () => Promise.reject(new Error('no node is asked')) },
      cluster: 'c1',
      region: ap,
      connection: {
        publish: (_, data) => {
          this.acked = data;
          return 'sent';
        },
        subscribe: (_, onMessage) => {
          this.arrived = (data) => onMessage({ data } as NatsMessage);
          return () => undefined;
        },
      },
      recover: async (goal) => {
        const head = goal.kind === 'follow' ? goal.head : epoch(0);
        return { head, forks: this.forks, vdl: lsn(0), tree: this.forks };
      },
      openReceiver: (_, on) => {
        this.news = on;
        return { offer: () => ({ kind: 'taken', next: lsn(0) }), close: () => undefined };
      },
      onJoined: () => undefined,
      telemetry: keepSpans(this.spans),
      log: pino({ level: 'silent' }),
      runtime,
    });
  }

  get ageMs(): number | null {
    return this.receiving.levelMsAgo;
  }

  private wallUs(region: RegionId): number {
    return (this.trueMs + (this.aheadMs[region] ?? 0)) * 1_000;
  }

  /** A reign begins: the first message has nothing to measure a clock with, the answer to it has. */
  async joins(from: RegionId, head: number): Promise<void> {
    const parent = epoch(head - 1);
    this.forks.push({ epoch: epoch(head), branch: mainBranch, parent, forkLsn: lsn(0) });
    await this.ship(from, head, lsn(0), new Uint8Array(0));
    await turn();
  }

  /** Sends what is given, with the echo of the last acknowledgement, and lets it arrive. */
  private async ship(from: RegionId, head: number, next: Lsn, frames: Uint8Array): Promise<void> {
    const ack = this.acked === null ? null : decodeAck(this.acked);
    let echo = null;
    if (ack?.kind === 'ok' && ack.value.head === head) {
      this.trueMs += this.oneWayMs;
      echo = { ackSentAtUs: ack.value.ackSentAtUs, ackReceivedAtUs: this.wallUs(from) };
    }
    const message = {
      from,
      head: epoch(head),
      forks: this.forks,
      start: lsn(0),
      next,
      vdl: next,
      echo,
      frames,
    };
    const bytes = encodeShipped(
      { ...message, sentAtUs: this.wallUs(from) },
      { bytes: frames, compressed: false },
    );
    this.trueMs += this.oneWayMs;
    this.arrived(bytes);
    await turn();
  }

  /** A write of `from` that becomes durable here `storeMs` after it arrived. @returns its true lag, in ms. */
  async writes(from: RegionId, head: number, storeMs: number): Promise<number> {
    const commit = {
      kind: 'commit' as const,
      commitTimeUs: this.wallUs(from),
      trace: encodeTraceContext(keptTrace()),
    };
    const parts = encodeMtr([], [commit], 1 << 20).runs.map((run) => run.bytes);
    const frame = encodeFrame({ epoch: epoch(head), pg: pgId(0), base: lsn(0), prevPg: lsn(0) }, parts);
    const end = lsn(parts.reduce((sum, part) => sum + part.length, 0));
    const committedAtMs = this.trueMs;
    await this.ship(from, head, end, frame);
    this.trueMs += storeMs;
    this.news?.durable(end, end);
    return this.trueMs - committedAtMs;
  }
}

const lastMs = (spans: readonly SpanFact[]): number => {
  const span = spans.filter(({ name }) => name.startsWith('replicate')).at(-1);
  if (span === undefined) throw new Error('no write was traced');
  return (span.endUs - span.startUs) / 1_000;
};

for (const oneWayMs of [20, 80, 200])
  for (const aheadMs of [-7 * minuteMs, 0, 12 * minuteMs])
    test(`replicate is the true lag over ${oneWayMs} ms one way, with a primary ${aheadMs / minuteMs} minutes ahead`, async () => {
      const distance = new Distance(oneWayMs, { [us]: aheadMs });
      await distance.joins(us, 1);
      const trueMs = await distance.writes(us, 1, 15);
      expect(trueMs).toBe(2 * oneWayMs + 15);
      expect(lastMs(distance.spans)).toBeCloseTo(trueMs, 3);
      // The word that it is level was true when it left.
      expect(distance.ageMs).toBeCloseTo(oneWayMs + 15, 3);
    });

test('a new primary is measured by its own clock from its first write on', async () => {
  const distance = new Distance(80, { [us]: 12 * minuteMs, [eu]: -7 * minuteMs });
  await distance.joins(us, 1);
  for (let count = 0; count < 20; count += 1) await distance.writes(us, 1, 5);
  await distance.joins(eu, 2);
  const trueMs = await distance.writes(eu, 2, 5);
  expect(lastMs(distance.spans)).toBeCloseTo(trueMs, 3);
  expect(distance.spans.at(-1)?.name).toBe('replicate eu-west-1→ap-northeast-1');
});
