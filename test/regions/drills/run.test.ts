/** A drill's steps on a deployment that is only pretended, so that it can fail in any of them. */
import { describe, expect, it } from 'vitest';
import { drillRequestSchema } from '../../../regions/drills/core/drill-kinds.ts';
import type { Deed } from '../../../regions/drills/core/drill-plan.ts';
import { expectedChecksum, type LedgerEntry } from '../../../regions/drills/core/ledger.ts';
import type { LossLook } from '../../../regions/drills/core/losses-since.ts';
import type { Load } from '../../../regions/drills/load/load-link.ts';
import { drillClock } from '../../../regions/drills/load/machine-clock.ts';
import { DrillLog } from '../../../regions/drills/run/drill-log.ts';
import { DrillRun } from '../../../regions/drills/run/drill-run.ts';
import type { Begun, DrillTarget } from '../../../regions/drills/run/drill-target.ts';
import { DrillRefused, prepare } from '../../../regions/drills/run/preflight.ts';
import type { Operation } from '../../../regions/moves/core/operations.ts';
import { asia, clients, drill, east, europe, regions, scene, traceOf } from './samples.ts';

/** A deployment of three regions that does what it is told, as long as nothing is planted in it. */
class Pretended implements DrillTarget {
  readonly canBreak: boolean = true;
  readonly authority = null;
  readonly regions = regions.map((region) => ({
    region,
    gateway: `http://${region}`,
    agent: null,
    token: null,
  }));
  readonly deeds: string[] = [];
  readonly moves: string[] = [];
  primary: string = east;
  broken = new Set<string>();
  /** Planted: what cannot be done, who does not answer, what a move is told, what a policy does. */
  undoable: readonly Deed['action'][] = [];
  refusal: { readonly code: string; readonly message: string } | null = null;
  automatic: boolean = false;
  missing: readonly string[] = [];
  onDeed: (deed: Deed) => void = () => undefined;

  status = async () => ({
    cluster: 'pretended',
    epoch: 4 + this.moves.length,
    primary: this.primary,
    state: 'stable',
    regions: regions.map((name) => ({
      name,
      role: this.broken.has(name) ? 'offline' : name === this.primary ? 'primary' : 'secondary',
      vdl: name === asia ? 90 : 100,
      lagBytes: 0,
      lagMs: 0,
      ageMs: 50,
      ready: true,
      nodes: (scene.nodes[name] ?? []).map((node) => ({
        ...node,
        state: this.broken.has(`${name}/${node.id}`) ? 'down' : 'up',
      })),
    })),
  });

  outside = async () => ({ dumb: regions.filter((name) => this.broken.has(name)), restarts: {} });
  disorder = async () => [...this.broken].map((what) => `${what} is stopped`);
  perform = async (deed: Deed) => {
    if (this.undoable.includes(deed.action)) throw new Error(`cannot ${deed.action}`);
    this.deeds.push(`${deed.action} ${deed.target}`);
    if (deed.action === 'start' || deed.action === 'thaw' || deed.action === 'heal')
      this.broken.delete(deed.target);
    else this.broken.add(deed.target);
    this.onDeed(deed);
    if (this.automatic && this.broken.has(this.primary)) this.primary = europe;
  };

  begin = async (kind: 'switchover' | 'failover', to: string): Promise<Begun> => {
    if (this.refusal !== null) return { kind: 'refused', ...this.refusal };
    this.moves.push(`${kind} ${to}`);
    const from = this.primary;
    this.primary = to;
    const now = drillClock.now();
    const operation: Operation = {
      id: `${to}.1`,
      kind,
      target: to,
      from,
      state: 'done',
      phases: [{ name: 'promoting', startedAtMs: drillClock.wallOf(now), endedAtMs: drillClock.wallOf(now) }],
      result: { epoch: 5 },
    };
    return { kind: 'begun', operation };
  };
  operation = async (): Promise<Operation | null> => null;
  failsOverByItself = async () => this.automatic;
  losses = async (): Promise<LossLook> => ({ reports: [], unreachable: this.missing, unanswered: [] });
}

/** A load whose every write is acknowledged at once, and shown by every region but one that may be planted. */
class PretendedLoad implements Load {
  readonly written: LedgerEntry[] = [];
  dead: string | null = null;
  ended: boolean | null = null;
  /** Planted: a region that does not replay. */
  stuck: string | null = null;
  #writer: NodeJS.Timeout | undefined;

