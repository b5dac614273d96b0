/** What a region's agent asks of its nodes, by what it knows of the primary. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { Retention, type RetentionOptions } from '../../../regions/retention/retention.ts';
import { machine } from '../../../storage/process/runtime.ts';
import { epoch, lsn, type RegionId, regionId } from '../../../storage/redo/ids.ts';
import type { RetainRequest } from '../../../storage/wire/core/messages.ts';
import { silent } from '../../storage/region-harness.ts';
import { fork, sixMembers, sixNodes } from '../../storage/samples.ts';

const [us, eu, ap] = ['us-east-1', 'eu-west-1', 'ap-northeast-1'].map(regionId) as [
  RegionId,
  RegionId,
  RegionId,
];
const forks = [fork(1, 0, 0)];
const vdl = lsn(900);
const everyMs = 5;

/** What an agent of `eu` knows; a test changes it. */
interface Known {
  primary: RegionId;
  /** What the control record says when it is read; null: it cannot be read. */
  reads: RegionId | null;
  /** Floors of a region's nodes, as it last said. */
  readonly floors: Map<string, readonly number[]>;
}

const open: Retention[] = [];
afterEach(() => {
  for (const retention of open.splice(0)) retention.close();
});

function agentOf(known: Known): {
  readonly retention: Retention;
  readonly asked: () => Promise<RetainRequest>;
} {
  const requests: RetainRequest[] = [];
  const options: RetentionOptions = {
    config: { hours: 24 },
    retentionEveryMs: everyMs,
    region: eu,
    regions: [eu, us],
    links: {
      nodes: sixNodes,
      membership: sixMembers,
      request: async (_node, request) => {
        if (request.kind === 'retain') requests.push(request);
        return { kind: 'unanswered', reason: 'a test' };
      },
    },
    view: {
      get record() {
        return { primary: known.primary };
      },
      lastReport: (region) => {
        const floors = known.floors.get(region);
        return floors === undefined
          ? null
          : { epoch: 1, forks: [...forks], nodes: floors.map((floor) => ({ floor })) };
      },
      survivors: () => [{ region: us, held: { epoch: epoch(1), vdl, forks }, heardMsAgo: 0 }],
      missing: () => ({ lagMs: 0 }),
    },
    me: () => ({ epoch: epoch(1), vdl, forks }),
    lags: () => [],
    readRecord: async () => {
      if (known.reads === null) return false;
      known.primary = known.reads;
      return true;
    },
    isSearching: () => false,
    branches: () => null,
    runtime: machine,
    log: silent,
  };
  const retention = new Retention(options);
  open.push(retention);
  return {
    retention,
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

const knows = (more: Partial<Known> = {}): Known => ({ primary: us, reads: us, floors: new Map(), ...more });
const six = (floor: number): readonly number[] => sixNodes.map(() => floor);

describe('R96: a secondary keeps', () => {
  it('all of its log until it has heard the primary, and then what five nodes there keep', async () => {
    const known = knows();
    const { asked } = agentOf(known);
    expect((await asked()).keepFrom).toBe(0);
    known.floors.set(us, [300, 300, 300, 300, 300, 700]);
    expect((await asked()).keepFrom).toBe(300);
  });

  it('what a new primary keeps, which may be more than the last one kept', async () => {
    const known = knows({ floors: new Map([[us, six(300)]]) });
    const { asked, retention } = agentOf(known);
    expect((await asked()).keepFrom).toBe(300);
    known.primary = ap;
    known.floors.set(ap, six(200));
    expect((await asked()).keepFrom).toBe(200);
    expect(retention.promised({ epoch: epoch(1), vdl, forks })).toBe(300);
  });
});

describe('R96: who takes himself for the primary', () => {
  it('lets go as he likes once the record says so, and keeps everything while it cannot be read', async () => {
    const known = knows({ primary: eu, reads: eu, floors: new Map([[eu, six(200)]]) });
    const { asked } = agentOf(known);
    expect((await asked()).keepFrom).toBe(vdl);
    known.reads = null;
    expect((await asked()).keepFrom).toBe(0);
  });

  it('is bound by another primary as soon as the record sixNodes that', async () => {
    const known = knows({ primary: eu, reads: us, floors: new Map([[us, six(300)]]) });
    expect((await agentOf(known).asked()).keepFrom).toBe(300);
  });

  it('lets no branch leave below what he heard promised while he was none', async () => {
    const known = knows({
      floors: new Map([
        [us, six(300)],
        [eu, six(200)],
      ]),
    });
    const { asked, retention } = agentOf(known);
    await asked();
    known.primary = eu;
    known.reads = eu;
    await asked();
    expect(retention.promised({ epoch: epoch(1), vdl, forks })).toBe(300);
  });
});
