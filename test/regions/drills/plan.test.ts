import { describe, expect, it } from 'vitest';
import { type DrillKind, drillKinds, safeKinds } from '../../../regions/drills/core/drill-kinds.ts';
import {
  afterPhase,
  type DrillEvent,
  type DrillState,
  drillPhases,
  isOver,
} from '../../../regions/drills/core/drill-phases.ts';
import { planDrill, whatItNeeds } from '../../../regions/drills/core/drill-plan.ts';
import {
  heirs,
  type StatusSight,
  signSeen,
  unwell,
  unwellUnderLoad,
} from '../../../regions/drills/core/status-sight.ts';
import { asia, east, europe, planOf, scene } from './samples.ts';

describe('the plan of a drill', () => {
  it.each<readonly [DrillKind, string | undefined, string, string, string]>([
    ['region-loss', undefined, 'kill us-east-1', 'start us-east-1', 'failover'],
    ['region-loss', europe, 'kill eu-west-1', 'start eu-west-1', 'none'],
    ['region-freeze', undefined, 'freeze us-east-1', 'thaw us-east-1', 'failover'],
    ['partition', undefined, 'isolate eu-west-1', 'heal eu-west-1', 'none'],
    ['partition', east, 'isolate us-east-1', 'heal us-east-1', 'failover'],
    [
      'az-loss',
      undefined,
      'kill us-east-1/n1, kill us-east-1/n2',
      'start us-east-1/n1, start us-east-1/n2',
      'none',
    ],
    ['node-loss', europe, 'kill eu-west-1/n1', 'start eu-west-1/n1', 'none'],
    ['writer-loss', undefined, 'crash us-east-1/gateway', '', 'none'],
    ['agent-loss', undefined, 'crash us-east-1/agent', '', 'none'],
    ['nats-loss', undefined, 'crash us-east-1/nats', '', 'none'],
    ['slow-link', undefined, 'slow-link eu-west-1 150', 'slow-link eu-west-1 0', 'none'],
    ['slow-disk', undefined, 'slow-disk us-east-1/n1 80', 'slow-disk us-east-1/n1 0', 'none'],
    ['switchover', undefined, '', '', 'switchover'],
    ['switchover', asia, '', '', 'switchover'],
  ])('%s of %s: %s; then %s; move: %s', (kind, region, breaks, heals, move) => {
    const plan = planOf(kind, region);
    const inWords = (deeds: typeof plan.breaks) =>
      deeds
        .map(({ action, target, delayMs }) =>
          [action, target, delayMs].filter((part) => part !== undefined).join(' '),
        )
        .join(', ');
    expect(inWords(plan.breaks)).toBe(breaks);
    expect(inWords(plan.heals)).toBe(heals);
    expect(plan.move).toBe(move);
    // Only what loses a region may lose writes.
    expect(plan.lossless).toBe(move !== 'failover');
  });

  it('heals each deed that does not heal itself', () => {
    for (const kind of drillKinds) {
      const { breaks, heals } = planOf(kind);
      const lasting = breaks.filter(({ action }) => action !== 'crash');
      expect(heals.map(({ target }) => target)).toEqual(lasting.map(({ target }) => target));
    }
  });

  it('is refused with the way out', () => {
    const alone = { ...scene, regions: [east] };
    expect(planDrill('partition', alone)).toMatchObject({
      kind: 'refused',
      code: 'ONE_REGION',
      message: expect.stringContaining('sextant up --regions a,b,c'),
    });
    expect(planDrill('az-loss', alone)).toMatchObject({ kind: 'plan' });
    expect(planDrill('node-loss', scene, 'mars')).toMatchObject({
      code: 'UNKNOWN_REGION',
      message: 'there is no region mars; there are us-east-1, eu-west-1, ap-northeast-1',
    });
    expect(planDrill('switchover', scene, east)).toMatchObject({
      code: 'ALREADY_PRIMARY',
      message: expect.stringContaining('one of eu-west-1, ap-northeast-1'),
    });
    expect(planDrill('node-loss', { ...scene, nodes: {} })).toMatchObject({ code: 'NODES_UNKNOWN' });
  });

  it('says of each kind that breaks something what it needs, and what can be run elsewhere', () => {
    expect(drillKinds.filter((kind) => planOf(kind).breaks.length === 0)).toEqual(safeKinds);
    expect(whatItNeeds('az-loss')).toMatch(/local deployment.*sextant drill az-loss.*switchover/);
  });
});

