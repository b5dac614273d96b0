import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { encodeResult } from '../../../gateway/forward/core/forward-call.ts';
import { defaultForwardLimits } from '../../../gateway/forward/core/forward-limits.ts';
import { encodeReply } from '../../../gateway/forward/core/forward-messages.ts';
import type { WriterStanding } from '../../../gateway/forward/core/writer-standing.ts';
import { ForwardClient } from '../../../gateway/forward/forward-client.ts';
import { emptyResult } from '../../../gateway/sql/lost-transaction.ts';
import { freshStream } from '../../../gateway/sql/stream-state.ts';
import type { NatsConnection, RequestOutcome } from '../../../regions/bus/nats-connection.ts';
import { machine } from '../../../storage/process/runtime.ts';
import { epoch, lsn, mainBranch, regionId } from '../../../storage/redo/ids.ts';

/** A connection behind which a frozen writer has what it is sent and says nothing. */
const silence: NatsConnection = {
  connected: true,
  maxPayloadBytes: 1024 * 1024,
  publish: () => 'sent',
  subscribe: () => () => undefined,
  request: async () => {
    await delay(50);
    return { kind: 'timeout' };
  },
  requestMany: () => ({ kind: 'sent', stop: () => undefined }),
  flush: () => Promise.resolve('timeout'),
  whenConnected: () => Promise.resolve(true),
  close: () => Promise.resolve(),
};

const writer = { subject: 'sql.there', region: regionId('us-east-1') };

const encodePart = (index: number, bytes: Uint8Array): Uint8Array =>
  encodeReply({ kind: 'part', index, count: 2, bytes });

const clientOf = (
  nats: NatsConnection,
  standingOf: () => WriterStanding,
  limits = defaultForwardLimits,
): ForwardClient => new ForwardClient({ nats, me: 'me', limits, standingOf, runtime: machine });

/** What a statement came to, as the writer sends it. */
const resultBytes = encodeResult('execute', {
  kind: 'answered',
  outcome: { ok: true, value: emptyResult },
  autocommit: true,
  holds: false,
  state: null,
  seenLsn: lsn(7),
  epoch: epoch(1),
});

/** What the writer answers once the statement has run. */
const done: RequestOutcome = {
  kind: 'reply',
  data: encodeReply({
    kind: 'part',
    index: 0,
    count: 1,
    bytes: resultBytes,
  }),
  header: () => undefined,
};

const insert = {
  stream: 's',
  fresh: true,
  state: freshStream,
  traceparent: null,
  readOnly: false,
  operation: {
    kind: 'execute',
    statement: { sql: 'INSERT INTO t VALUES (1)', args: [], namedArgs: [], wantRows: false },
  },
} as const;

describe('a statement that was sent to a writer which fell silent (G113)', () => {
  const fate = async (
    standing: WriterStanding,
  ): Promise<{ readonly reason: string; readonly tookMs: number }> => {
    const client = clientOf(silence, () => standing);
    const sentAtMs = performance.now();
    const outcome = await client.call(writer, mainBranch, insert);
    const tookMs = performance.now() - sentAtMs;
    if (outcome.kind !== 'unknown') throw new Error(outcome.kind);
    return { reason: outcome.reason, tookMs };
  };

  it('is unknown after forwardSilenceMs, and soon once a failover has deposed it', async () => {
    const [lone, relieved, deposed] = await Promise.all([fate('writes'), fate('relieved'), fate('deposed')]);
    for (const { reason, tookMs } of [lone, relieved]) {
      expect(reason).toContain('forwardSilenceMs');
      expect(tookMs).toBeGreaterThanOrEqual(defaultForwardLimits.forwardSilenceMs);
    }
    expect(deposed.reason).toContain('a failover has deposed it');
    expect(deposed.tookMs).toBeLessThan(defaultForwardLimits.forwardSilenceMs / 2);
  });

  it('is heard of when the writer was relieved as planned, and its gateway only comes to answer late', async () => {
    const late = performance.now() + 2_200;
    const busy: NatsConnection = {
      ...silence,
      request: async () => {
        await delay(50);
        return performance.now() < late ? { kind: 'timeout' } : done;
      },
    };
    const client = clientOf(busy, () => 'relieved');
    expect(await client.call(writer, mainBranch, insert)).toMatchObject({ kind: 'result' });
  });

  it('is asked after once more by a process that stood still itself, before its fate is called unknown', async () => {
    const impatient = { ...defaultForwardLimits, forwardHoldMs: 20, forwardSilenceMs: 40 };
    let requests = 0;
    const answered: NatsConnection = {
      ...silence,
      // The answer lay in the socket; the timer of the request came first.
      request: async () => {
        requests += 1;
        if (requests > 1) return done;
        await delay(60);
        return { kind: 'timeout' };
      },
    };
    const client = clientOf(answered, () => 'writes', impatient);
    expect(await client.call(writer, mainBranch, insert)).toMatchObject({ kind: 'result' });
  });
});

