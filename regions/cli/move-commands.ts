/** `sextant switchover`, `failover` and `losses`: managed moves of the primary with their progress, and what failovers lost. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { z } from 'zod';
import {
  type Answer,
  ask,
  askAny,
  failWith,
  regionsOf,
  type Target,
  targetOf,
  unknownRegion,
} from './admin-client.ts';
import { type AskOptions, withAsk, withExample } from './options.ts';
import { CliError, formatBytes, formatMs, note, paint, printJson, table } from './output.ts';

const lossSchema = z.looseObject({});

const operationSchema = z.looseObject({
  id: z.string(),
  kind: z.enum(['switchover', 'failover']),
  target: z.string(),
  from: z.string().nullish(),
  state: z.enum(['running', 'done', 'failed']),
  phases: z
    .array(z.looseObject({ name: z.string(), startedAtMs: z.number(), endedAtMs: z.number().nullish() }))
    .default([]),
  error: z.looseObject({ code: z.string().nullish(), message: z.string() }).nullish(),
  result: z
    .looseObject({
      pauseMs: z.number().nullish(),
      rtoMs: z.number().nullish(),
      lossReport: lossSchema.nullish(),
    })
    .nullish(),
});
type Operation = z.output<typeof operationSchema>;

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

const words = (name: string): string => name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);

/** A value in a list of facts: units by the end of its name, as everywhere in this project. */
function fact(name: string, value: unknown): string {
  if (typeof value === 'number') {
    if (/Bytes$/.test(name)) return formatBytes(value);
    if (/AtMs$|TimeMs$/.test(name)) return new Date(value).toISOString();
    if (/Ms$/.test(name)) return formatMs(value);
  }
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

function facts(entries: Readonly<Record<string, unknown>>, indent: string): string {
  return Object.entries(entries)
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => `${indent}${words(name)}: ${fact(name, value)}`)
    .join('\n');
}

function printOperation(operation: Operation): void {
  console.log(paint('green', `${operation.kind} to ${operation.target} done`));
  const { lossReport, pauseMs, rtoMs } = operation.result ?? {};
  if (typeof pauseMs === 'number') console.log(`writes paused for ${formatMs(pauseMs)}`);
  if (typeof rtoMs === 'number') console.log(`writes were back after ${formatMs(rtoMs)} (RTO)`);
  if (lossReport !== null && lossReport !== undefined) console.log(`lost:\n${facts(lossReport, '  ')}`);
}

type MoveOptions = AskOptions & { readonly to: string; readonly allowDataLoss?: boolean };

async function move(kind: 'switchover' | 'failover', options: MoveOptions): Promise<void> {
  const target = targetOf(options);
  if (target.local === undefined) await requireRegion(target, options.to);
  const gateways = gatewaysFor(target, options.to);
  const body =
    kind === 'switchover'
      ? { target: options.to }
      : { target: options.to, allowDataLoss: options.allowDataLoss === true };
  const operation = await follow(await begin(gateways, `/v1/${kind}`, target, body), gateways, target);
  if (options.json === true) printJson(operation);
  if (operation.state === 'failed') {
    throw new CliError(operation.error?.message ?? `the ${kind} failed`, operation.error?.code ?? undefined);
  }
  if (options.json !== true) printOperation(operation);
}

async function requireRegion(target: Target, region: string): Promise<void> {
  const known = (await regionsOf(target)).map(({ name }) => name);
  if (!known.includes(region)) throw unknownRegion(region, known);
}

async function losses(epoch: string | undefined, options: AskOptions): Promise<void> {
  if (epoch !== undefined && !/^\d+$/.test(epoch)) throw new CliError(`an epoch is a number, not ${epoch}`);
  const target = targetOf(options);
  const answer = await askAny(
    target.gateways,
    epoch === undefined ? '/v1/losses' : `/v1/losses/${epoch}`,
    target.headers,
  );
  const body = answer.kind === 'ok' ? answer.body : failWith(answer);
  if (options.json === true) return printJson(body);
  const list = z.union([
    z.array(lossSchema),
    z.looseObject({ losses: z.array(lossSchema) }).transform((all) => all.losses),
  ]);
  const several = list.safeParse(body);
  if (several.success) {
    if (several.data.length === 0) return console.log('no write was ever lost');
    const columns = Object.keys(several.data[0] ?? {}).filter(
      (name) => typeof several.data[0]?.[name] !== 'object',
    );
    const rows = several.data.map((loss) => columns.map((name) => fact(name, loss[name])));
    return console.log(
      table(
        columns.map((name) => words(name).toUpperCase()),
        rows,
      ),
    );
  }
  console.log(facts(lossSchema.parse(body), ''));
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
      .action((options: MoveOptions) => move('failover', options)),
    'sextant failover --to eu-west-1 --allow-data-loss',
  );
  withExample(
    withAsk(program.command('losses').argument('[epoch]'))
      .description('what failovers lost: all of them, or one by its epoch')
      .action(losses),
    'sextant losses 3 --json',
  );
}
