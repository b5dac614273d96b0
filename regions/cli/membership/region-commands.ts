/** `sextant region add|remove|detach|adopt` and `sextant gateway add`: regions come and go. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { besideFile, dataDirOf } from '../../../storage/index.ts';
import { loadMachineFile } from '../../deploy/region-file.ts';
import { adoptRegion } from '../../detach/adopt-region.ts';
import {
  type DetachRequest,
  defaultDetachDir,
  isDetaching,
  moveRegion,
  planDetachment,
} from '../../detach/detach-local.ts';
import { requestRegionChange } from '../../local/control-socket.ts';
import { requireDeployment } from '../../local/deployment-file.ts';
import { basePortMax } from '../../local/layout/core/local-ports.ts';
import { controlSocket, type Deployment, topologyOf } from '../../local/layout/local-layout.ts';
import { runningSupervisor } from '../../local/local-deployment.ts';
import { type BootstrapProgress, BootstrapWatch } from '../../membership/core/bootstrap-progress.ts';
import type { Departed, MembershipBody } from '../../membership/core/membership-request.ts';
import { fetchStatus, type Target, targetOf, unknownRegion } from '../ask/admin-client.ts';
import { type AskOptions, type CommonOptions, withAsk, withCommon, withExample } from '../ask/options.ts';
import { CliError, formatBytes, formatMs, note, paint, printJson } from '../ask/output.ts';
import { changeMembership, sightOf } from './membership-client.ts';

type AddOptions = AskOptions & { readonly headless?: boolean; readonly wait: boolean };
type RemoveOptions = AskOptions & { readonly deleteData?: boolean };
type DetachOptions = AskOptions & {
  readonly to?: string;
  readonly cluster?: string;
  readonly basePort?: string;
};

const lookMs = 1_000;

/** One JSON object a line, for programs that follow. */
const tell = (value: object): void => console.log(JSON.stringify(value));

async function change(
  data: string,
  request: Parameters<typeof requestRegionChange>[1],
): Promise<{ readonly changed: readonly string[]; readonly keepsVote: boolean }> {
  const result = await requestRegionChange(controlSocket(resolve(data)), request);
  if ('error' in result) throw new CliError(result.error);
  return result;
}

async function add(region: string, options: AddOptions): Promise<void> {
  const before = targetOf(options);
  const headless = options.headless === true;
  if (before.local === undefined && headless)
    throw new CliError(
      '--headless is for a local deployment: elsewhere `gateways: []` in the region.yaml of the region says so',
    );
  if (before.local !== undefined) {
    note(`${region}: starting its processes`);
    await change(options.data, { act: 'add', region, ...(headless && { headless }) });
  }
  const { regions } = await changeMembership(before, { add: region });
  const target = targetOf(options);
  if (options.json === true) tell({ event: 'added', region, regions });
  else note(`${region} is one of ${regions.join(', ')}`);
  if (options.wait) await follow(region, target, options);
}

/** Tells how far the region is until it is ready. Whoever stops watching stops nothing else. */
async function follow(region: string, target: Target, { json }: AddOptions): Promise<void> {
  const watch = new BootstrapWatch();
  const startedAt = performance.now();
  let told = '';
  for (;;) {
    const sight = await sightOf(target, region);
    const nowMs = performance.now();
    if (sight !== null) {
      const progress = watch.look(sight, nowMs);
      if (json === true) tell({ event: progress.ready ? 'ready' : 'progress', region, ...progress });
      const line = progressText(region, progress);
      if (json !== true && line !== told && !progress.ready) note(line);
      told = line;
      if (progress.ready) {
        if (json !== true)
          console.log(
            paint('green', `${region} is ready after ${formatMs(nowMs - startedAt)}`) +
              `: ${formatBytes(progress.receivedBytes)} of redo`,
          );
        return;
      }
    }
    await sleep(lookMs);
  }
}

