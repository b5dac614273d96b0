/** What a deployment says about itself, and what its local supervisor knows of the processes, as tables. */
import { slowLimits } from '../../../storage/core.ts';
import type { SupervisorStatus } from '../../local/control-socket.ts';
import { brokenParts } from '../../local/core/broken-parts.ts';
import { gatewayDirectory } from '../../local/layout/core/gateway-places.ts';
import { telemetryGroup } from '../../local/layout/local-layout.ts';
import { versionMix } from '../../status/core/versions.ts';
import type { DeploymentStatus, RegionStatus } from './admin-client.ts';
import { type JaegerLinks, jaegerTable } from './jaeger-links.ts';
import { formatBytes, formatMs, paint, table } from './output.ts';
import { wanTable } from './wan-table.ts';

type LocalProcess = SupervisorStatus['processes'][number];

const dash = '–';
const orDash = <T>(value: T | null | undefined, format: (value: T) => string): string =>
  value === null || value === undefined ? dash : format(value);

function colourState(state: string): string {
  if (['running', 'stable', 'ready', 'healthy', 'up', 'ok'].includes(state)) return paint('green', state);
  if (['stopped', 'crash-looping', 'offline', 'down', 'dead', 'unreachable'].includes(state))
    return paint('red', state);
  return paint('yellow', state);
}

/** What a deployment of this version says as null it does not know; an older one says nothing. */
const orUnknown = (value: number | null | undefined, format: (value: number) => string): string =>
  value === null ? 'unknown' : orDash(value, format);
/** An RPO holds every answer for a moment: what is shorter is no news. */
const heldTellMs = 1_000;
/** A region's word that is older than this is shown with its age. */
const freshMs = 1_000;

function vdlOf({ vdl, ageMs }: RegionStatus): string {
  const known = orUnknown(vdl, String);
  return typeof ageMs === 'number' && ageMs >= freshMs ? `${known} (${formatMs(ageMs)} ago)` : known;
}

function regionRow(region: RegionStatus): string[] {
  const bytes = orUnknown(region.lagBytes, formatBytes);
  const time = orUnknown(region.lagMs, formatMs);
  return [
    region.name,
    region.role === 'offline' ? paint('red', region.role) : region.role,
    vdlOf(region),
    region.role === 'primary' ? dash : bytes === time ? time : `${bytes}, ${time}`,
    region.role === 'primary' ? dash : orUnknown(region.rpoMs, formatMs),
    region.ready === true ? paint('green', 'yes') : paint('red', notReadyText(region)),
    region.headless === true ? '(headless)' : orDash(region.gateway, String),
    orDash(region.agent, String),
  ];
}

function notReadyText({ stalledMs, needsImages }: RegionStatus): string {
  if (typeof needsImages === 'string') return 'no, needs images';
  return typeof stalledMs === 'number' && stalledMs > 0
    ? `no, stands still for ${formatMs(stalledMs)}`
    : 'no';
}

/** A process's port as the end of its address. */
const portOf = (address: string | null | undefined): string | undefined => address?.split(':').at(-1);

function processRow(local: LocalProcess | undefined, name: string, az: string, said: SaidOfNode): string[] {
  // The supervisor knows best what it stopped or froze; a running process may still be unwell by its own account.
  const state =
    local === undefined || local.state === 'running' ? (said.state ?? local?.state ?? dash) : local.state;
  return [
    name,
    az,
    colourState(state),
    orDash(said.scl, String),
    orDash(local?.pid ?? said.pid, String),
    local?.ports.join(' ') ?? portOf(said.address) ?? dash,
    orDash(said.logBytes, formatBytes),
    orDash(said.imageBytes, formatBytes),
    [
      ...noteOf(name, said),
      ...[said.trouble, said.needsImages, local?.trouble].flatMap((trouble) =>
        typeof trouble === 'string' ? [paint('yellow', trouble)] : [],
      ),
      ...(local !== undefined && local.restarts > 0
        ? [`${local.restarts} restarts, last: ${local.lastExit ?? dash}`]
        : []),
    ].join('; '),
  ];
}

/** Its part in a replacement, and how long it takes. */
function noteOf(name: string, { role, append }: SaidOfNode): readonly string[] {
  const notes: string[] = [];
  if (role === 'joining')
    notes.push(paint('yellow', 'is joining: it counts beside the others, and is being filled'));
  if (role === 'leaving') notes.push(paint('yellow', 'is being replaced'));
  if (append === null || append === undefined) return notes;
  const { p50Ms, p99Ms, slowMs } = append;
  notes.push(`acks in ${formatMs(p50Ms)}, p99 ${formatMs(p99Ms)}`);
  if (slowMs >= slowLimits.afterMs)
    notes.push(
      paint('yellow', `far slower than the others for ${formatMs(slowMs)}: \`sextant node replace\` ${name}`),
    );
  return notes;
}

