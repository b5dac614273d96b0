/** Events as a gateway tells them, for tests of what the page makes of them. */
import type {
  LiveEvent,
  RegionReadiness,
  RegionStatus,
} from '../../../gateway/console/page/core/api-types.ts';

export function region(name: string, change: Partial<RegionStatus> = {}): RegionStatus {
  return {
    name,
    role: name === 'us-east-1' ? 'primary' : 'secondary',
    epoch: 3,
    vdl: 1_000,
    lagBytes: name === 'us-east-1' ? 0 : 64,
    lagMs: name === 'us-east-1' ? 0 : 12,
    rpoMs: 0,
    stalledMs: 0,
    holdsMs: 0,
    ageMs: 90,
    ready: true,
    headless: false,
    gateway: '127.0.0.1:1',
    gateways: [],
    agent: '127.0.0.1:2',
    writer: name === 'us-east-1' ? 'g1' : null,
    versions: {},
    nodes: ['a', 'a', 'b', 'b', 'c', 'c'].map((zone, at) => ({
      id: `n${at + 1}`,
      az: `${name}${zone}`,
      state: 'up',
      scl: 1_000,
      pid: at,
      address: '127.0.0.1:3',
    })),
    ...change,
  };
}

export function readiness(name: string): RegionReadiness {
  const move = { possible: true, reason: null, aboutMs: 1_900, madeOf: null };
  const wouldLose = { commits: 0, commitsExact: true, bytes: 0, ms: 0 };
  return {
    region: name,
    ready: true,
    reasons: [],
    ageMs: 90,
    switchover: move,
    failover: { ...move, wouldLose },
  };
}

type Change = Partial<Omit<LiveEvent, 'status'>> & { readonly status?: Partial<LiveEvent['status']> };

export function event({ status, ...change }: Change = {}): LiveEvent {
  return {
    atMs: 1_000,
    region: 'us-east-1',
    gateway: 'g1',
    version: '0.1.0',
    page: 'abc',
    jaegerUrl: null,
    status: {
      cluster: 'test',
      engine: 'sqlite',
      epoch: 3,
      primary: 'us-east-1',
      state: 'stable',
      holder: 'us-east-1/g1',
      policy: null,
      failover: { automatic: false, reason: null, suspectedBy: [] },
      hold: null,
      branches: [],
      regions: [region('us-east-1'), region('eu-west-1')],
      ...status,
    },
    readiness: { epoch: 3, primary: 'us-east-1', regions: [readiness('eu-west-1')] },
    move: null,
    writes: null,
    forks: [],
    lossEpochs: [],
    ...change,
  };
}