function progressText(region: string, progress: BootstrapProgress): string {
  const { receivedBytes, totalBytes, bytesPerSecond, remainingMs, stuck } = progress;
  const of = totalBytes === null ? '' : ` of ${formatBytes(totalBytes)}`;
  const rate = bytesPerSecond === null ? '' : `, ${formatBytes(bytesPerSecond)}/s`;
  const left = remainingMs === null || remainingMs === 0 ? '' : `, about ${formatMs(remainingMs)} left`;
  const why = stuck === null ? '' : `; not ready: ${stuck}`;
  return `${region}: ${formatBytes(receivedBytes)}${of} received${rate}${left}${why}`;
}

function standingText({ region, epoch, vdl, lagBytes, lagMs, heardMsAgo }: Departed): string {
  if (heardMsAgo === null) return `${region} was never heard: how far it was is not known`;
  const at = vdl === null ? 'unknown' : `LSN ${vdl}`;
  const behind =
    lagBytes === 0
      ? 'it had everything that was durable in the primary'
      : `it lacked ${lagBytes === null ? 'an unknown amount' : formatBytes(lagBytes)}` +
        (lagMs === null ? '' : `, the oldest of it ${formatMs(lagMs)} old`);
  return `${region} left at ${at} of epoch ${epoch}: ${behind} (heard ${formatMs(heardMsAgo)} ago)`;
}

const votesOn = (region: string): string =>
  `the NATS server of ${region} goes on: it keeps one of the copies of the control record (\`${region}/nats\`)`;

/**
 * Lets a region go in the control record. One that has left it already is not an error on a local deployment: a command that
 * was interrupted is finished by asking again.
 */
async function leave(region: string, target: Target): Promise<MembershipBody> {
  try {
    return await changeMembership(target, { remove: region });
  } catch (error) {
    const isGone = error instanceof CliError && error.code === 'UNKNOWN_REGION';
    if (!isGone || target.local?.regions.some((name) => name === region) !== true) throw error;
    return { regions: target.local.regions.filter((name) => name !== region), left: null };
  }
}

function refuseStopped(dataDir: string): void {
  if (runningSupervisor(resolve(dataDir)) === undefined)
    throw new CliError(
      'the deployment does not run: `sextant up` first, since its control record has to be asked',
    );
}

async function remove(region: string, options: RemoveOptions): Promise<void> {
  const target = targetOf(options);
  const { local } = target;
  if (local === undefined && options.deleteData === true)
    throw new CliError(
      `--delete-data is for a local deployment: elsewhere delete the data directories of ${region} on its machines`,
    );
  if (local !== undefined) refuseStopped(options.data);
  const { regions, left } = await leave(region, target);
  if (left !== null && options.json !== true) console.log(standingText(left));
  const deleteData = options.deleteData === true;
  const stopped =
    local === undefined ? null : await change(options.data, { act: 'remove', region, deleteData });
  if (options.json === true) {
    printJson({
      removed: region,
      regions,
      left,
      ...(stopped !== null && { stopped: stopped.changed, keepsVote: stopped.keepsVote }),
    });
    return;
  }
  console.log(`${paint('green', 'removed')}; there are ${regions.join(', ')}`);
  if (stopped === null) {
    note(
      `stop the processes of ${region}, and take it out of the files of the others: \`sextant config remove-region ${region}\` (regions/DEPLOY.md)`,
    );
    return;
  }
  note(
    deleteData
      ? 'its data was deleted'
      : `its data stays in ${resolve(options.data, region)}; \`sextant region add ${region}\` takes it in again`,
  );
  if (stopped.keepsVote) note(votesOn(region));
}

function basePortOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const port = Number(text);
  if (Number.isInteger(port) && port >= 1 && port <= basePortMax) return port;
  throw new CliError(`--base-port is a number from 1 to ${basePortMax}`);
}