describe('a writer that connects to NATS again (G113)', () => {
  const running: RequestOutcome = {
    kind: 'reply',
    data: encodeReply({ kind: 'running' }),
    header: () => undefined,
  };
  /** It says that the statement runs, is not to be found for `awayMs`, and then has the answer. */
  const reconnecting = (awayMs: number): NatsConnection => {
    let firstMs: number | null = null;
    return {
      ...silence,
      request: () => {
        if (firstMs === null) {
          firstMs = performance.now();
          return Promise.resolve(running);
        }
        return Promise.resolve(performance.now() - firstMs < awayMs ? { kind: 'no-responders' } : done);
      },
    };
  };

  it.each(['writes', 'relieved'] as const)(
    'answers what it has run, where its standing is: %s',
    async (standing) => {
      const client = clientOf(reconnecting(700), () => standing);
      expect(await client.call(writer, mainBranch, insert)).toMatchObject({ kind: 'result' });
    },
  );

  it('is waited for by those who have a part of its answer, too', async () => {
    const [one, other] = [encodePart(0, resultBytes.subarray(0, 9)), encodePart(1, resultBytes.subarray(9))];
    let requests = 0;
    const nats: NatsConnection = {
      ...silence,
      request: () => {
        requests += 1;
        if (requests > 1 && requests < 5) return Promise.resolve({ kind: 'no-responders' });
        return Promise.resolve({
          kind: 'reply',
          data: requests === 1 ? one : other,
          header: () => undefined,
        });
      },
    };
    const client = clientOf(nats, () => 'writes');
    expect(await client.call(writer, mainBranch, insert)).toMatchObject({ kind: 'result' });
  });

  it('is given up at once when its own region has another writer: it has ended', async () => {
    const client = clientOf(reconnecting(60_000), () => 'replaced');
    const outcome = await client.call(writer, mainBranch, insert);
    expect(outcome).toMatchObject({ kind: 'unknown', reason: expect.stringContaining('has gone') });
  });
});

describe('a statement that is on its way to a writer which has ended', () => {
  it('is looked after as soon as another writer is named, and not when the request has timed out', async () => {
    let standing: WriterStanding = 'writes';
    let requests = 0;
    const dead: NatsConnection = {
      ...silence,
      // The first message was given to the dead process; nobody listens to the next.
      request: () => {
        requests += 1;
        return requests === 1
          ? delay(60_000, { kind: 'timeout' }, { ref: false })
          : Promise.resolve({ kind: 'no-responders' });
      },
    };
    const client = clientOf(dead, () => standing);
    const sentAtMs = performance.now();
    const call = client.call(writer, mainBranch, insert);
    await delay(50);
    client.writerChanged();
    expect(requests).toBe(1);
    standing = 'replaced';
    client.writerChanged();
    expect(await call).toMatchObject({ kind: 'unknown', reason: expect.stringContaining('has gone') });
    expect(performance.now() - sentAtMs).toBeLessThan(1_000);
  });

  it('has not run when the word that nobody listened comes after the news of the next writer (G104)', async () => {
    let standing: WriterStanding = 'writes';
    let requests = 0;
    const leaving: NatsConnection = {
      ...silence,
      request: async () => {
        requests += 1;
        if (requests === 1) await delay(60);
        return { kind: 'no-responders' };
      },
    };
    const client = clientOf(leaving, () => standing);
    const call = client.call(writer, mainBranch, insert);
    await delay(10);
    standing = 'replaced';
    client.writerChanged();
    expect(await call).toEqual({ kind: 'notRun', reason: 'nobody' });
  });
});

describe('a writer that has said the first of two parts of its answer', () => {
  it('is asked for the other one, and not without rest while there is no connection', async () => {
    const [one, other] = [encodePart(0, new Uint8Array(1)), encodePart(1, new Uint8Array(1))];
    let requests = 0;
    const flapping: NatsConnection = {
      ...silence,
      request: () => {
        requests += 1;
        if (requests === 1) return Promise.resolve({ kind: 'reply', data: one, header: () => undefined });
        const isBack = performance.now() - sentAtMs > 200;
        return Promise.resolve(
          isBack ? { kind: 'reply', data: other, header: () => undefined } : { kind: 'disconnected' },
        );
      },
    };
    const client = clientOf(flapping, () => 'writes');
    const sentAtMs = performance.now();
    // Two bytes of zero are no answer, but all of it came.
    expect(await client.call(writer, mainBranch, insert)).toMatchObject({ kind: 'unknown' });
    expect(performance.now() - sentAtMs).toBeGreaterThan(200);
    expect(requests).toBeLessThan(30);
  });
});
