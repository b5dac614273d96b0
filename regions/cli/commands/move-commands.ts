/** `sextant switchover`, `failover` and `cancel`: managed moves of the primary with their progress. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { type BranchLack, lacksText } from '../../moves/core/branch-lacks.ts';
import { type Operation, operationRegion, operationSchema } from '../../moves/core/operations.ts';
import {
  type Answer,
  ask,
  askAny,
  failWith,
  regionsOf,
  type Target,
  targetOf,
  unknownRegion,
} from '../ask/admin-client.ts';
import { type AskOptions, withAsk, withExample } from '../ask/options.ts';
import { CliError, formatBytes, formatMs, note, paint, printJson } from '../ask/output.ts';

const pollMs = 100;
const moveTimeoutMs = 180_000;
const startTimeoutMs = 15_000;
/** How long nobody may answer before the command gives up watching; the move itself goes on. */
const silenceMsMax = 30_000;

function operationOf(answer: Answer): Operation {
  if (answer.kind !== 'ok') return failWith(answer);
  const parsed = operationSchema.safeParse(answer.body);
  if (!parsed.success) throw new CliError('the gateway gave an operation this version cannot read');
  return parsed.data;
}

/** The target region's gateway first: the region being left may be the one that is lost. */
function gatewaysFor(target: Target, region: string): readonly string[] {
  if (target.local === undefined) return target.gateways;
  const mine = target.endpoints.find((endpoint) => endpoint.region === region);
  if (mine === undefined) throw unknownRegion(region, target.local.regions);
  return [mine.gateway, ...target.gateways.filter((gateway) => gateway !== mine.gateway)];
}

async function begin(
  gateways: readonly string[],
  path: string,
  target: Target,
  body: object,
): Promise<Operation> {
  let unreachable: Answer = { kind: 'unreachable', message: 'no gateway is known' };
  for (const gateway of gateways) {
    const answer = await ask(gateway, path, target.headers, body, startTimeoutMs);
    // Only a gateway that cannot have been reached is passed over: asking a second one could begin the move twice.
    if (answer.kind !== 'unreachable' || !/ECONNREFUSED/.test(answer.message)) return operationOf(answer);
    unreachable = answer;
  }
  return operationOf(unreachable);
}

/** Prints each phase once when it begins and once when it ends. */
class ProgressPrinter {
  readonly #begun = new Set<string>();
  readonly #ended = new Set<string>();