type SaidOfNode = {
  readonly state?: string | null | undefined;
  readonly scl?: number | null | undefined;
  readonly pid?: number | null | undefined;
  readonly address?: string | null | undefined;
  readonly trouble?: string | null | undefined;
  readonly needsImages?: string | null | undefined;
  readonly logBytes?: number | null | undefined;
  readonly imageBytes?: number | null | undefined;
  readonly role?: string | null | undefined;
  readonly append?:
    | { readonly p50Ms: number; readonly p99Ms: number; readonly slowMs: number }
    | null
    | undefined;
};

/** The first has the name that it had before there were others. */
const byGateway = (a: string, b: string): number =>
  Number(b === gatewayDirectory('g1')) - Number(a === gatewayDirectory('g1')) || (a < b ? -1 : 1);

/** What a gateway says of itself. */
function gatewayNote({ phase, ready, awake }: NonNullable<RegionStatus['gateways']>[number]): string {
  const does = phase === 'writing' ? 'writes' : phase === 'reading' ? 'reads' : phase;
  const role = awake === false ? `${does}; rests until it is asked` : does;
  return ready ? role : `${role}; ${paint('yellow', 'not ready: its /readyz says why')}`;
}

/** Gateways by the names of their processes, each once: as it says, as the supervisor knows, or both. */
function gatewayRows(region: RegionStatus | undefined, local: readonly LocalProcess[]): readonly string[][] {
  const said = new Map((region?.gateways ?? []).map((one) => [gatewayDirectory(one.name), one]));
  const known = new Map(local.map((process) => [process.id.split('/')[1] ?? '', process]));
  return [...new Set([...said.keys(), ...known.keys()])].toSorted(byGateway).map((name) => {
    const news = said.get(name);
    const state = news === undefined ? {} : { state: news.ready ? 'up' : 'unready', ...news };
    const [title = '', ...rest] = processRow(known.get(name), name, dash, state);
    const note = [news === undefined ? '' : gatewayNote(news), rest.at(-1) ?? ''].filter(
      (part) => part !== '',
    );
    return [title, ...rest.slice(0, -1), note.join('; ')];
  });
}

const roleOrder: readonly LocalProcess['role'][] = [
  'storage',
  'agent',
  'endpoint',
  'nats',
  'jaeger',
  'prometheus',
  'window',
];
const processHeadings = ['PROCESS', 'AZ', 'STATE', 'SCL', 'PID', 'PORT', 'LOG', 'IMAGES', ''];

function processTable(region: RegionStatus | undefined, processes: readonly LocalProcess[]): string {
  const nodes = region?.nodes ?? [];
  const byName = new Map(processes.map((process) => [process.id.split('/')[1] ?? '', process]));
  const rows = nodes.map((node) => processRow(byName.get(node.id), node.id, node.az ?? dash, node));
  const nodeIds = new Set(nodes.map(({ id }) => id));
  const others = [...byName]
    .filter(([name, { role }]) => !nodeIds.has(name) && role !== 'gateway')
    .toSorted(([, a], [, b]) => roleOrder.indexOf(a.role) - roleOrder.indexOf(b.role));
  return table(processHeadings, [
    ...rows,
    ...gatewayRows(
      region,
      processes.filter(({ role }) => role === 'gateway'),
    ),
    ...others.map(([name, process]) => processRow(process, name, dash, {})),
  ]);
}

/** Whether a failover begins by itself, and what keeps it. */
function failoverLines({ failover, primary }: DeploymentStatus): readonly string[] {
  if (failover === null || failover === undefined) return [];
  const { automatic, reason, suspectedBy } = failover;
  const why = typeof reason === 'string' ? `: ${reason}` : '';
  const lines = [
    automatic ? `failover: begins by itself${why && `, and not now${why}`}` : `failover: by hand${why}`,
  ];
  if (suspectedBy.length > 0)
    lines.push(paint('yellow', `${orDash(primary, String)} is held for lost by ${suspectedBy.join(', ')}`));
  return lines;
}

/** What a region's log is kept for beyond its window, and for whom it is kept no longer. */
function retentionLines({ retention, needsImages, backup }: RegionStatus): readonly string[] {
  const held = retention?.held.filter(({ reason }) => reason !== 'window') ?? [];
  const total = held.reduce((sum, { bytes }) => sum + bytes, 0);
  const parts = held.map(({ reason, bytes }) => `${formatBytes(bytes)} for ${reason}`);
  return [
    ...(typeof needsImages === 'string' ? [paint('yellow', needsImages)] : []),
    ...(total > 0 ? [`log kept beyond the window: ${parts.join(', ')}`] : []),
    ...(retention?.letGo ?? []).map(({ region, reason }) =>
      paint('yellow', `the log is kept for ${region} no longer: ${reason}`),
    ),
    ...(backup?.trouble
      ? [paint('yellow', `backup: ${backup.trouble} (${formatMs(backup.ageMs)} old)`)]
      : []),
  ];
}

/** Which branches have engines in the region's gateways. */
function branchLines({ openBranches = [] }: RegionStatus): readonly string[] {
  const words = openBranches.map(({ branch, awake, resting, writer }) => {
    const parts = [
      ...awake.map((gateway) => (gateway === writer ? `written by ${gateway}` : `open in ${gateway}`)),
      ...resting.map((gateway) => `rests in ${gateway}`),
    ];
    return `${branch} ${parts.join(', ')}`;
  });
  return words.length === 0 ? [] : [`branches: ${words.join('; ')}`];
}

