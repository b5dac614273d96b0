/**
 * What a drill does, decided before anything is broken: which deeds break and which heal, how the fault is seen from outside,
 * whether the primary moves, whose clients are the stopwatch, and what has to hold.
 */
import type { DrillKind } from './drill-kinds.ts';

/** Something done to a part of a deployment, as its supervisor takes it. `target` is a region or a process such as `us-east-1/n1`. */
export interface Deed {
  readonly action:
    | 'kill'
    | 'start'
    | 'freeze'
    | 'thaw'
    | 'isolate'
    | 'heal'
    | 'crash'
    | 'slow-link'
    | 'slow-disk';
  readonly target: string;
  /** For what is slow: how much longer it takes. 0 ends it. */
  readonly delayMs?: number;
}

/** How a fault is seen by somebody who did not cause it. */
export type Sign =
  | { readonly kind: 'region-silent'; readonly region: string }
  | { readonly kind: 'nodes-down'; readonly region: string; readonly nodes: readonly string[] }
  | { readonly kind: 'process-restarted'; readonly process: string }
  | { readonly kind: 'lag-above'; readonly region: string; readonly ms: number }
  | { readonly kind: 'node-behind'; readonly region: string; readonly node: string }
  /** Nothing is broken, so nothing has to be seen. */
  | { readonly kind: 'none' };

export interface DrillPlan {
  readonly kind: DrillKind;
  /** Where the fault is; for a switchover, where the primary goes. */
  readonly region: string;
  readonly breaks: readonly Deed[];
  readonly heals: readonly Deed[];
  readonly sign: Sign;
  /** The primary moves: away from a region that is lost, or as planned; and back at the end. */
  readonly move: 'none' | 'failover' | 'switchover';
  /** Whose clients time the outage: everybody, or those of the regions that are not broken. */
  readonly stopwatch: 'everybody' | 'survivors';
  /** No request of those clients may fail. */
  readonly strict: boolean;
  /** Nothing that was acknowledged may be lost. */
  readonly lossless: boolean;
  /** Longest time without an acknowledged write that the product's promise allows; null when it promises no figure. */
  readonly stallMsMax: number | null;
}

/** The deployment as a plan needs to know it. */
export interface Scene {
  readonly regions: readonly string[];
  readonly primary: string;
  /** Storage nodes by region. */
  readonly nodes: Readonly<Record<string, readonly { readonly id: string; readonly az: string }[]>>;
  /** The process of the gateway that writes, or would, by region; left out where there is one. */
  readonly writers?: Readonly<Record<string, string>>;
}

export interface Refusal {
  readonly code: string;
  /** Why not, and the way out. */
  readonly message: string;
}

export type Planned =
  | { readonly kind: 'plan'; readonly plan: DrillPlan }
  | ({ readonly kind: 'refused' } & Refusal);

/** Delays that are far above what a healthy deployment shows, and far below what its limits call silence. */
export const slowness = { linkMs: 150, diskMs: 80 } as const;

/** Writes go on when copies, an agent or a disk are in trouble: a pause above this is not "going on". */
const goesOnMs = 2_000;
/** Losing a secondary region, its vote on the control record included, may cost an election; writes wait and do not fail. */
const electionMs = 10_000;

const secondaryFirst: readonly DrillKind[] = ['partition', 'slow-link', 'switchover'];
const needsTwo: readonly DrillKind[] = [
  'region-loss',
  'region-freeze',
  'partition',
  'slow-link',
  'switchover',
];

const refused = (code: string, message: string): Planned => ({ kind: 'refused', code, message });

/** @param wanted the region that was named, if one was. */
export function planDrill(kind: DrillKind, scene: Scene, wanted?: string): Planned {
  const { regions, primary } = scene;
  if (wanted !== undefined && !regions.includes(wanted))
    return refused('UNKNOWN_REGION', `there is no region ${wanted}; there are ${regions.join(', ')}`);
  if (needsTwo.includes(kind) && regions.length < 2)
    return refused(
      'ONE_REGION',
      `${kind} needs a second region, and this deployment has ${primary} alone: start one with \`sextant up --regions a,b,c\`, ` +
        'or rehearse az-loss, node-loss, writer-loss, agent-loss, nats-loss or slow-disk here',
    );
  const secondary = regions.find((name) => name !== primary);
  const region = wanted ?? (secondaryFirst.includes(kind) ? secondary : undefined) ?? primary;
  if (kind === 'switchover' && region === primary)
    return refused(
      'ALREADY_PRIMARY',
      `${region} is the primary already: name another region to move to, one of ${regions.filter((name) => name !== primary).join(', ')}`,
    );
  const shape = shapeOf(kind, region, scene);
  return shape === null
    ? refused('NODES_UNKNOWN', `the storage nodes of ${region} are not known: look at \`sextant status\``)
    : { kind: 'plan', plan: { kind, region, ...shape } };
}

