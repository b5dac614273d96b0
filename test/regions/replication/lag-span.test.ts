/** The `replicate` span of a write, whose duration is the lag: over ways of injected length, with clocks minutes apart. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { encodeShipped, type Shipped } from '../../../regions/bus/core/messages.ts';
import type { NatsMessage } from '../../../regions/bus/nats-connection.ts';
import { type ReceiverNews, Receiving } from '../../../regions/replication/receiving.ts';
import { machine } from '../../../storage/process/runtime.ts';
import { encodeFrame } from '../../../storage/redo/frame.ts';
import { epoch, lsn, mainBranch, pageNo, pgId, regionId } from '../../../storage/redo/ids.ts';
import { redoLimits } from '../../../storage/redo/limits.ts';
import { encodeMtr } from '../../../storage/redo/record.ts';
import { encodeTraceContext, newSpanId, newTraceId, type SpanFact } from '../../../telemetry/index.ts';
import { silent } from '../../storage/region-harness.ts';
import { keepSpans } from '../../telemetry/kept-spans.ts';

const from = regionId('us-east-1');
const here = regionId('eu-west-1');
const forks = [{ epoch: epoch(1), branch: mainBranch, parent: epoch(0), forkLsn: lsn(0) }];
/** What a region takes to make something durable once it has it. */
const storeUs = 2_000;

interface World {
  /** The secondary's wall clock minus the primary's, which tells the true time. */
  readonly skewUs: number;
  readonly thereUs: number;
  /** What single messages take longer, both ways. */
  readonly jitterUs: readonly number[];
}

/** Ships one traced commit, after some exchanges. @returns its span, and how far behind it truly was. */
async function lagOf({ skewUs, thereUs, jitterUs }: World) {
  let nowUs = 1_795_000_000_000_000;
  let turn = 0;
  const way = (): number => thereUs + (jitterUs[turn++ % jitterUs.length] ?? 0);
  const spans: SpanFact[] = [];
  let arrive: (message: NatsMessage) => void = () => undefined;
  let news: ReceiverNews | null = null;
  const acks: number[] = [];
  const receiving = new Receiving({
    nodes: { nodes: [], request: () => Promise.reject(new Error('no node is asked')) },
    cluster: 'test',
    region: here,
    connection: {
      publish: () => {
        acks.push(nowUs);
        return 'sent';
      },
      subscribe: (_, handler) => {
        arrive = handler;
        return () => undefined;
      },
    },
    recover: () => Promise.resolve({ head: epoch(1), forks, vdl: lsn(0), tree: forks }),
    openReceiver: (_, on) => {
      news = on;
      return { offer: () => ({ kind: 'taken', next: lsn(0) }), close: () => undefined };
    },
    onJoined: () => undefined,
    telemetry: keepSpans(spans),
    log: silent,
    runtime: {
      ...machine,
      nowMs: () => nowUs / 1_000,
      wallUs: () => nowUs + skewUs,
      every: () => ({ stop: () => undefined }),
    },
  });
  const settle = () => new Promise<void>((resolve) => setImmediate(resolve));
  /** Ships what is said and waits until it has arrived and been taken. */
  const ship = async (
    message: Pick<Shipped, 'start' | 'next' | 'vdl' | 'echo' | 'frames'>,
  ): Promise<void> => {
    const shipped = { from, head: epoch(1), forks, sentAtUs: nowUs, ...message };
    nowUs += way();
    const data = encodeShipped(shipped, { bytes: message.frames, compressed: false });
    arrive({
      subject: 's',
      data,
      wantsAnswer: false,
      header: () => undefined,
      respond: () => 'sent',
      passOver: () => undefined,
    });
    await settle();
  };
  const nothing = { start: lsn(0), next: lsn(0), vdl: lsn(0), echo: null, frames: new Uint8Array(0) };
  await ship(nothing);
  for (let exchange = 0; exchange < 8; exchange++) {
    const ackSentAtUs = nowUs + skewUs;
    nowUs += way();
    const ackReceivedAtUs = nowUs;
    nowUs += 300;
    await ship({ ...nothing, echo: { ackSentAtUs, ackReceivedAtUs } });
  }

  const context = { traceId: newTraceId(), spanId: newSpanId(), sampled: true };
  const commitTimeUs = nowUs;
  const change = {
    kind: 'pageDelta' as const,
    page: pageNo(1),
    runs: [{ offset: 3, bytes: new Uint8Array([9]) }],
  };
  const commit = { kind: 'commit' as const, commitTimeUs, trace: encodeTraceContext(context) };
  const bytes = encodeMtr([change], [commit], redoLimits.pgBytesMin).runs[0]?.bytes ?? new Uint8Array(0);
  const end = lsn(bytes.length);
  const frames = encodeFrame({ epoch: epoch(1), pg: pgId(0), base: lsn(0), prevPg: lsn(0) }, [bytes]);
  nowUs += 20_000;
  await ship({ start: lsn(0), next: end, vdl: end, echo: null, frames });
  nowUs += storeUs;
  if (news === null) throw new Error('the region follows');
  const { durable }: ReceiverNews = news;
  durable(end, end);
  receiving.close();
  return { spans, context, commitTimeUs, trueUs: nowUs - commitTimeUs, acks: acks.length };
}

test.each([20, 80, 200])(
  'the span of a write that took %d ms to the region says so within 5 ms, with clocks minutes apart',
  async (delayMs) => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: -600_000_000, max: 600_000_000 }),
        fc.array(fc.integer({ min: 0, max: 9_000 }), { minLength: 1, maxLength: 17 }),
        async (skewUs, jitterUs) => {
          const { spans, context, commitTimeUs, trueUs } = await lagOf({
            skewUs,
            thereUs: delayMs * 1_000,
            jitterUs,
          });
          const [span] = spans;
          expect(spans).toHaveLength(1);
          expect(span).toMatchObject({
            name: 'replicate us-east-1→eu-west-1',
            kind: 'consumer',
            parentSpanId: context.spanId,
            startUs: commitTimeUs,
          });
          expect(Math.abs((span?.endUs ?? 0) - commitTimeUs - trueUs)).toBeLessThanOrEqual(5_000);
          expect(
            Math.abs(Number(span?.attributes['sextant.clock_skew_ms']) - skewUs / 1_000),
          ).toBeLessThanOrEqual(5);
        },
      ),
      { numRuns: 60 },
    );
  },
);
