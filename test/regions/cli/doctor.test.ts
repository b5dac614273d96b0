import { describe, expect, test } from 'vitest';
import {
  type Check,
  checkDeployment,
  checkMachine,
  checkProcesses,
  type DeploymentFacts,
  doctorLimits,
  type MachineFacts,
  type RegionFacts,
} from '../../../regions/cli/doctor/core/diagnosis.ts';

const notOk = (checks: readonly Check[]): readonly string[] =>
  checks
    .filter(({ level }) => level !== 'ok')
    .map(({ level, subject, text }) => `${level} ${subject}: ${text}`);

describe('the machine', () => {
  const well: MachineFacts = {
    nodeVersion: '24.1.0',
    diskFreeBytes: 10 * doctorLimits.diskWarnBytes,
    memoryFreeBytes: 4 * doctorLimits.memoryWarnBytes,
    openFiles: doctorLimits.openFilesWarn,
    dataDir: '/data',
    dataMode: 0o700,
    nats: { path: '/usr/sbin/nats-server', version: '2.9.10' },
  };

  test('that is well has nothing to be said about', () => {
    expect(notOk(checkMachine(well))).toEqual([]);
    expect(
      notOk(checkMachine({ ...well, diskFreeBytes: null, openFiles: null, dataMode: null, nats: null })),
    ).toEqual([]);
  });

  test.each<[string, Partial<MachineFacts>, string]>([
    [
      'a disk that is nearly full',
      { diskFreeBytes: doctorLimits.diskWarnBytes - 1 },
      'warn disk: 5.0 GiB free',
    ],
    ['a disk that is full soon', { diskFreeBytes: doctorLimits.diskBadBytes - 1 }, 'bad disk: 1.0 GiB free'],
    ['little memory', { memoryFreeBytes: 0 }, 'warn memory: 0.0 GiB free'],
    ['few open files', { openFiles: 1_024 }, 'warn open files: a process may open 1024 files'],
    [
      'a directory that others read',
      { dataMode: 0o755 },
      'warn data directory: /data can be read by others (mode 755)',
    ],
    [
      'no NATS server',
      { nats: { error: 'nats-server is not installed' } },
      'bad nats-server: nats-server is not',
    ],
  ])('%s is told', (_what, change, told) => {
    const found = notOk(checkMachine({ ...well, ...change }));
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(told);
  });
});

describe('processes', () => {
  const runs = { id: 'us/n1', state: 'running', restarts: 0, lastExit: null, trouble: null, log: '/l' };

  test('that all run are one line', () => {
    expect(checkProcesses([runs, runs])).toMatchObject([
      { level: 'ok', text: expect.stringContaining('all 2') },
    ]);
  });

  test('are named with their log when they do not run, are unwell, or were restarted', () => {
    const checks = checkProcesses([
      runs,
      { ...runs, id: 'us/n2', state: 'crash-looping', lastExit: 'exit code 1' },
      { ...runs, id: 'us/nats', trouble: 'its disk is full' },
      { ...runs, id: 'us/agent', restarts: 2, lastExit: 'signal SIGKILL' },
    ]);
    expect(notOk(checks)).toEqual([
      'bad us/n2: is crash-looping (exit code 1)',
      'warn us/nats: its disk is full',
      'warn us/agent: has been restarted 2 times, last: signal SIGKILL',
    ]);
    for (const { advice } of checks) expect(advice).toContain('/l');
  });

  test('without a supervisor are bad, with the way out', () => {
    expect(checkProcesses(null)).toMatchObject([
      { level: 'bad', advice: expect.stringContaining('sextant up') },
    ]);
  });
});