  show(operation: Operation): void {
    for (const { name, startedAtMs, endedAtMs } of operation.phases) {
      const key = `${name}@${startedAtMs}`;
      if (typeof endedAtMs === 'number') {
        if (!this.#ended.has(key)) note(`${name}: ${formatMs(Math.max(0, endedAtMs - startedAtMs))}`);
        this.#ended.add(key);
      } else {
        if (!this.#begun.has(key)) note(`${name} …`);
        this.#begun.add(key);
      }
    }
  }
}

async function follow(begun: Operation, gateways: readonly string[], target: Target): Promise<Operation> {
  const printer = new ProgressPrinter();
  const deadline = performance.now() + moveTimeoutMs;
  let lastAnswered = performance.now();
  let operation = begun;
  printer.show(operation);
  while (operation.state === 'running') {
    await sleep(pollMs);
    const answer = await askAny(gateways, `/v1/operations/${encodeURIComponent(begun.id)}`, target.headers);
    const now = performance.now();
    if (answer.kind === 'ok') {
      operation = operationOf(answer);
      printer.show(operation);
      lastAnswered = now;
    } else if (now - lastAnswered > silenceMsMax) {
      throw new CliError(
        `lost sight of operation ${begun.id}: ${answer.message}. \`sextant status\` tells where the primary is`,
      );
    }
    if (now > deadline)
      throw new CliError(`operation ${begun.id} is still running; \`sextant status\` tells how it ends`);
  }
  return operation;
}

function printOperation(operation: Operation): void {
  console.log(paint('green', `${operation.kind} to ${operation.target} done`));
  const { loss, pauseMs, rtoMs, rtoFromLastWriteMs } = operation.result ?? {};
  if (pauseMs !== undefined) console.log(`writes paused for ${formatMs(pauseMs)}`);
  if (rtoMs !== undefined) {
    const since =
      rtoFromLastWriteMs === undefined ? '' : `, ${formatMs(rtoFromLastWriteMs)} after the last write kept`;
    console.log(`writes were back after ${formatMs(rtoMs)} (RTO)${since}`);
  }
  if (loss === undefined) return;
  const { forkLsn, lastHeardVdl, atRiskBytes } = loss;
  const risk =
    lastHeardVdl === null || atRiskBytes === null
      ? `${operation.from} was not heard in its last reign, so what it acknowledged there is not known`
      : `${operation.from} was last heard at ${lastHeardVdl} ` +
        `(${formatBytes(atRiskBytes)} known not to have arrived, and whatever it acknowledged after that)`;
  console.log(
    `history goes on from LSN ${forkLsn}; ${risk}. ` +
      `When ${operation.from} is back and has looked, \`sextant losses\` lists every lost write.`,
  );
  printLacks(operation.from, loss.branches ?? []);
}

/** What was heard of branches beyond what has arrived. */
function printLacks(from: string, lacks: readonly BranchLack[]): void {
  const behind = lacks.filter(({ lsn }) => lsn !== null);
  const absent = lacks.filter(({ lsn }) => lsn === null);
  if (absent.length > 0)
    console.log(
      `not here at all: ${lacksText(absent, formatBytes)}. \`sextant branch list\` tells where each is`,
    );
  if (behind.length === 0) return;
  console.log(
    `not arrived either: ${lacksText(behind, formatBytes)}, as last heard. ${from} sends that once it is back, to each branch ` +
      'that nobody has written or read with consistency global before; of the others it lists what is lost.',
  );
}

type MoveOptions = AskOptions & {
  readonly to: string;
  readonly allowDataLoss?: boolean;
  readonly sacrifice?: string;
};

/** What `--sacrifice` names. */
const namesIn = (list: string | undefined): readonly string[] =>
  list === undefined
    ? []
    : list
        .split(',')
        .map((name) => name.trim())
        .filter((name) => name !== '');

async function move(kind: 'switchover' | 'failover', options: MoveOptions): Promise<void> {
  const target = targetOf(options);
  if (target.local === undefined) await requireRegion(target, options.to);
  const gateways = gatewaysFor(target, options.to);
  const sacrifice = namesIn(options.sacrifice);
  const body =
    kind === 'switchover'
      ? { target: options.to }
      : {
          target: options.to,
          allowDataLoss: options.allowDataLoss === true,
          ...(sacrifice.length > 0 && { sacrifice }),
        };
  const operation = await follow(await begin(gateways, `/v1/${kind}`, target, body), gateways, target);
  if (options.json === true) printJson(operation);
  else if (operation.traceId !== undefined) note(`trace ${operation.traceId}`);
  if (operation.state === 'failed') {
    throw new CliError(operation.error?.message ?? `the ${kind} failed`, operation.error?.code ?? undefined);
  }
  if (options.json !== true) printOperation(operation);
}

async function cancel(id: string, options: AskOptions): Promise<void> {
  const target = targetOf(options);
  const path = `/v1/operations/${encodeURIComponent(id)}/cancel`;
  const region = operationRegion(id);
  const gateways = region === null ? target.gateways : gatewaysFor(target, region);
  const begun = await begin(gateways, path, target, {});
  const operation = await follow(begun, gateways, target);
  const isCancelled = operation.error?.code === 'CANCELLED';
  if (options.json === true) printJson(operation);
  if (!isCancelled)
    throw new CliError(
      operation.error?.message ?? `operation ${id} was not cancelled: ${operation.target} had taken over`,
      operation.error?.code ?? 'TOO_LATE',
    );
  if (options.json !== true) console.log(operation.error?.message ?? 'cancelled');
}

async function requireRegion(target: Target, region: string): Promise<void> {
  const known = (await regionsOf(target)).map(({ name }) => name);
  if (!known.includes(region)) throw unknownRegion(region, known);
}

export function addMoveCommands(program: Command): void {
  withExample(
    withAsk(program.command('switchover'))
      .description('move the primary to another region; no write is lost and no request fails')
      .requiredOption('--to <region>', 'the region to become primary')
      .action((options: MoveOptions) => move('switchover', options)),
    'sextant switchover --to eu-west-1',
  );
  withExample(
    withAsk(program.command('failover'))
      .description('make another region primary without the one that is lost')
      .requiredOption('--to <region>', 'the region to become primary')
      .option('--allow-data-loss', 'also when writes that had not reached the region are lost')
      .option(
        '--sacrifice <regions>',
        'regions whose newer redo is thrown away, by name: a failover past a better survivor is refused without it',
      )
      .action((options: MoveOptions) => move('failover', options)),
    'sextant failover --to eu-west-1 --allow-data-loss',
  );
  withExample(
    withAsk(program.command('cancel').argument('<operation>'))
      .description('give up a switchover or failover, until its target has taken over')
      .action(cancel),
    'sextant cancel eu-west-1.1b0c3297f264',
  );
}