type Shape = Omit<DrillPlan, 'kind' | 'region'>;

const calm = {
  move: 'none',
  stopwatch: 'everybody',
  strict: true,
  lossless: true,
  stallMsMax: goesOnMs,
} as const;

/** A whole region is gone for the others; if it wrote, another one takes over. */
function regionGone(breaks: Deed['action'], heals: Deed['action'], region: string, scene: Scene): Shape {
  const writes = region === scene.primary;
  return {
    breaks: [{ action: breaks, target: region }],
    heals: [{ action: heals, target: region }],
    sign: { kind: 'region-silent', region },
    move: writes ? 'failover' : 'none',
    stopwatch: 'survivors',
    strict: !writes,
    lossless: !writes,
    stallMsMax: writes ? null : electionMs,
  };
}

function nodesGone(region: string, nodes: readonly string[]): Shape {
  return {
    ...calm,
    breaks: nodes.map((id) => ({ action: 'kill', target: `${region}/${id}` })),
    heals: nodes.map((id) => ({ action: 'start', target: `${region}/${id}` })),
    sign: { kind: 'nodes-down', region, nodes },
  };
}

/** A process that dies as a crash would have it: its supervisor starts it again, so that nothing is left to heal. */
function crashed(process: string, more: Partial<Shape>): Shape {
  return {
    ...calm,
    breaks: [{ action: 'crash', target: process }],
    heals: [],
    sign: { kind: 'process-restarted', process },
    ...more,
  };
}

function shapeOf(kind: DrillKind, region: string, scene: Scene): Shape | null {
  const nodes = scene.nodes[region] ?? [];
  const first = nodes[0];
  switch (kind) {
    case 'region-loss':
      return regionGone('kill', 'start', region, scene);
    case 'region-freeze':
      return regionGone('freeze', 'thaw', region, scene);
    case 'partition':
      return regionGone('isolate', 'heal', region, scene);
    case 'az-loss':
      return first === undefined
        ? null
        : nodesGone(
            region,
            nodes.filter(({ az }) => az === first.az).map(({ id }) => id),
          );
    case 'node-loss':
      return first === undefined ? null : nodesGone(region, [first.id]);
    case 'writer-loss':
      return crashed(`${region}/${scene.writers?.[region] ?? 'gateway'}`, {
        strict: false,
        stallMsMax: null,
      });
    case 'agent-loss':
      return crashed(`${region}/agent`, {});
    case 'nats-loss':
      return crashed(`${region}/nats`, { strict: false, stallMsMax: null });
    case 'slow-link':
      return {
        ...calm,
        breaks: [{ action: 'slow-link', target: region, delayMs: slowness.linkMs }],
        heals: [{ action: 'slow-link', target: region, delayMs: 0 }],
        // The slow link of a primary makes every secondary late; that of a secondary makes it late itself.
        sign: {
          kind: 'lag-above',
          region:
            region === scene.primary
              ? (scene.regions.find((name) => name !== scene.primary) ?? region)
              : region,
          ms: slowness.linkMs,
        },
      };
    case 'slow-disk':
      return first === undefined
        ? null
        : {
            ...calm,
            breaks: [{ action: 'slow-disk', target: `${region}/${first.id}`, delayMs: slowness.diskMs }],
            heals: [{ action: 'slow-disk', target: `${region}/${first.id}`, delayMs: 0 }],
            sign: { kind: 'node-behind', region, node: first.id },
          };
    case 'switchover':
      return {
        ...calm,
        breaks: [],
        heals: [],
        sign: { kind: 'none' },
        move: 'switchover',
        stallMsMax: null,
      };
  }
}

/** What a drill needs that only the machine of the deployment has; for kinds that cannot run elsewhere. */
export function whatItNeeds(kind: DrillKind): string {
  return (
    `${kind} breaks processes, which only the supervisor of a local deployment can do and undo: ` +
    'run it on one (`sextant up`, then `sextant drill ' +
    `${kind}\`), or rehearse \`switchover\` here, which breaks nothing`
  );
}

/** A deed as a line of the timeline; where there is a command for it, that command. */
export function inWords({ action, target, delayMs }: Deed): string {
  switch (action) {
    case 'slow-link':
      return delayMs === 0
        ? `the link of ${target} is fast again`
        : `the link of ${target} takes ${delayMs} ms longer`;
    case 'slow-disk':
      return delayMs === 0
        ? `flushes of ${target} are fast again`
        : `flushes of ${target} take ${delayMs} ms longer`;
    case 'crash':
      return `kill -9 ${target}`;
    default:
      return `sextant ${target.includes('/') ? 'node' : 'region'} ${action} ${target}`;
  }
}
