/** What the facts about a machine and a deployment mean to its operator: one line each, and what to do about it. Pure. */

import { slowLimits } from '../../../../storage/core.ts';
import { formatAge } from '../../../control/core/record-claims.ts';
import { joinRefusal, type Versions, versionMix } from '../../../status/core/versions.ts';

/** `bad`: something does not work, or would not survive the next fault. `warn`: it works, and should be looked at. */
export type Level = 'ok' | 'warn' | 'bad';

export interface Check {
  /** What was looked at, such as `disk` or `eu-west-1`. */
  readonly subject: string;
  readonly level: Level;
  readonly text: string;
  /** The way out; null when nothing is to be done. */
  readonly advice: string | null;
}

const gib = 1024 ** 3;

/** Below these something ends soon. Bytes, files, milliseconds. */
export const doctorLimits = {
  diskBadBytes: 1 * gib,
  diskWarnBytes: 5 * gib,
  memoryWarnBytes: gib / 2,
  openFilesWarn: 4_096,
  clockWarnMs: 1_000,
  clockBadMs: 60_000,
} as const;

export interface MachineFacts {
  readonly nodeVersion: string;
  /** Free bytes where the data lies; null when that cannot be told. */
  readonly diskFreeBytes: number | null;
  readonly memoryFreeBytes: number;
  /** Files that a process may have open; null when unlimited or unknown. */
  readonly openFiles: number | null;
  readonly dataDir: string;
  /** Permission bits of the data directory; null when it is not there. */
  readonly dataMode: number | null;
  /** Path and version of the NATS server, or why there is none; null when the deployment uses servers of someone else. */
  readonly nats: { readonly path: string; readonly version: string } | { readonly error: string } | null;
}

const check = (subject: string, level: Level, text: string, advice: string | null = null): Check => ({
  subject,
  level,
  text,
  advice,
});

const gibText = (bytes: number): string => `${(bytes / gib).toFixed(1)} GiB`;

/** The machine that the deployment runs on. */
export function checkMachine(facts: MachineFacts): readonly Check[] {
  const checks = [check('node', 'ok', `Node.js ${facts.nodeVersion}`)];
  if (facts.nats !== null)
    checks.push(
      'error' in facts.nats
        ? check('nats-server', 'bad', facts.nats.error, null)
        : check('nats-server', 'ok', `nats-server ${facts.nats.version} (${facts.nats.path})`),
    );
  if (facts.diskFreeBytes !== null) {
    const { diskFreeBytes: free } = facts;
    const level =
      free < doctorLimits.diskBadBytes ? 'bad' : free < doctorLimits.diskWarnBytes ? 'warn' : 'ok';
    const advice =
      level === 'ok' ? null : 'make space: a node whose disk is full takes no writes, and the log only grows';
    checks.push(check('disk', level, `${gibText(free)} free where ${facts.dataDir} lies`, advice));
  }
  checks.push(
    facts.memoryFreeBytes < doctorLimits.memoryWarnBytes
      ? check(
          'memory',
          'warn',
          `${gibText(facts.memoryFreeBytes)} free`,
          'a process that is swapped out renews no lease in time',
        )
      : check('memory', 'ok', `${gibText(facts.memoryFreeBytes)} free`),
  );
  if (facts.openFiles !== null && facts.openFiles < doctorLimits.openFilesWarn)
    checks.push(
      check(
        'open files',
        'warn',
        `a process may open ${facts.openFiles} files`,
        `each client is one: raise it to ${doctorLimits.openFilesWarn} or more (ulimit -n, LimitNOFILE=)`,
      ),
    );
  if (facts.dataMode !== null && (facts.dataMode & 0o077) !== 0)
    checks.push(
      check(
        'data directory',
        'warn',
        `${facts.dataDir} can be read by others (mode ${facts.dataMode.toString(8)})`,
        `it holds data and secrets: chmod 700 ${facts.dataDir}`,
      ),
    );
  return checks;
}

/** Where nothing has been deployed yet. @param dataDir the directory that was looked in, as a path that names it for anybody. */
export function checkBeforeFirst(dataDir: string): readonly Check[] {
  return [
    check(
      'deployment',
      'ok',
      `there is none in ${dataDir}`,
      '`sextant up` starts one on this machine; --data or --url name one that is elsewhere',
    ),
  ];
}

/** One process as its supervisor sees it. */
export interface ProcessFacts {
  readonly id: string;
  readonly state: string;
  readonly restarts: number;
  readonly lastExit: string | null;
  readonly trouble: string | null;
  readonly log: string;
}

