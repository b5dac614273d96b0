/** What a region's agent asks of its nodes by what the control record promises, and when the primary's promises more. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { ControlStore } from '../../../regions/control/core/control-port.ts';
import {
  acquire,
  type ControlRecord,
  initialControlRecord,
} from '../../../regions/control/core/control-record.ts';
import { raisePromise } from '../../../regions/control/core/promised-record.ts';
import { retentionLimits } from '../../../regions/retention/core/retention-limits.ts';
import { Retention, type RetentionOptions } from '../../../regions/retention/retention.ts';
import { machine } from '../../../storage/process/runtime.ts';
import { epoch, lsn, type RegionId } from '../../../storage/redo/ids.ts';
import type { RetainRequest } from '../../../storage/wire/core/messages.ts';
import { silent } from '../../storage/region-harness.ts';
import { fork, sixMembers, sixNodes } from '../../storage/samples.ts';
import { eu, g1, next, us } from '../control-records.ts';

const forks = [fork(1, 0, 0)];
const vdl = lsn(900);
const path = { epoch: epoch(1), vdl, forks };
const everyMs = 5;
const first = next(acquire(initialControlRecord(us), { region: us, holder: g1, lapsed: false }));
const promising = (upTo: number): ControlRecord =>
  next(raisePromise(first, { region: us, path, upTo: lsn(upTo) }));

/** What an agent knows; a test changes it. */
interface Known {
  record: ControlRecord | null;
  /** What is in the bucket; null: it cannot be read. */
  stored: ControlRecord | null;
  readonly region: RegionId;
  /** How long ago the other region was heard, what it told then, and what it was seen to store. */
  readonly other: { readonly heardMsAgo: number; readonly told: number; readonly acked: number };
}

const open: Retention[] = [];
afterEach(() => {
  for (const retention of open.splice(0)) retention.close();
});

/** Nodes whose window begins at 640, with images up to 800. */
function agentOf(known: Known): { readonly asked: () => Promise<RetainRequest> } {
  const requests: RetainRequest[] = [];
  const store: ControlStore = {
    read: (resolve) =>
      resolve(
        known.stored === null
          ? { kind: 'unavailable', reason: 'a test' }
          : { kind: 'record', view: { seq: known.stored.n, record: known.stored } },
      ),
    compareAndSet: (_seq, record, resolve) => {
      known.stored = record;
      resolve({ kind: 'won', seq: record.n });
    },
    watch: () => () => undefined,
  };
  const other = known.region === us ? eu : us;
  const options: RetentionOptions = {
    config: { hours: 24 },
    retentionEveryMs: everyMs,
    region: known.region,
    regions: [eu, us],
    links: {
      nodes: sixNodes,
      membership: sixMembers,
      request: async (_node, request) => {
        if (request.kind === 'retain') requests.push(request);
        return {
          kind: 'retained',
          head: epoch(1),
          images: lsn(800),
          floor: { epoch: epoch(1), lsn: lsn(0) },
          window: lsn(640),
          lowWater: lsn(0),
          logBytes: 900,
          imageBytes: 0,
        };
      },
    },
    view: {
      get record() {
        return known.record;
      },
      survivors: () => [
        {
          region: other,
          held: { ...path, vdl: lsn(known.other.told) },
          heardMsAgo: known.other.heardMsAgo,
        },
      ],
      missing: () => ({ lagMs: 0 }),
    },
    me: () => path,
    lags: () => [{ region: other, vdl: lsn(known.other.acked), lagMs: 0, imagesFrom: null }],
    store,
    looked: (reading) => {
      if (reading.kind === 'record') known.record = reading.view.record;
    },
    isSearching: () => false,
    branches: () => null,
    runtime: machine,
    log: silent,
  };
  open.push(new Retention(options));
  return {
    /** A request of a round that began later. */
    asked: async () => {
      requests.length = 0;
      for (;;) {
        const request = requests.at(-1);
        if (requests.length > sixNodes.length && request !== undefined) return request;
        await sleep(everyMs);
      }
    },
  };
}

const level = { heardMsAgo: 0, told: vdl, acked: vdl };
const knows = (record: ControlRecord | null, more: Partial<Known> = {}): Known => ({
  record,
  stored: record,
  region: eu,
  other: level,
  ...more,
});

describe('R96: a region other than the primary keeps', () => {
  it.each([
    ['all of its log while it knows no record', null, 0],
    ['all of its log while nothing was promised', first, 0],
    ['what was not promised to be let go', promising(300), 300],
  ])('%s', async (_, record, keepFrom) =>
    expect((await agentOf(knows(record)).asked()).keepFrom).toBe(keepFrom),
  );

  it('what an old record promises while that is all it knows', async () => {
    const known = knows(promising(300), { stored: promising(400) });
    expect((await agentOf(known).asked()).keepFrom).toBe(300);
  });
});

describe('R96: the primary', () => {
  it('promises as far as the window of its nodes reaches, and lets go of that afterwards', async () => {
    const known = knows(first, { region: us });
    const { asked } = agentOf(known);
    await asked();
    expect(known.stored?.promised).toEqual({ epoch: 1, lsn: 640 });
    expect((await asked()).keepFrom).toBe(640);
  });

  it('keeps everything while its promise cannot be written', async () => {
    const known = knows(first, { region: us, stored: null });
    const { asked } = agentOf(known);
    await asked();
    expect((await asked()).keepFrom).toBe(0);
  });

  it('promises nothing for a reign that is not its own any more', async () => {
    const known = knows(first, { region: us, stored: { ...first, primary: eu } });
    const { asked } = agentOf(known);
    await asked();
    expect((await asked()).keepFrom).toBe(0);
    expect(known.stored?.promised).toBeUndefined();
  });
});

describe('R60: for a region that is away the log is kept', () => {
  const awayMs = retentionLimits.youngMs + 1;
  it.each([
    ['from what it tells, as long as that is young', { heardMsAgo: 0, told: 100, acked: 200 }, 100],
    [
      'from what it was seen to store after its last word',
      { heardMsAgo: awayMs, told: 100, acked: 200 },
      200,
    ],
    ['from its last word, where less was seen', { heardMsAgo: awayMs, told: 200, acked: 100 }, 200],
  ])('%s', async (_, other, keepFrom) =>
    expect((await agentOf(knows(promising(600), { region: us, other })).asked()).keepFrom).toBe(keepFrom),
  );
});
