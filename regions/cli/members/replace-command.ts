/** `sextant node replace`: puts a new storage node in the place of an old one, with its progress; goes on with that, or gives it up. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { callSupervisor } from '../../local/control-socket.ts';
import { controlSocket } from '../../local/layout/local-layout.ts';
import { type NodesReply, type NodesRequest, nodesReplySchema } from '../../local/local-members.ts';
import { type Members, type MembersAct, membersSchema } from '../../members/core/members-request.ts';
import {
  type Answer,
  ask,
  failWith,
  regionsOf,
  type Target,
  targetOf,
  unknownRegion,
} from '../ask/admin-client.ts';
import { type AskOptions, withAsk, withExample } from '../ask/options.ts';
import { CliError, note, paint, printJson } from '../ask/output.ts';

type ReplaceOptions = AskOptions & {
  readonly with?: string;
  readonly az?: string;
  readonly resume?: boolean;
  readonly cancel?: boolean;
};

const pollMs = 300;
const requestTimeoutMs = 10_000;
const supervisorTimeoutMs = 90_000;
/** How long nobody may answer before the command gives up watching; the replacement goes on. */
const silenceMsMax = 60_000;

/** What is to be done, once the words of the command line are understood. */
interface Wish {
  readonly region: string;
  readonly out: string;
  readonly act: MembersAct;
}

function nodeOf(target: string): { readonly region: string; readonly out: string } {
  const [region = '', out = '', ...more] = target.split('/');
  if (region !== '' && out !== '' && more.length === 0) return { region, out };
  throw new CliError(`a node is written region/node, such as us-east-1/n6, not ${target}`);
}

/** The new node as `--with` names it. */
export function newNodeIn(text: string): { readonly node: string; readonly address: string } {
  const match = /^([a-z0-9][a-z0-9-]{0,62})@((?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):\d{1,5})$/.exec(text);
  const [, node, address] = match ?? [];
  if (node !== undefined && address !== undefined) return { node, address };
  throw new CliError(`--with is a name and an address, such as n7@10.0.0.7:7007, not ${text}`);
}

/** Answers of any gateway, or of the region's own agent. */
export async function askMembers(target: Target, region: string, act?: MembersAct): Promise<Answer> {
  const own = target.endpoints.find((endpoint) => endpoint.region === region);
  const bases = [
    ...(own === undefined ? [] : [own.gateway]),
    ...target.gateways,
    ...(own === undefined ? [] : [own.agent]),
  ];
  let last: Answer = { kind: 'unreachable', message: 'no gateway is known' };
  for (const base of new Set(bases)) {
    const path = `/v1/regions/${encodeURIComponent(region)}/members`;
    last = await ask(base, path, target.headers, act, requestTimeoutMs);
    // Asking again does no harm: what is under way already is answered as begun.
    if (last.kind === 'ok' || (last.kind === 'refused' && last.status !== 503 && last.status !== 504))
      return last;
  }
  return last;
}

export function membersIn(answer: Answer): Members {
  if (answer.kind !== 'ok') return failWith(answer);
  const parsed = membersSchema.safeParse(answer.body);
  if (!parsed.success) throw new CliError('the gateway gave an answer this version cannot read');
  return parsed.data;
}

async function supervisor(
  data: string,
  request: NodesRequest,
): Promise<Exclude<NodesReply, { error: string }>> {
  const answer = await callSupervisor(controlSocket(data), 'POST', '/nodes', request, supervisorTimeoutMs);
  const parsed = nodesReplySchema.safeParse(answer);
  if (!parsed.success)
    throw new CliError('no supervisor answers: is the deployment running? (`sextant up`, or another --data)');
  if ('error' in parsed.data) throw new CliError(parsed.data.error);
  return parsed.data;
}

async function wishOf(target: Target, name: string, options: ReplaceOptions): Promise<Wish> {
  const { region, out } = nodeOf(name);
  const known = target.local?.regions ?? (await regionsOf(target)).map((found) => found.name);
  if (!known.some((found) => found === region)) throw unknownRegion(region, known);
  const given = [options.with, options.resume, options.cancel].filter((option) => option !== undefined);
  if (given.length > 1)
    throw new CliError('--with, --resume and --cancel are three different things: give one of them');
  if (options.resume === true) return { region, out, act: { act: 'resume' } };
  if (options.cancel === true) return { region, out, act: { act: 'cancel' } };
  const az = options.az === undefined ? {} : { az: options.az };
  if (target.local !== undefined) {
    if (options.with !== undefined)
      throw new CliError('on a local deployment the new node is made by the supervisor: leave --with out');
    note(`starting a node in the place of ${out} …`);
    const made = await supervisor(options.data, { act: 'add', region, out });
    if (!('node' in made)) throw new CliError('the supervisor answered something else');
    return { region, out, act: { act: 'replace', out, ...made } };
  }
  if (options.with === undefined)
    throw new CliError(
      `--with NAME@HOST:PORT says which node is to take the place of ${name}: start it on its machine first (see DEPLOY.md)`,
    );
  return { region, out, act: { act: 'replace', out, ...newNodeIn(options.with), ...az } };
}

const phaseWords: Readonly<Record<string, string>> = {
  probing: 'looking at the new node',
  installing: 'telling the nodes',
  preparing: 'asking for their votes',
  voting: 'deciding',
  filling: 'filling the new node',
  ended: 'done',
};

