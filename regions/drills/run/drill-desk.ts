/**
 * The supervisor's desk for drills that are asked for over HTTP: each is run as a command of its own, exactly as a person
 * would run it, so that it outlives whatever it kills.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { EndedDrill, MoreRoutes } from '../../local/control-socket.ts';
import { type DrillRequest, deskStartMs, drillRequestSchema } from '../core/drill-kinds.ts';
import { listDrills, noteEnded, runningDrill, showDrill } from './drill-history.ts';

const pollMs = 100;
const outputMax = 8 * 1024;
const errorSchema = z.object({ error: z.object({ code: z.string().nullable(), message: z.string() }) });

type Reply = readonly [number, unknown];
const refusal = (status: number, code: string, message: string): Reply => [status, { code, message }];

const argumentsOf = (request: DrillRequest): readonly string[] => [
  request.kind,
  ...(request.region === undefined ? [] : ['--region', request.region]),
  ...(request.rtoMs === undefined ? [] : ['--rto-ms', `${request.rtoMs}`]),
  ...(request.rpoCommits === undefined ? [] : ['--rpo-commits', `${request.rpoCommits}`]),
  '--load',
  `${request.load}`,
  '--seconds',
  `${request.seconds}`,
];

/** @param command what runs `sextant`: a program and its first arguments. */
export function drillDesk(dataDir: string, command: readonly string[]): MoreRoutes {
  const running = new Set<ChildProcess>();
  const start = async (body: unknown): Promise<Reply> => {
    const request = drillRequestSchema.safeParse(body);
    if (!request.success) return refusal(400, 'BAD_REQUEST', z.prettifyError(request.error));
    const [program = process.execPath, ...first] = command;
    const child = spawn(
      program,
      [...first, 'drill', ...argumentsOf(request.data), '--json', '--data', dataDir],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    running.add(child);
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-outputMax);
    });
    const ended = new Promise<void>((resolve) => {
      child.once('close', () => {
        running.delete(child);
        resolve();
      });
      child.once('error', (error) => {
        said = error.message;
        running.delete(child);
        resolve();
      });
    });
    const deadline = performance.now() + deskStartMs;
    while (performance.now() < deadline) {
      const drill = child.pid === undefined ? null : runningDrill(dataDir, child.pid);
      if (drill !== null) return [202, drill];
      if (!running.has(child)) return whyNot(said);
      await Promise.race([ended, sleep(pollMs)]);
    }
    child.kill('SIGTERM');
    return refusal(
      409,
      'DRILL_NOT_BEGUN',
      `the drill has not begun within ${deskStartMs / 1_000} s and was stopped`,
    );
  };
  const ended = new Map<string, EndedDrill>();
  return {
    endedDrills() {
      noteEnded(dataDir, ended);
      return [...ended.values()];
    },
    answer(method, path, body) {
      if (method === 'GET' && path === '/drills')
        return Promise.resolve([200, { drills: listDrills(dataDir) }] as const);
      if (method === 'POST' && path === '/drills') return start(body);
      const id = /^\/drills\/([\w-]+)$/.exec(path)?.[1];
      if (method !== 'GET' || id === undefined) return undefined;
      const found = showDrill(dataDir, id);
      return Promise.resolve(
        found === null
          ? refusal(404, 'UNKNOWN_DRILL', `There is no drill ${id}; GET /v1/drills names those there are.`)
          : ([200, found] as const),
      );
    },
    close() {
      // What they broke is stopped as well, and nobody is left who could heal it: the history calls them abandoned.
      for (const child of running) child.kill('SIGKILL');
    },
  };
}

/** What a command that ended before its drill began has said. */
function whyNot(said: string): Reply {
  for (const line of said.trim().split('\n').reverse()) {
    try {
      const parsed = errorSchema.safeParse(JSON.parse(line));
      if (parsed.success)
        return refusal(409, parsed.data.error.code ?? 'DRILL_REFUSED', parsed.data.error.message);
    } catch {
      // Another line may be the one.
    }
  }
  return refusal(409, 'DRILL_REFUSED', `the drill did not begin: ${said.trim().slice(-500)}`);
}