describe('the deployment', () => {
  const nodes = (down: number): RegionFacts['nodes'] =>
    [1, 2, 3, 4, 5, 6].map((at) => ({
      id: `n${at}`,
      state: at <= down ? 'down' : 'up',
      role: null,
      append: null,
    }));
  const region = (name: string, change: Partial<RegionFacts> = {}): RegionFacts => ({
    name,
    role: name === 'us' ? 'primary' : 'secondary',
    ready: true,
    stalledMs: 0,
    trouble: null,
    versions: { agent: '0.1.0', 'storage/n1': '0.1.0' },
    nodes: nodes(0),
    ...change,
  });
  const well: DeploymentFacts = {
    state: 'stable',
    primary: 'us',
    automatic: true,
    automaticRefusal: null,
    regions: [region('us'), region('eu')],
    ownVersion: '0.1.0',
    takeover: [{ region: 'eu', reasons: [] }],
    unheard: [],
    lostWrites: 0,
    clocks: [{ url: 'http://us', aheadMs: 400, errorMs: 500 }],
    notReady: [],
  };

  test('with a node that is far slower than the others: proposes to replace it, once that has lasted', () => {
    const slow = (slowMs: number) =>
      nodes(0).map((node) =>
        node.id === 'n3' ? { ...node, append: { p50Ms: 90, p99Ms: 400, slowMs } } : node,
      );
    const said = (slowMs: number) =>
      checkDeployment({ ...well, regions: [region('us', { nodes: slow(slowMs) }), region('eu')] }).filter(
        ({ level }) => level !== 'ok',
      );
    expect(said(59_999)).toEqual([]);
    expect(said(60_000)).toMatchObject([
      { level: 'warn', subject: 'us', advice: expect.stringContaining('sextant node replace us/n3') },
    ]);
  });

  test('in the middle of a replacement says so, and how to go on or give it up', () => {
    const seven: RegionFacts['nodes'] = [
      ...nodes(0).map((node) => (node.id === 'n6' ? { ...node, role: 'leaving' } : node)),
      { id: 'n7', state: 'behind', role: 'joining', append: null },
    ];
    const said = checkDeployment({ ...well, regions: [region('us', { nodes: seven }), region('eu')] });
    expect(said).toContainEqual({
      subject: 'us',
      level: 'warn',
      text: 'n7 is taking the place of n6',
      advice: expect.stringContaining('sextant node replace us/n6 --resume'),
    });
  });

  test('that is well has nothing to be said about', () => {
    expect(notOk(checkDeployment(well))).toEqual([]);
    expect(notOk(checkDeployment({ ...well, automatic: false }))).toEqual([]);
  });

  test.each<[string, Partial<DeploymentFacts>, string]>([
    [
      'a node that is down',
      { regions: [region('eu', { nodes: nodes(1) })] },
      'warn eu: n1 does not answer; 5 of 6',
    ],
    [
      'the last node but four',
      { regions: [region('eu', { nodes: nodes(2) })] },
      'warn eu: n1, n2 do not answer; 4 of 6',
    ],
    [
      'a lost quorum',
      { regions: [region('us', { nodes: nodes(3) })] },
      'bad us: 3 of 6 storage nodes answer',
    ],
    [
      'a process that is two versions ahead',
      { regions: [region('us'), region('eu', { versions: { 'storage/n2': '0.3.0' } })] },
      'bad versions: storage/n2 of eu runs 0.3.0, 2 minor versions ahead of 0.1.0, which agent of us, storage/n1 of us run',
    ],
    [
      'a new version that could not join, before it is started',
      { ownVersion: '0.3.0' },
      'warn upgrade: 0.3.0 is 2 minor versions ahead of 0.1.0, which',
    ],
    ['a region that is silent', { regions: [region('eu', { role: 'offline' })] }, 'bad eu: is not heard'],
    [
      'a region that stands still',
      { regions: [region('eu', { stalledMs: 4_000 })] },
      'bad eu: has stood still for 4.0 s',
    ],
    [
      'a region that is not ready',
      { regions: [region('eu', { ready: false })] },
      'bad eu: secondary, not ready',
    ],
    [
      'its trouble',
      { regions: [region('eu', { trouble: 'its disk is full' })] },
      'warn eu: its disk is full',
    ],
    ['a record that nobody reads', { primary: null }, 'bad control plane: the control record cannot be read'],
    ['a move under way', { state: 'switching' }, 'warn control plane: switching'],
    [
      'nobody who could take over',
      { takeover: [{ region: 'eu', reasons: ['it lags'] }] },
      'bad takeover: no other',
    ],
    ['an unknown readiness', { takeover: null }, 'warn takeover: who could take over is not known'],
    [
      'a policy that would not act',
      { automaticRefusal: 'two regions' },
      'warn failover: would not begin by itself',
    ],
    ['lost writes', { lostWrites: 3 }, 'warn losses: earlier failovers lost 3 writes'],
    ['losses nobody knows yet', { unheard: ['us of epoch 4'] }, 'warn losses: not known yet: us of epoch 4'],
    [
      'a gateway that is not ready',
      { notReady: [{ url: 'http://eu', reason: 'full' }] },
      'bad http://eu: the gateway',
    ],
    [
      'a clock ahead',
      { clocks: [{ url: 'http://eu', aheadMs: 5_000, errorMs: 500 }] },
      'warn http://eu: its clock is 5.0 s ahead',
    ],
    [
      'a clock far behind',
      { clocks: [{ url: 'http://eu', aheadMs: -90_000, errorMs: 500 }] },
      'bad http://eu: its clock is 90 s behind',
    ],
  ])('%s is told', (_what, change, told) => {
    const found = notOk(checkDeployment({ ...well, ...change }));
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(told);
  });

  test('that does not answer is bad', () => {
    expect(notOk(checkDeployment(null))).toEqual(['bad deployment: no gateway and no agent answers']);
  });
});
