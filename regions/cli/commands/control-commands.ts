/** `sextant control rebuild`: makes a control record anew that NATS has lost, out of what the storage nodes know. */
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { z } from 'zod';
import { requestAction } from '../../local/control-socket.ts';
import { requireDeployment } from '../../local/deployment-file.ts';
import { controlSocket } from '../../local/layout/local-layout.ts';
import { bringUp, runningSupervisor } from '../../local/local-deployment.ts';
import { type RebuildReply, rebuildReplySchema } from '../../rebuild/core/rebuild-request.ts';
import { type Answer, failWith, type Target, targetOf } from '../ask/admin-client.ts';
import { type AskReply, send } from '../ask/operator.ts';
import { type AskOptions, withAsk, withExample } from '../ask/options.ts';
import { CliError, note, printJson } from '../ask/output.ts';
import { programs } from './up-commands.ts';

type RebuildOptions = AskOptions & {
  readonly primary?: string;
  readonly without?: string;
  readonly dryRun?: boolean;
};

const retryMs = 500;
const requestTimeoutMs = 40_000;
/** Starting a deployment, waiting out a lease that may still hold, and an election of the new bucket's leader. */
const patienceMs = 90_000;
const refusalSchema = z.looseObject({ code: z.string(), message: z.string(), waitMs: z.number().optional() });

type Asked =
  | { readonly kind: 'done'; readonly reply: RebuildReply }
  | { readonly kind: 'later'; readonly why: string; readonly waitMs: number };

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Asks one agent. @throws CliError when it refuses for a reason that waiting does not remove. */
async function askAgent(agent: string, target: Target, options: RebuildOptions): Promise<Asked> {
  const body = {
    ...(options.primary !== undefined && { primary: options.primary }),
    ...(options.without !== undefined && { without: options.without.split(',').map((name) => name.trim()) }),
    dryRun: options.dryRun === true,
  };
  let response: AskReply;
  try {
    response = await send(new URL('/v1/control/rebuild', agent), {
      method: 'POST',
      headers: { ...target.headers, 'content-type': 'application/json' },
      body: JSON.stringify(body),
      timeoutMs: requestTimeoutMs,
    });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { kind: 'later', why: `${agent} does not answer (${why})`, waitMs: retryMs };
  }
  const json = jsonOf(response.text);
  const reply = rebuildReplySchema.safeParse(json);
  if (response.ok && reply.success) return { kind: 'done', reply: reply.data };
  const refusal = refusalSchema.safeParse(json);
  if (!refusal.success)
    throw new CliError(`${agent} answers HTTP ${response.status} and is no agent of this version`);
  const { code, message, waitMs } = refusal.data;
  const passes = code === 'WAIT_FOR_LEASE' || code === 'REGION_SILENT' || code === 'CONTROL_UNAVAILABLE';
  if (passes) return { kind: 'later', why: `${code}: ${message}`, waitMs: waitMs ?? retryMs };
  const refused: Answer = { kind: 'refused', status: response.status, code, message };
  return failWith(refused);
}

/**
 * Asks until it is done. What may pass by itself (a lease that runs out, agents that are starting) is waited for;
 * a region that stays silent is a refusal in the end.
 */
async function rebuilt(target: Target, options: RebuildOptions, patience: number): Promise<RebuildReply> {
  const agents = target.local === undefined ? target.gateways : target.agents;
  const deadline = performance.now() + patience;
  let told = '';
  for (let turn = 0; ; turn++) {
    const agent = agents[turn % agents.length] ?? '';
    const asked = await askAgent(agent, target, options);
    if (asked.kind === 'done') return asked.reply;
    if (performance.now() > deadline) throw new CliError(asked.why);
    const kind = asked.why.slice(0, 20);
    if (kind !== told) note(`${asked.why}; waiting`);
    told = kind;
    await sleep(Math.min(asked.waitMs, 2_000));
  }
}

/** Silence has to be final before it is reported: agents of a running deployment answer within a report or two. */
const runningPatienceMs = 30_000;

async function rebuild(options: RebuildOptions): Promise<void> {
  const target = targetOf(options);
  if (target.local === undefined || runningSupervisor(resolve(options.data)) !== undefined) {
    const reply = await rebuilt(target, options, runningPatienceMs);
    print(reply, options);
    if (reply.written && reply.restart) await restart(target, options);
    return;
  }
  requireDeployment(options.data);
  note('the deployment does not run: starting it for this');
  let failure: unknown;
  let reply: RebuildReply | undefined;
  let ended: Promise<void> = Promise.resolve();
  const running = await bringUp(
    { dataDir: options.data },
    {
      onProgress: note,
      programs,
      onStarting: (started) => {
        ended = rebuilt(target, options, patienceMs)
          .then(async (done) => {
            reply = done;
            if (options.dryRun === true) await started.stop();
          })
          .catch(async (error: unknown) => {
            failure = error;
            await started.stop();
          });
      },
    },
  ).catch((error: unknown) => {
    if (failure === undefined && reply === undefined) throw error;
    return undefined;
  });
  await ended;
  await running?.stop();
  if (failure !== undefined) throw failure;
  if (reply === undefined) throw new CliError('interrupted before anything was written');
  print(reply, options);
  if (reply.written) note('it has been stopped again: `sextant up` starts it');
}

function print(reply: RebuildReply, options: RebuildOptions): void {
  if (options.json === true) {
    printJson(reply);
    return;
  }
  const { primary, epoch, found, written } = reply;
  console.log(`found: ${found}`);
  console.log(
    written
      ? `the control record was made anew: ${primary} is primary, epochs go on above ${epoch}`
      : `would be written: ${primary} primary, epochs above ${epoch}`,
  );
  // Nothing but the lost record had it.
  console.log(
    'the policy is the default one: no failover begins by itself and no write waits for another region; `sextant policy` sets it',
  );
}

/** Processes that saw the lost record do not believe revisions that begin anew. */
async function restart(target: Target, options: RebuildOptions): Promise<void> {
  if (target.local === undefined) {
    note(
      'start every agent and every gateway again: they have seen higher revisions and do not believe the new record',
    );
    return;
  }
  for (const region of target.local.regions) {
    for (const name of ['gateway', 'agent']) {
      for (const action of ['kill', 'start'] as const) {
        const result = await requestAction(controlSocket(options.data), {
          action,
          target: `${region}/${name}`,
        });
        if ('error' in result)
          throw new CliError(`${region}/${name} has to be started again: ${result.error}`);
      }
    }
  }
  note('agents and gateways were started again, so that they believe the new record');
}

export function addControlCommands(program: Command): void {
  const control = program.command('control').description('the control record that says which region writes');
  withExample(
    withAsk(control.command('rebuild'))
      .description(
        'make a control record anew that NATS has lost, out of what the storage nodes know; refused while it can be read. ' +
          'With --url it takes the address of an agent, and the cluster secret as --token',
      )
      .option('--primary <region>', 'the region to become primary (default: the one that holds most)')
      .option('--without <regions>', 'regions that are lost for good and need not say what they hold')
      .option('--dry-run', 'say what was found and would be written, and write nothing')
      .action(rebuild),
    'sextant control rebuild --dry-run',
  );
}
