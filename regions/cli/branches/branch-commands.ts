/** `sextant branch create|list|delete`: databases that share their past with another one, of which nothing is copied. */
import type { Command } from 'commander';
import { z } from 'zod';
import { type Answer, ask, askAny, failWith, type Target, targetOf } from '../ask/admin-client.ts';
import { type AskOptions, withAsk, withExample } from '../ask/options.ts';
import { CliError, formatBytes, formatMs, printJson, table } from '../ask/output.ts';

type CreateOptions = AskOptions & { readonly at?: string; readonly from?: string };

const branchSchema = z.looseObject({
  name: z.string(),
  epoch: z.number(),
  lsn: z.number().nullish(),
  parent: z.number().nullish(),
  forkLsn: z.number().nullish(),
  createdAtMs: z.number().nullish(),
  url: z.string().nullish(),
  regions: z
    .array(z.looseObject({ region: z.string(), lagBytes: z.number().nullish(), lagMs: z.number().nullish() }))
    .default([]),
});
type Branch = z.output<typeof branchSchema>;
const branchesSchema = z.looseObject({ branches: z.array(branchSchema) });

/** As long as a gateway asks the agents of six regions, one after another. */
const changeTimeoutMs = 20_000;
const path = '/v1/branches';

/** A gateway, else the agent that may: whoever does not answer, or is not the one to ask, is passed over. */
async function change(
  target: Target,
  method: 'POST' | 'DELETE',
  at: string,
  body?: object,
): Promise<{ readonly answer: Answer; readonly mayHaveActed: boolean }> {
  let answer: Answer = { kind: 'unreachable', message: 'no gateway is known' };
  let mayHaveActed = false;
  for (const base of [...target.gateways, ...target.agents]) {
    answer = await ask(base, at, target.headers, body, changeTimeoutMs, method);
    const passOver = answer.kind === 'refused' && (answer.status === 503 || answer.status === 421);
    if (answer.kind === 'ok' || (answer.kind === 'refused' && !passOver)) break;
    // A gateway whose agent gave no answer knows no more.
    mayHaveActed ||= answer.kind === 'unreachable' || answer.code === 'AGENT_UNREACHABLE';
  }
  return { answer, mayHaveActed };
}

function read(body: unknown): Branch {
  const parsed = branchSchema.safeParse(body);
  if (!parsed.success) throw new CliError('the gateway gave a branch that this version cannot read');
  return parsed.data;
}

async function listed(target: Target): Promise<readonly Branch[]> {
  const answer = await askAny([...target.gateways, ...target.agents], path, target.headers);
  if (answer.kind !== 'ok') failWith(answer);
  const parsed = branchesSchema.safeParse(answer.body);
  if (!parsed.success) throw new CliError('the gateway gave branches that this version cannot read');
  return parsed.data.branches;
}

async function create(name: string, options: CreateOptions): Promise<void> {
  const target = targetOf(options);
  const { at, from } = options;
  const body = { name, ...(at !== undefined && { at }), ...(from !== undefined && { from }) };
  const { answer, mayHaveActed } = await change(target, 'POST', path, body);
  // The first one that was asked may have made it and not lived to say so.
  const isOurs = mayHaveActed && answer.kind === 'refused' && answer.code === 'BRANCH_EXISTS';
  const found = isOurs ? (await listed(target)).find((branch) => branch.name === name) : undefined;
  if (answer.kind !== 'ok' && found === undefined) failWith(answer);
  const branch = found ?? read(answer.kind === 'ok' ? answer.body : undefined);
  if (options.json === true) return printJson(branch);
  console.log(
    `${branch.name} leaves LSN ${branch.forkLsn ?? '?'} of epoch ${branch.parent ?? '?'}; nothing was copied`,
  );
  if (typeof branch.url === 'string') console.log(`url: ${branch.url}`);
}

async function list(options: AskOptions): Promise<void> {
  const branches = await listed(targetOf(options));
  if (options.json === true) return printJson({ branches });
  const there = branches.find(({ name }) => name === 'main')?.regions.map(({ region }) => region) ?? [];
  console.log(
    table(
      ['BRANCH', 'EPOCH', 'LSN', 'LEFT', 'LAG', 'URL'],
      branches.map((branch) => [
        branch.name,
        String(branch.epoch),
        branch.lsn === null || branch.lsn === undefined ? 'unknown' : String(branch.lsn),
        typeof branch.parent === 'number' ? `${branch.parent}:${branch.forkLsn ?? '?'}` : '',
        lagOf(branch, there),
        branch.url ?? '',
      ]),
    ),
  );
}

/** Of each region that lacks something of it. @param all the regions that have anything. */
function lagOf({ regions }: Branch, all: readonly string[]): string {
  const behind = regions.flatMap(({ region, lagBytes, lagMs }) => {
    if (lagBytes === 0) return [];
    const parts = [
      ...(typeof lagBytes === 'number' ? [formatBytes(lagBytes)] : []),
      ...(typeof lagMs === 'number' ? [formatMs(lagMs)] : []),
    ];
    return [`${region}: ${parts.length === 0 ? 'unknown' : parts.join(', ')}`];
  });
  const missing = all.filter((name) => !regions.some(({ region }) => region === name));
  const lines = [...behind, ...missing.map((name) => `${name}: not there yet`)];
  return lines.length === 0 ? 'none' : lines.join('; ');
}

async function remove(name: string, options: AskOptions): Promise<void> {
  const target = targetOf(options);
  const { answer, mayHaveActed } = await change(target, 'DELETE', `${path}/${encodeURIComponent(name)}`);
  const wasOurs = mayHaveActed && answer.kind === 'refused' && answer.code === 'NO_BRANCH';
  if (answer.kind !== 'ok' && !wasOurs) failWith(answer);
  if (options.json === true) return printJson(answer.kind === 'ok' ? read(answer.body) : { name });
  console.log(`${name} is deleted; what it alone held is collected with the log`);
}

export function addBranchCommands(program: Command): void {
  const branch = program
    .command('branch')
    .description('databases that share their past with another one; nothing is copied');
  withExample(
    withAsk(branch.command('create').argument('<name>', 'a-z, 0-9 and -; clients use it in the URL'))
      .description('makes a branch of what is durable now, or was at a place or time')
      .option('--at <place>', 'an LSN, or a time with its zone: 2026-11-29T12:00:00Z')
      .option('--from <branch>', 'the branch that it leaves (main)')
      .action(create),
    'sextant branch create dev',
    'sextant branch create yesterday --at 2026-11-28T18:00:00Z',
  );
  withExample(
    withAsk(branch.command('list'))
      .description('every branch, where it left, how far it is, and its URL')
      .action(list),
    'sextant branch list --json',
  );
  withExample(
    withAsk(branch.command('delete').argument('<name>'))
      .description('deletes a branch; those that were made from it stay')
      .action(remove),
    'sextant branch delete dev',
  );
}