async function detach(region: string, options: DetachOptions): Promise<void> {
  const target = targetOf(options);
  const { local } = target;
  if (local === undefined) return detachElsewhere(region, target, options);
  refuseStopped(options.data);
  const dataDir = resolve(options.data);
  const to = resolve(options.to ?? defaultDetachDir(dataDir, region));
  const request: DetachRequest = {
    dataDir,
    region,
    to,
    cluster: options.cluster,
    basePort: basePortOf(options.basePort),
  };
  const isMember = local.regions.some((name) => name === region);
  if (!isMember && !isDetaching(to, local, region)) throw unknownRegion(region, local.regions);
  await refusePrimary(region, target);
  const detached = await planDetachment(local, request);
  let left: Departed | null = null;
  if (isMember) {
    left = (await leave(region, target)).left;
    await change(options.data, { act: 'remove', region });
  }
  const keepsVote = votesStill(requireDeployment(dataDir), region);
  await moveRegion(local, detached, { ...request, keepsVote });
  if (options.json === true)
    return printJson({
      detached: region,
      cluster: detached.cluster,
      dataDir: to,
      basePort: detached.basePort,
      left,
    });
  if (left !== null) console.log(standingText(left));
  console.log(`${paint('green', 'detached')}: ${region} is cluster ${detached.cluster}, in ${to}`);
  note(
    `\`sextant up --data ${to} --detach\` starts it, at ports from ${detached.basePort} on; it takes writes of its own`,
  );
  if (keepsVote) note(votesOn(region));
}

const votesStill = (deployment: Deployment, region: string): boolean =>
  deployment.nats === null && topologyOf(deployment).servers.includes(region);