/** @param processes null when no supervisor answers. */
export function checkProcesses(processes: readonly ProcessFacts[] | null): readonly Check[] {
  if (processes === null)
    return [
      check(
        'supervisor',
        'bad',
        'no supervisor runs',
        '`sextant up` starts what is stopped, and goes on with the data that is there',
      ),
    ];
  const found = processes.flatMap((process): readonly Check[] => {
    const { id, state, restarts, lastExit, trouble, log } = process;
    if (state !== 'running')
      return [check(id, 'bad', `is ${state}${lastExit === null ? '' : ` (${lastExit})`}`, `its log: ${log}`)];
    if (trouble !== null) return [check(id, 'warn', trouble, `its log: ${log}`)];
    if (restarts > 0)
      return [
        check(id, 'warn', `has been restarted ${restarts} times, last: ${lastExit}`, `its log: ${log}`),
      ];
    return [];
  });
  return found.length > 0
    ? found
    : [check('processes', 'ok', `all ${processes.length} processes run, none was restarted`)];
}

export interface RegionFacts {
  readonly name: string;
  readonly role: string;
  readonly ready: boolean;
  readonly stalledMs: number | null;
  readonly trouble: string | null;
  readonly versions: Versions;
  readonly nodes: readonly {
    readonly id: string;
    readonly state: string | null;
    readonly role: string | null;
    /** Percentiles, and for how long it has been far slower than the others; null while that is not known. */
    readonly append: { readonly p50Ms: number; readonly p99Ms: number; readonly slowMs: number } | null;
  }[];
}

export interface DeploymentFacts {
  readonly state: string;
  readonly primary: string | null;
  /** Why no failover begins by itself; null when one may, or that is unknown. */
  readonly automaticRefusal: string | null;
  readonly automatic: boolean;
  readonly regions: readonly RegionFacts[];
  /** Of the Sextant that asks: what processes that are started from it would run. */
  readonly ownVersion: string;
  /** Secondaries, and why each could not take over now. */
  readonly takeover: readonly { readonly region: string; readonly reasons: readonly string[] }[] | null;
  /** Regions and epochs whose lost writes are not known yet, in words. */
  readonly unheard: readonly string[];
  /** Acknowledged writes that earlier failovers lost. */
  readonly lostWrites: number;
  /** Clocks of gateways minus this machine's, and how far that can be wrong. */
  readonly clocks: readonly { readonly url: string; readonly aheadMs: number; readonly errorMs: number }[];
  /** Gateways that are not ready, and their own word. */
  readonly notReady: readonly { readonly url: string; readonly reason: string }[];
}

const writeQuorum = 4;

function checkRegion({ name, role, ready, stalledMs, trouble, nodes }: RegionFacts): readonly Check[] {
  const checks: Check[] = [];
  const down = nodes.filter(({ state }) => state === 'down').map(({ id }) => id);
  const up = nodes.length - down.length;
  if (role === 'offline')
    return [check(name, 'bad', 'is not heard', 'look at its agent, its NATS server and the way there')];
  if (nodes.length > 0 && up < writeQuorum)
    checks.push(
      check(
        name,
        'bad',
        `${up} of ${nodes.length} storage nodes answer (${down.join(', ')} do not), and ${writeQuorum} are needed to write`,
        'start them; with a policy another region takes over by itself',
      ),
    );
  else if (down.length > 0)
    checks.push(
      check(
        name,
        'warn',
        `${down.join(', ')} ${down.length === 1 ? 'does' : 'do'} not answer; ${up} of ${nodes.length} storage nodes do`,
        up === writeQuorum ? 'the next one that fails stops writes: start them' : 'start them',
      ),
    );
  if (stalledMs !== null && stalledMs > 0)
    checks.push(
      check(
        name,
        'bad',
        `has stood still for ${formatAge(stalledMs)} while the primary has more for it`,
        'its lane is begun anew by itself; if that does not help, look at the log of its agent',
      ),
    );
  if (trouble !== null) checks.push(check(name, 'warn', trouble));
  checks.push(...checkMembers(name, nodes));
  if (checks.length === 0)
    checks.push(
      ready
        ? check(name, 'ok', `${role}, ready, ${up} storage nodes`)
        : check(name, 'bad', `${role}, not ready`, 'its /readyz says why'),
    );
  return checks;
}