/** What there is to say of how it gets on. */
export function progressOf({ joining, change }: Members): string {
  if (change === null)
    return joining === null ? '' : `${joining.in} for ${joining.out}: waiting for the agent`;
  const { phase, filledLsn, ofLsn, waitsFor } = change;
  const of =
    ofLsn === null || ofLsn === 0 ? null : Math.min(100, Math.floor((100 * (filledLsn ?? 0)) / ofLsn));
  const share = phase === 'filling' && of !== null ? `: ${of} % (LSN ${filledLsn ?? 0} of ${ofLsn})` : '';
  return `${phaseWords[phase] ?? phase}${share}${waitsFor === '' ? '' : `; ${waitsFor}`}`;
}

/** How it ended, by what the agent says or, if that was started again meanwhile, by the nodes; null while it goes on. */
export function outcomeOf(
  { change, ended, joining, nodes }: Members,
  { out, act }: Pick<Wish, 'out' | 'act'>,
): { readonly outcome: 'replaced' | 'reverted' | 'nothing' | 'refused'; readonly message: string } | null {
  if (change !== null) return null;
  if (ended !== null) return ended;
  if (joining !== null) return null;
  const names = nodes.map(({ id }) => id);
  const list = names.join(', ');
  if (act.act === 'replace' && names.includes(act.node) && !names.includes(out))
    return { outcome: 'replaced', message: `the storage nodes are ${list} now` };
  if (act.act === 'cancel' && names.includes(out))
    return { outcome: 'reverted', message: `the storage nodes are ${list}` };
  return null;
}

async function follow(
  target: Target,
  wish: Wish,
): Promise<{ readonly outcome: string; readonly message: string }> {
  let said = '';
  let answeredAtMs = performance.now();
  let asksAgainAtMs = Number.POSITIVE_INFINITY;
  for (;;) {
    const answer = await askMembers(target, wish.region);
    const nowMs = performance.now();
    if (answer.kind === 'ok') {
      answeredAtMs = nowMs;
      const members = membersIn(answer);
      const outcome = outcomeOf(members, wish);
      if (outcome !== null) return outcome;
      const line = progressOf(members);
      if (line !== said && line !== '') note(line);
      said = line;
      // An agent that was killed before anything was decided knows nothing of the wish.
      const isForgotten = members.change === null && members.joining === null;
      if (!isForgotten) asksAgainAtMs = Number.POSITIVE_INFINITY;
      else if (asksAgainAtMs === Number.POSITIVE_INFINITY) asksAgainAtMs = nowMs + 1_000;
      else if (nowMs > asksAgainAtMs) {
        asksAgainAtMs = Number.POSITIVE_INFINITY;
        await askMembers(target, wish.region, wish.act);
      }
    } else if (nowMs - answeredAtMs > silenceMsMax)
      throw new CliError(
        `lost sight of the replacement: ${answer.message}. It goes on by itself; \`sextant node replace ${wish.region}/${wish.out} --resume\` shows how`,
      );
    await sleep(pollMs);
  }
}

async function replace(name: string, options: ReplaceOptions): Promise<void> {
  const target = targetOf(options);
  const wish = await wishOf(target, name, options);
  const begun = await askMembers(target, wish.region, wish.act);
  if (begun.kind !== 'ok') failWith(begun);
  const { outcome, message } = await follow(target, wish);
  const members = membersIn(await askMembers(target, wish.region));
  if (target.local !== undefined && members.joining === null) await settle(members, options);
  if (options.json === true) printJson({ outcome, message, ...members });
  const wanted = wish.act.act === 'cancel' ? ['reverted', 'nothing'] : ['replaced', 'nothing'];
  if (!wanted.includes(outcome)) throw new CliError(message, outcome.toUpperCase());
  if (options.json !== true) console.log(paint('green', message));
  if (target.local === undefined && outcome === 'replaced')
    note(
      `put the new node in the place of ${wish.out} in region.yaml of every machine of ${wish.region} (\`sextant config check FILE --url …\` says where), and stop ${wish.out}`,
    );
}

/** Of the two nodes the one that does not count any more is stopped. */
async function settle({ region, nodes }: Members, options: ReplaceOptions): Promise<void> {
  const members = nodes.map(({ id }) => id);
  const settled = await supervisor(options.data, { act: 'settle', region, members });
  if ('stopped' in settled && settled.stopped !== null) note(`stopped ${region}/${settled.stopped}`);
}

/** Adds `replace` to the command `node`. */
export function addReplaceCommand(node: Command): void {
  withExample(
    withAsk(node.command('replace').argument('<region/node>'))
      .description('put a new storage node in the place of one, dead or alive, while writes go on')
      .option('--with <name@host:port>', 'the new node, which runs already; a local deployment makes its own')
      .option('--az <zone>', 'its zone; by default that of the old node')
      .option('--resume', 'go on with a replacement that was begun, and show how it gets on')
      .option('--cancel', 'give it up: the region keeps the nodes that it had')
      .action(replace),
    'sextant node replace us-east-1/n6',
    'sextant node replace us-east-1/n6 --with n7@10.0.0.7:7007 --url https://gateway.example:7011',
    'sextant node replace us-east-1/n6 --cancel',
  );
}