/** Said before anything is written. */
async function refusePrimary(region: string, target: Target): Promise<void> {
  const answer = await fetchStatus(target);
  if (answer.kind !== 'ok' || answer.status.primary !== region) return;
  const other = answer.status.regions.find(({ name }) => name !== region)?.name;
  throw new CliError(
    `${region} is the primary region: ${other === undefined ? 'it is the only one' : `switch over first (\`sextant switchover --to ${other}\`)`}`,
    'IS_PRIMARY',
  );
}

/** On machines of its own: the record is changed here, the files and the data where they are. */
async function detachElsewhere(region: string, target: Target, options: DetachOptions): Promise<void> {
  for (const [name, value] of Object.entries({ to: options.to, 'base-port': options.basePort }))
    if (value !== undefined) throw new CliError(`--${name} is for a local deployment`);
  const before = await fetchStatus(target);
  const { regions, left } = await changeMembership(target, { remove: region });
  const from = before.kind === 'ok' ? before.status.cluster : 'CLUSTER';
  const cluster = options.cluster ?? `${from}-${region}`.slice(0, 63);
  if (options.json === true) return printJson({ detached: region, cluster, regions, left });
  if (left !== null) console.log(standingText(left));
  console.log(`${paint('green', 'detached')} from ${from}; there are ${regions.join(', ')}`);
  console.log(
    [
      `to make a deployment of its own of it, on the machines of ${region} (regions/DEPLOY.md):`,
      '  1. stop its gateways, agent, storage nodes and, if it keeps no copy of the control record, its NATS server',
      `  2. put the folder of a new deployment in the place of its files: sextant init --cluster ${cluster} --regions ${region} --host ${region}=ADDRESS`,
      `  3. sextant region adopt --config region.yaml --from ${from}`,
      '  4. start its processes: they make a control record of their own and take writes',
    ].join('\n'),
  );
}

/** Of a region's file: the data on this machine becomes that of the deployment that the file names. */
async function adopt(options: {
  readonly config: string;
  readonly from: string;
  readonly json?: boolean;
}): Promise<void> {
  const loaded = loadMachineFile(options.config);
  if (loaded.kind === 'invalid') throw new CliError(loaded.message);
  if (loaded.value.kind !== 'region') throw new CliError(`${options.config} is no region's file`);
  const { region, file } = loaded.value;
  const agentDataDir =
    region.agent.dataDir === undefined
      ? dataDirOf(region, file, 'agent')
      : besideFile(file, region.agent.dataDir);
  const nodes = region.nodes.map(({ node, dataDir }) => ({
    node: String(node),
    dataDir: dataDir === undefined ? dataDirOf(region, file, node) : besideFile(file, dataDir),
  }));
  const adopted = await adoptRegion({
    region: region.region,
    nodes,
    agentDataDir: existsSync(agentDataDir) ? agentDataDir : null,
    from: options.from,
    to: region.cluster,
  });
  if (adopted.kind === 'refused') throw new CliError(adopted.reason);
  if (adopted.nodes.length === 0)
    throw new CliError(
      `no node of ${region.region} has data here (${nodes.map(({ dataDir }) => dataDir).join(', ')})`,
    );
  if (options.json === true)
    return printJson({ cluster: region.cluster, nodes: adopted.nodes, absent: adopted.absent });
  console.log(`${adopted.nodes.join(', ')} of ${region.region} are data of cluster ${region.cluster} now`);
  if (adopted.absent.length > 0) note(`not on this machine: ${adopted.absent.join(', ')}`);
}

async function addGateway(region: string, options: CommonOptions): Promise<void> {
  const deployment = requireDeployment(options.data);
  if (!deployment.regions.some((name) => name === region)) throw unknownRegion(region, deployment.regions);
  const { changed } = await change(options.data, { act: 'add-gateway', region });
  if (options.json === true) printJson({ region, started: changed });
  else console.log(`started ${changed.join(', ')}`);
}

/** @throws when the program has no such command: these hang below those that break things. */
function below(program: Command, name: string): Command {
  const found = program.commands.find((command) => command.name() === name);
  if (found === undefined) throw new Error(`there is no command ${name}`);
  return found;
}

export function addRegionCommands(program: Command): void {
  const region = below(program, 'region').description(
    'let regions come and go; kill or cut off one of a local deployment',
  );
  withExample(
    withAsk(region.command('add').argument('<region>'))
      .description(
        'take a region into a deployment that runs, and wait until it has everything. Locally its processes are started; ' +
          'elsewhere they run already (regions/DEPLOY.md). One that left comes back with the data that it has',
      )
      .option('--headless', 'without a gateway: it keeps a copy, and is no target of a move')
      .option('--no-wait', 'return as soon as it is taken in')
      .action(add),
    'sextant region add sa-east-1',
  );
  withExample(
    withAsk(region.command('remove').argument('<region>'))
      .description(
        'let a secondary region go, also one that is dead for good. Locally its processes are stopped; its data stays',
      )
      .option('--delete-data', 'delete what it keeps on this machine')
      .action(remove),
    'sextant region remove sa-east-1',
  );
  withExample(
    withAsk(region.command('detach').argument('<region>'))
      .description(
        'make a secondary region a deployment of its own, with the data that it has, which cannot come back',
      )
      .option('--to <dir>', 'data directory of the new deployment (default: <data>-<region>)')
      .option('--cluster <name>', 'its name (default: <cluster>-<region>)')
      .option('--base-port <port>', 'first of its ports (default: the next that are free)')
      .action(detach),
    'sextant region detach sa-east-1',
  );
  withExample(
    region
      .command('adopt')
      .description(
        'on machines of its own: make the data of a detached region that of the deployment that its file names',
      )
      .requiredOption('--config <file>', 'the new file of the region')
      .requiredOption('--from <cluster>', 'the deployment that it was part of')
      .option('--json', 'print JSON')
      .action(adopt),
    'sextant region adopt --config /etc/sextant/region.yaml --from shop',
  );
  withExample(
    withCommon(below(program, 'gateway').command('add').argument('<region>'))
      .description('give a region of a local deployment one gateway more, a headless one its first')
      .action(addGateway),
    'sextant gateway add sa-east-1',
  );
}