  get entries(): readonly LedgerEntry[] {
    return this.written;
  }
  run(): void {
    this.#writer = setInterval(() => {
      const id = this.written.length + 1;
      const now = drillClock.now();
      this.written.push({
        id,
        client: id % clients.length,
        sentAtMs: now,
        endedAtMs: now,
        outcome: 'acknowledged',
        code: null,
        traceId: traceOf(id),
      });
    }, 5);
  }
  async pause() {
    clearInterval(this.#writer);
    return 0;
  }
  async read() {
    return regions.map((region) => ({
      region,
      reason: null,
      rows: new Map(
        (region === this.stuck ? [] : this.written).map(({ id, client }) => [
          id,
          expectedChecksum(drill, id, client),
        ]),
      ),
    }));
  }
  async end(dropTable: boolean) {
    clearInterval(this.#writer);
    this.ended = dropTable;
  }
}

const patience = { seenMs: 1_000, backMs: 20_000, wholeMs: 1_000, policyMs: 300, settleMs: 100 };

async function run(
  kind: string,
  plant: (target: Pretended, load: PretendedLoad, stop: AbortController) => void = () => undefined,
) {
  const [target, load, stop] = [new Pretended(), new PretendedLoad(), new AbortController()];
  const request = { ...drillRequestSchema.parse({ kind }), seconds: 0.1 };
  plant(target, load, stop);
  const lines: string[] = [];
  const options = {
    id: drill,
    request,
    target,
    load,
    log: new DrillLog((line) => lines.push(line)),
    prepared: await prepare(drill, request, target),
    signal: stop.signal,
    traceId: traceOf(1),
    versions: {},
    machine: {},
    patience,
  };
  const report = await new DrillRun(options).run();
  const red = report.checks.filter(({ held }) => !held).map(({ name }) => name);
  return { report, target, load, lines, red };
}

describe('a drill', { timeout: 60_000 }, () => {
  it('of a lost region fails over to the survivor that holds most, heals, and moves back', async () => {
    const { report, target, load, red } = await run('region-loss');
    expect(red).toEqual([]);
    expect(report).toMatchObject({ passed: true, primaryAfter: east, regionsEqual: true });
    expect(target.deeds).toEqual([`kill ${east}`, `start ${east}`]);
    expect(target.moves).toEqual([`failover ${europe}`, `switchover ${east}`]);
    expect(load.ended).toBe(true);
  });

  it('leaves the failover to the policy where there is one', async () => {
    const { report, target } = await run('region-loss', (planted) => {
      planted.automatic = true;
    });
    expect(target.moves).toEqual([`switchover ${east}`]);
    expect(report.checks).toContainEqual({
      name: 'the policy fails over by itself',
      held: true,
      detail: `${europe} took over`,
    });
  });

  it('is red when the policy does not act, and fails over by hand then', async () => {
    const { target, red } = await run('region-loss', (planted) => {
      planted.failsOverByItself = async () => true;
    });
    expect(red).toEqual(['the policy fails over by itself']);
    expect(target.moves[0]).toBe(`failover ${europe}`);
  });

  it('is red when a region does not replay, keeps the rows, and moves the primary back all the same', async () => {
    const { report, target, load, red } = await run('region-loss', (_, planted) => {
      planted.stuck = asia;
    });
    expect(red).toContain('every region shows the same rows');
    expect(report).toMatchObject({ passed: false, regionsEqual: false, primaryAfter: east });
    expect(target.moves.at(-1)).toBe(`switchover ${east}`);
    expect(load.ended).toBe(false);
  });

  it('is red when a region has not answered about lost writes', async () => {
    const { red } = await run('node-loss', (planted) => {
      planted.missing = [europe];
    });
    expect(red).toContain('every region has answered about lost writes');
  });

  it('heals what it broke when somebody stops it, and says so', async () => {
    const { report, target, lines } = await run('az-loss', (planted, _, stop) => {
      planted.onDeed = ({ target: node }) => {
        if (node.endsWith('n2')) stop.abort();
      };
    });
    expect(target.deeds).toEqual([
      `kill ${east}/n1`,
      `kill ${east}/n2`,
      `start ${east}/n2`,
      `start ${east}/n1`,
    ]);
    expect(report).toMatchObject({ passed: false, interrupted: true });
    expect(lines.join('\n')).toMatch(/healing .*what was broken is healed/);
  });

  it('moves back, too, when it is stopped after a failover', async () => {
    const { report, target } = await run('region-loss', (planted, _, stop) => {
      planted.onDeed = ({ action }) => {
        if (action === 'start') stop.abort();
      };
    });
    expect(target.moves).toEqual([`failover ${europe}`, `switchover ${east}`]);
    expect(report).toMatchObject({ interrupted: true, primaryAfter: east });
  });

  it('waits for a move that was under way when it was stopped, and moves back after it', async () => {
    const { report, target } = await run('switchover', (planted, _, stop) => {
      const { begin } = planted;
      let ended: Operation | null = null;
      planted.operation = async () => ended;
      // Of the first move its taker says that it runs; the primary is moved when nobody watches any more.
      planted.begin = async (kind, to) => {
        if (planted.moves.length > 0) return begin(kind, to);
        const from = planted.primary;
        const begun = await begin(kind, to);
        if (begun.kind !== 'begun') return begun;
        planted.primary = from;
        setTimeout(() => {
          planted.primary = to;
          ended = begun.operation;
        }, 400);
        setTimeout(() => stop.abort(), 100);
        return { ...begun, operation: { ...begun.operation, state: 'running' } };
      };
    });
    expect(target.moves).toEqual([`switchover ${europe}`, `switchover ${east}`]);
    expect(report).toMatchObject({ interrupted: true, primaryAfter: east });
  });

  it('says what has to be done by hand when it cannot heal', async () => {
    const { report, lines, red } = await run('node-loss', (planted) => {
      planted.undoable = ['start'];
    });
    expect(report.passed).toBe(false);
    expect(red).toEqual(expect.arrayContaining(['recovery succeeds', 'healing succeeds']));
    expect(lines.join('\n')).toContain(`by hand, where it has not been done: sextant node start ${east}/n1`);
  });

  it('heals when the move is refused for good, or the load dies', async () => {
    const refused = await run('region-loss', (planted) => {
      planted.refusal = { code: 'NEVER', message: 'not in this life' };
    });
    expect(refused.red).toContain('recovery succeeds');
    expect(refused.target.deeds).toContain(`start ${east}`);
    const dead = await run('node-loss', (planted, load) => {
      planted.onDeed = () => {
        load.dead = 'the load ended';
      };
    });
    expect(dead.red).toContain('the load runs throughout');
    expect(dead.target.deeds).toContain(`start ${east}/n1`);
  });

  it('is red when nothing tells of the fault', async () => {
    const { red, target } = await run('region-loss', (planted) => {
      planted.onDeed = () => planted.broken.clear();
    });
    expect(red).toContain('detection succeeds');
    expect(target.deeds).toEqual([`kill ${east}`, `start ${east}`]);
  });
});

it('where PostgreSQL keeps the databases each region has one client, at its address', async () => {
  const target = new Pretended();
  const { status } = target;
  const prepared = await prepare(
    drill,
    drillRequestSchema.parse({ kind: 'region-loss' }),
    Object.assign(target, {
      regions: target.regions.map((address) => ({
        ...address,
        token: 'of another protocol',
        postgres: { url: `postgres://app@${address.region}:5432/main`, password: 'pencil' },
      })),
      status: async () => {
        const seen = await status();
        return { ...seen, regions: seen.regions.map((region) => ({ ...region, postgres: 'x:1' })) };
      },
    }),
  );
  expect(prepared.clients).toEqual(
    regions.map((region) => ({
      region,
      transport: 'postgres',
      url: `postgres://app@${region}:5432/main`,
      token: 'pencil',
    })),
  );
});

describe('the preflight refuses, with the way out', () => {
  const refusal = async (kind: string, plant: (target: Pretended) => void): Promise<DrillRefused> => {
    const target = new Pretended();
    plant(target);
    const request = drillRequestSchema.parse({ kind });
    const error: unknown = await prepare(drill, request, target, 300).catch((reason) => reason);
    if (error instanceof DrillRefused) return error;
    throw new Error('not refused');
  };

  it('what breaks processes where nobody can undo it', async () => {
    const { code, message } = await refusal('az-loss', (target) =>
      Object.assign(target, { canBreak: false }),
    );
    expect(code).toBe('LOCAL_ONLY');
    expect(message).toContain('sextant up');
    const target = Object.assign(new Pretended(), { canBreak: false });
    const prepared = await prepare(drill, drillRequestSchema.parse({ kind: 'switchover' }), target);
    expect(prepared.plan.region).toBe(europe);
  });

  it('a deployment that does not answer, or does not say what was lost before', async () => {
    const silent = await refusal('az-loss', (target) => Object.assign(target, { status: async () => null }));
    expect(silent).toMatchObject({ code: 'NOT_RUNNING', message: expect.stringContaining('sextant up') });
    const mute = await refusal('az-loss', (target) => Object.assign(target, { losses: async () => null }));
    expect(mute.code).toBe('LOSSES_UNKNOWN');
  });

  it('a region whose gateway nobody named', async () => {
    const { code } = await refusal('switchover', (target) =>
      Object.assign(target, { regions: target.regions.slice(0, 2) }),
    );
    expect(code).toBe('REGION_UNNAMED');
  });

  it('PostgreSQL databases of which nobody named the address', async () => {
    const { code, message } = await refusal('switchover', (target) => {
      const { status } = target;
      const withPostgres = async () => {
        const seen = await status();
        return { ...seen, regions: seen.regions.map((region) => ({ ...region, postgres: '127.0.0.1:1' })) };
      };
      Object.assign(target, { status: withPostgres });
    });
    expect(code).toBe('POSTGRES_UNNAMED');
    expect(message).toContain('`postgres`');
  });

  it('a deployment that is not whole, naming what is wrong', async () => {
    const { code, message } = await refusal('node-loss', (target) => target.broken.add(`${asia}/n4`));
    expect(code).toBe('DEGRADED');
    expect(message).toContain(`${asia}/n4 is stopped; ${asia}: n4 down`);
  });
});