describe('the phases of a drill', () => {
  const states: readonly DrillState[] = [...drillPhases, 'healing', 'ended', 'refused'];
  const events: readonly DrillEvent[] = ['passed', 'failed', 'interrupted'];

  it('follow one another when each passes', () => {
    const seen: DrillState[] = ['preflight'];
    for (let state: DrillState = 'preflight'; !isOver(state); seen.push(state))
      state = afterPhase(state, 'passed');
    expect(seen).toEqual([...drillPhases, 'ended']);
  });

  it('heal from the moment something may be broken, whatever happens, and always end', () => {
    for (const state of states.filter(
      (name) => !isOver(name) && name !== 'preflight' && name !== 'healing',
    )) {
      expect(afterPhase(state, 'interrupted')).toBe('healing');
      expect(['healing', 'failback']).toContain(afterPhase(state, 'failed'));
    }
    for (const first of states)
      for (const event of events) {
        let state = afterPhase(first, event);
        for (let turn = 0; turn < states.length; turn++) state = afterPhase(state, event);
        expect(isOver(state)).toBe(true);
      }
  });

  it('break nothing before the preflight has passed', () => {
    expect(afterPhase('preflight', 'failed')).toBe('refused');
    expect(afterPhase('preflight', 'interrupted')).toBe('refused');
  });
});

const status = (change: (region: StatusSight['regions'][number]) => object = () => ({})): StatusSight => ({
  cluster: 'test',
  epoch: 4,
  primary: east,
  state: 'stable',
  regions: scene.regions.map((name) => {
    const region = {
      name,
      role: name === east ? 'primary' : 'secondary',
      vdl: 1_000,
      lagBytes: 0,
      lagMs: 0,
      ageMs: 100,
      ready: true,
      nodes: (scene.nodes[name] ?? []).map((node) => ({ ...node, state: 'up' })),
    };
    return { ...region, ...change(region) };
  }),
});

describe('what a drill sees in the status', () => {
  it('is well when everything is, and names what is not', () => {
    expect(unwell(status())).toEqual([]);
    const bent = (name: string, change: object) =>
      unwell(status((region) => (region.name === name ? change : {})));
    expect(bent(asia, { role: 'offline' })).toEqual(['ap-northeast-1 is offline']);
    expect(bent(asia, { ready: false })).toEqual(['ap-northeast-1 is not ready']);
    expect(bent(asia, { lagBytes: 40 })).toEqual(['ap-northeast-1 is 40 bytes behind']);
    expect(bent(asia, { lagBytes: null })).toEqual(['ap-northeast-1 is an unknown number of bytes behind']);
    expect(bent(asia, { nodes: [{ id: 'n3', az: 'b', state: 'down' }] })).toEqual([
      'ap-northeast-1: n3 down',
    ]);
    expect(bent(asia, { trouble: 'no record' })).toEqual(['ap-northeast-1: no record']);
    expect(unwell({ ...status(), state: 'switching' })).toEqual(['the state is switching']);
    expect(unwell({ ...status(), primary: null })).toEqual(['no primary is known']);
  });

  it('lets a secondary be some bytes behind under load, and not late', () => {
    const late = (lagMs: number) => status(({ name }) => (name === asia ? { lagBytes: 300, lagMs } : {}));
    expect(unwellUnderLoad(late(900), 1_000)).toEqual([]);
    expect(unwellUnderLoad(late(1_100), 1_000)).toHaveLength(1);
  });

  const quiet = { dumb: [], restarts: { 'us-east-1/gateway': 2 } };
  it.each([
    ['region-loss', status(), { ...quiet, dumb: [east] }, /do not answer/],
    [
      'region-loss',
      status(({ name }) => (name === east ? { ageMs: 1_200 } : {})),
      quiet,
      /not heard .* 1200 ms/,
    ],
    ['region-loss', status(({ name }) => (name === east ? { role: 'offline' } : {})), quiet, /offline/],
    [
      'az-loss',
      status(({ nodes }) => ({ nodes: nodes.map((node) => ({ ...node, state: 'down' })) })),
      quiet,
      /n1 and n2/,
    ],
    ['writer-loss', status(), { dumb: [], restarts: { 'us-east-1/gateway': 3 } }, /started again/],
    [
      'slow-link',
      status(({ name }) => (name === europe ? { lagMs: 180 } : {})),
      quiet,
      /lags 180 ms, after 0 before/,
    ],
    [
      'slow-disk',
      status(({ nodes }) => ({ nodes: nodes.map((node) => ({ ...node, state: 'behind' })) })),
      quiet,
      /n1 of us-east-1 is behind/,
    ],
  ] as const)('%s is seen by its sign, and not without', (kind, seen, outside, words) => {
    const { sign } = planOf(kind);
    const before = { ...quiet, status: status() };
    expect(signSeen(sign, seen, outside, before)).toMatch(words);
    expect(signSeen(sign, status(), quiet, before)).toBeNull();
    expect(signSeen(sign, null, quiet, before)).toBeNull();
  });

  it('does not take the distance between regions for a slow link', () => {
    const far = status(({ name }) => (name === europe ? { lagMs: 170 } : {}));
    const before = { ...quiet, status: far };
    expect(signSeen(planOf('slow-link').sign, far, quiet, before)).toBeNull();
  });

  it('lets the survivor that holds most take over, and never one that is offline', () => {
    const uneven = status(({ name }) => ({ vdl: name === asia ? 1_200 : 1_000 }));
    expect(heirs(uneven, east)).toEqual([asia, europe]);
    const gone = status(({ name }) => (name === europe ? { role: 'offline' } : {}));
    expect(heirs(gone, east)).toEqual([asia]);
  });
});