/** Writes that stand still by policy say so before anything else. */
function holdLines({ hold }: DeploymentStatus): readonly string[] {
  if (hold === null || hold === undefined || hold.forMs < heldTellMs) return [];
  const { answers, forMs, waitsFor, rpoMs } = hold;
  const line =
    `writes have waited for ${waitsFor.join(' or ')} for ${formatMs(forMs)} (policy --rpo-ms ${rpoMs ?? ''}; ${answers} answers wait now): ` +
    '`sextant policy --rpo-ms off` lets them go, and a failover may then lose them';
  return [paint('yellow', line)];
}

/** Nothing while all run one version. */
function versionLines({ regions }: DeploymentStatus): readonly string[] {
  const mix = versionMix(regions);
  if (mix.kind === 'mixed') return [paint('yellow', `versions: ${mix.text}: an upgrade is under way`)];
  return mix.kind === 'apart' ? [paint('red', `versions: ${mix.text}: they refuse each other's links`)] : [];
}

const engineNames: Readonly<Record<string, string>> = { sqlite: 'SQLite', postgres: 'PostgreSQL' };

/** Nothing of a deployment whose gateways do not say what keeps the databases. */
function engineText({ engine, regions }: DeploymentStatus): string {
  const isPostgres = regions.some(({ postgres }) => typeof postgres === 'string');
  const said = engine ?? (isPostgres ? 'postgres' : null);
  return said === null ? '' : `engine ${engineNames[said] ?? said}  `;
}

/** What does not run, is cut off or is slow on purpose, and what ends that; nothing while a deployment starts or stops. */
function brokenLines(
  { phase, processes, ...rest }: SupervisorStatus,
  abandoned: string | null,
): readonly string[] {
  const inRegions = processes.filter(({ region }) => region !== telemetryGroup);
  const broken = phase === 'ready' ? brokenParts({ ...rest, processes: inRegions }) : [];
  if (broken.length === 0) return [];
  const by = abandoned === null ? [] : [`drill ${abandoned} was killed before it healed what it broke:`];
  return [...by, ...broken.map(({ what, command }) => `${what}; \`${command}\` ends that`)].map((line) =>
    paint('yellow', line),
  );
}

/**
 * What the deployment says of its regions, and what is known of each process; either may be missing.
 * @param abandoned the newest drill, if it ended without a report.
 */
export function blocksOf(
  status: DeploymentStatus | undefined,
  local: SupervisorStatus | undefined,
  jaeger: JaegerLinks | undefined,
  abandoned: string | null = null,
): { readonly summary: readonly string[]; readonly processes: readonly string[] } {
  const blocks: string[] = [];
  if (status !== undefined) {
    const postgres = status.regions.some((region) => typeof region.postgres === 'string');
    blocks.push(
      [
        `cluster ${paint('bold', status.cluster)}  ${engineText(status)}state ${colourState(status.state)}  epoch ${orDash(status.epoch, String)}  primary ${orDash(status.primary, String)}`,
        ...failoverLines(status),
        ...holdLines(status),
        ...versionLines(status),
      ].join('\n'),
      table(
        [
          'REGION',
          'ROLE',
          'VDL',
          'LAG',
          'RPO',
          'READY',
          'GATEWAY',
          'AGENT',
          ...(postgres ? ['POSTGRES'] : []),
        ],
        status.regions.map((region) => [
          ...regionRow(region),
          ...(postgres ? [orDash(region.postgres, String)] : []),
        ]),
      ),
    );
  }
  const distances = local === undefined ? null : wanTable(local);
  if (distances !== null) blocks.push(distances);
  const broken = local === undefined ? [] : brokenLines(local, abandoned);
  if (broken.length > 0) blocks.push(broken.join('\n'));
  const pages = jaegerTable(jaeger);
  if (pages !== null) blocks.push(pages);
  const perRegion: string[] = [];
  const names = new Set([
    ...(status?.regions.map(({ name }) => name) ?? []),
    ...(local?.processes.map(({ region }) => region) ?? []),
  ]);
  for (const name of names) {
    const region = status?.regions.find((candidate) => candidate.name === name);
    const processes = local?.processes.filter((process) => process.region === name) ?? [];
    if ((region?.nodes.length ?? 0) + processes.length === 0) continue;
    const trouble = typeof region?.trouble === 'string' ? `\n${paint('yellow', region.trouble)}` : '';
    const cut = local?.isolated.includes(name) === true ? paint('yellow', ' (isolated)') : '';
    const slow = local?.slowed.includes(name) === true ? paint('yellow', ' (slow link)') : '';
    const kept =
      region === undefined
        ? ''
        : [...branchLines(region), ...retentionLines(region)].map((line) => `\n${line}`).join('');
    perRegion.push(
      `${paint('bold', name)}${cut}${slow}${trouble}${kept}\n${processTable(region, processes)}`,
    );
  }
  return { summary: blocks, processes: perRegion };
}