/** A replacement that is under way, and nodes that ask for one. */
function checkMembers(region: string, nodes: RegionFacts['nodes']): readonly Check[] {
  const out = nodes.find(({ role }) => role === 'leaving')?.id;
  const joins = nodes.find(({ role }) => role === 'joining')?.id;
  const replacing =
    out === undefined || joins === undefined
      ? []
      : [
          check(
            region,
            'warn',
            `${joins} is taking the place of ${out}`,
            `\`sextant node replace ${region}/${out} --resume\` shows how it gets on, and --cancel gives it up`,
          ),
        ];
  const slow = nodes.flatMap(({ id, append }) =>
    append === null || append.slowMs < slowLimits.afterMs
      ? []
      : [
          check(
            region,
            'warn',
            `${id} answers and is far slower than the others: half of its acknowledgements take more than ${append.p50Ms} ms, the slowest in a hundred ${append.p99Ms} ms, for ${formatAge(append.slowMs)}`,
            `look at its disk; \`sextant node replace ${region}/${id}\` puts another in its place while writes go on`,
          ),
        ],
  );
  return [...replacing, ...slow];
}

/** The deployment, by its own word. @param facts null when no process answers. */
export function checkDeployment(facts: DeploymentFacts | null): readonly Check[] {
  if (facts === null)
    return [check('deployment', 'bad', 'no gateway and no agent answers', 'look at their logs')];
  const checks: Check[] = [];
  checks.push(
    facts.primary === null
      ? check('control plane', 'bad', 'the control record cannot be read', 'look at the NATS servers')
      : check(
          'control plane',
          facts.state === 'stable' ? 'ok' : 'warn',
          `${facts.state}, primary ${facts.primary}`,
        ),
  );
  checks.push(...facts.regions.flatMap(checkRegion));
  checks.push(...checkVersions(facts));
  for (const { url, reason } of facts.notReady)
    checks.push(check(url, 'bad', `the gateway is not ready: ${reason}`));
  checks.push(...checkTakeover(facts), ...checkLosses(facts), ...facts.clocks.flatMap(checkClock));
  return checks;
}

const oneByOne = 'upgrade one minor version at a time, every process before the next version';

/** What runs, and whether what would be started here could join it. */
function checkVersions({ regions, ownVersion }: DeploymentFacts): readonly Check[] {
  const mix = versionMix(regions);
  const refused = joinRefusal(ownVersion, regions);
  const joining =
    refused === null || mix.kind === 'apart'
      ? []
      : [check('upgrade', 'warn', refused, `do not start it here: ${oneByOne}`)];
  switch (mix.kind) {
    case 'unknown':
      return [check('versions', 'ok', 'no process says which version it runs')];
    case 'one':
      return [check('versions', 'ok', `all ${mix.processes} processes run ${mix.version}`), ...joining];
    case 'mixed': {
      const text = `${mix.text}: an upgrade is under way, and they work together`;
      return [check('versions', 'ok', text, 'finish it before the next one begins'), ...joining];
    }
    case 'apart':
      return [check('versions', 'bad', `${mix.text}: they refuse each other's links`, oneByOne)];
  }
}

function checkTakeover({ takeover, automatic, automaticRefusal }: DeploymentFacts): readonly Check[] {
  if (takeover === null) return [check('takeover', 'warn', 'who could take over is not known')];
  const able = takeover.filter(({ reasons }) => reasons.length === 0).map(({ region }) => region);
  const checks: Check[] = [
    able.length === 0
      ? check('takeover', 'bad', 'no other region could take over now', takeover[0]?.reasons[0] ?? null)
      : check('takeover', 'ok', `${able.join(', ')} could take over now`),
  ];
  if (!automatic)
    checks.push(check('failover', 'ok', 'by hand', 'sextant policy --automatic on begins it by itself'));
  else if (automaticRefusal !== null)
    checks.push(check('failover', 'warn', `would not begin by itself: ${automaticRefusal}`));
  else checks.push(check('failover', 'ok', 'begins by itself'));
  return checks;
}

function checkLosses({ lostWrites, unheard }: DeploymentFacts): readonly Check[] {
  const checks: Check[] = [];
  if (lostWrites > 0)
    checks.push(
      check('losses', 'warn', `earlier failovers lost ${lostWrites} writes`, '`sextant losses` lists them'),
    );
  if (unheard.length > 0)
    checks.push(
      check(
        'losses',
        'warn',
        `not known yet: ${unheard.join(', ')}`,
        'these regions have to be back before their losses can be told',
      ),
    );
  return checks;
}

function checkClock({ url, aheadMs, errorMs }: DeploymentFacts['clocks'][number]): readonly Check[] {
  const sureMs = Math.max(0, Math.abs(aheadMs) - errorMs);
  if (sureMs < doctorLimits.clockWarnMs) return [];
  const way = aheadMs > 0 ? 'ahead of' : 'behind';
  return [
    check(
      url,
      sureMs < doctorLimits.clockBadMs ? 'warn' : 'bad',
      `its clock is ${formatAge(Math.abs(aheadMs))} ${way} this machine's`,
      'run NTP: no promise depends on clocks, and the times of commits, tokens and certificates do',
    ),
  ];
}
