/** `sextant rewind`: takes the database back to a place in its history, or forward again, and says what takes it back. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { parsePlace, placeForms } from '../../place/core/place.ts';
import { type RewindReport, rewindSchema } from '../../rewind/core/rewind-request.ts';
import {
  type Answer,
  ask,
  askAny,
  failWith,
  fetchStatus,
  type Target,
  targetOf,
} from '../ask/admin-client.ts';
import { type AskOptions, withAsk, withExample } from '../ask/options.ts';
import { CliError, formatMs, note, paint, printJson } from '../ask/output.ts';

type RewindOptions = AskOptions & { readonly to: string; readonly branch: string };

const startTimeoutMs = 15_000;
const pollMs = 100;
const endTimeoutMs = 120_000;
/** How long the other regions are waited for; they follow by themselves. */
const followMs = 10_000;

function rewindIn(answer: Answer): RewindReport {
  if (answer.kind !== 'ok') return failWith(answer);
  const parsed = rewindSchema.safeParse(answer.body);
  if (!parsed.success) throw new CliError('the gateway gave a rewind that this version cannot read');
  return parsed.data;
}

/** Only a gateway that cannot have been reached is passed over: a second one could be asked for a second rewind. */
async function begin(target: Target, body: object): Promise<RewindReport> {
  let last: Answer = { kind: 'unreachable', message: 'no gateway is known' };
  for (const base of [...target.gateways, ...target.agents]) {
    last = await ask(base, '/v1/rewind', target.headers, body, startTimeoutMs);
    if (last.kind === 'refused' && last.status === 421) continue;
    if (last.kind !== 'unreachable' || !/ECONNREFUSED/.test(last.message)) return rewindIn(last);
  }
  return rewindIn(last);
}

async function follow(begun: RewindReport, target: Target): Promise<RewindReport> {
  const deadline = performance.now() + endTimeoutMs;
  let rewind = begun;
  while (rewind.state === 'under-way') {
    if (performance.now() > deadline)
      throw new CliError(`rewind ${begun.id} is still under way; \`sextant status\` tells when it is over`);
    await sleep(pollMs);
    const answer = await askAny(
      [...target.gateways, ...target.agents],
      `/v1/rewinds/${encodeURIComponent(begun.id)}`,
      target.headers,
    );
    if (answer.kind === 'ok') rewind = rewindIn(answer);
    else if (answer.kind === 'refused' && answer.status === 404)
      throw new CliError(
        `lost sight of rewind ${begun.id}: ${answer.message}. \`sextant status\` tells whether it is over`,
      );
  }
  return rewind;
}

/** Regions that have not followed within the time, of those that are heard. */
async function behind(epoch: number, target: Target): Promise<readonly string[]> {
  const deadline = performance.now() + followMs;
  for (;;) {
    const answer = await fetchStatus(target);
    const heard =
      answer.kind === 'ok' ? answer.status.regions.filter(({ role }) => role !== 'offline') : null;
    const names = heard?.filter((region) => Number(region.epoch ?? 0) < epoch).map(({ name }) => name) ?? [];
    if ((heard !== null && names.length === 0) || performance.now() > deadline) return names;
    await sleep(pollMs);
  }
}

async function rewind(options: RewindOptions): Promise<void> {
  const { to, branch } = options;
  if (parsePlace(to) === null) throw new CliError(`--to is ${placeForms}, not ${to}`);
  const target = targetOf(options);
  const done = await follow(await begin(target, { to, branch }), target);
  if (done.state === 'given-up')
    throw new CliError(`rewind ${done.id} was given up, and writes went on where they ended: ${done.reason}`);
  const notYet = await behind(done.epoch, target);
  if (options.json === true) return printJson({ ...done, behind: notYet });
  const when = done.to.commitTime === null ? '' : `, as of ${done.to.commitTime}`;
  console.log(paint('green', `the database stands at LSN ${done.to.lsn} of epoch ${done.to.epoch}${when}`));
  if (done.tookMs !== null) note(`writes went on after ${formatMs(done.tookMs)}, in epoch ${done.epoch}`);
  if (notYet.length > 0) note(`not there yet, and following by themselves: ${notYet.join(', ')}`);
  if (done.left !== null)
    console.log(
      `forward again, while the log is kept: sextant rewind --to ${done.left.epoch}:${done.left.lsn}`,
    );
}

export function addRewindCommand(program: Command): void {
  withExample(
    withAsk(program.command('rewind'))
      .description(
        'take the database back to a place in its history, in every region, or forward again to one that was left; nothing is deleted',
      )
      .requiredOption('--to <lsn|time|epoch:lsn>', `the last transaction at or before ${placeForms}`)
      .option('--branch <name>', 'only main can be rewound', 'main')
      .action(rewind),
    'sextant rewind --to 2026-11-29T11:59:59Z',
    'sextant rewind --to 7:123456',
  );
}
