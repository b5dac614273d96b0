/** How far behind the truth a page is, and what fifty of them cost the writer. */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { takeEvents } from '../../gateway/console/page/core/event-stream.ts';
import { live } from './browser.ts';
import { originOf, pause, type Stage } from './stage.ts';

const quantile = (values: readonly number[], share: number): number =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))] ??
  Number.NaN;

export interface Staleness {
  /** Until a page has drawn it. */
  readonly page: readonly number[];
  /** Until its event has come in, read as a page reads it and without a browser. */
  readonly stream: readonly number[];
}

type Seen = readonly (readonly [atMs: number, vdl: number])[];
const commits = 200;

/** Notes when the stream says what of the primary's durable LSN, until it is told to stop. */
async function note(
  url: string,
  primary: string,
  seen: [number, number][],
  signal: AbortSignal,
): Promise<void> {
  const schema = z.object({
    status: z.object({ regions: z.array(z.object({ name: z.string(), vdl: z.number() })) }),
  });
  let rest = '';
  try {
    const response = await fetch(`${url}/v1/live`, { signal });
    for await (const part of response.body ?? []) {
      const events = takeEvents(rest, Buffer.from(part).toString('utf8'));
      rest = events.rest;
      for (const text of events.data) {
        const { regions } = schema.parse(JSON.parse(text)).status;
        seen.push([Date.now(), regions.find(({ name }) => name === primary)?.vdl ?? 0]);
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

/**
 * From when a client was told that its commit is durable to when that is seen, in milliseconds, for commits at random times. The
 * page notes each change of the primary's durable LSN as it draws it.
 */
export async function staleness(stage: Stage, primary: string, seenAt: string): Promise<Staleness> {
  const { page } = await stage.browser.page();
  await page.goto(`${originOf(stage, seenAt)}/console`);
  await live(page);
  await page.evaluate(`{
    window.shown = [];
    const note = () => {
      const card = document.querySelector('article[aria-label="${primary}"] .facts div:nth-child(2) dd');
      window.shown.push([Date.now(), Number(card.textContent.replaceAll(',', ''))]);
    };
    new MutationObserver(note).observe(document.querySelector('.regions'), { subtree: true, childList: true, characterData: true });
  }`);
  const stop = new AbortController();
  const inStream: [number, number][] = [];
  const reading = note(originOf(stage, seenAt), primary, inStream, stop.signal);
  const client = stage.deployment.client(primary);
  await client.execute('CREATE TABLE IF NOT EXISTS truth (id INTEGER PRIMARY KEY)');
  const truths: { readonly atMs: number; readonly vdl: number }[] = [];
  for (let at = 0; at < commits; at += 1) {
    await client.execute('INSERT INTO truth DEFAULT VALUES');
    const atMs = Date.now();
    truths.push({ atMs, vdl: await stage.deployment.durableAt(primary) });
    await pause(100 + Math.random() * 300);
  }
  await pause(2_000);
  stop.abort();
  await reading;
  const shown = z.array(z.tuple([z.number(), z.number()])).parse(await page.evaluate('window.shown'));
  await page.context().close();
  const behind = (seen: Seen): readonly number[] =>
    truths.map(({ atMs, vdl }) => {
      const first = seen.find(([when, known]) => when >= atMs - 1_000 && known >= vdl);
      if (first === undefined) throw new Error(`nobody was ever shown ${vdl}`);
      return Math.max(0, first[0] - atMs);
    });
  return { page: behind(shown), stream: behind(inStream) };
}

/** Processor time of a process so far, in milliseconds. Linux counts it in hundredths of a second. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** Reads `/v1/live` as a console does, until it is told to stop. @returns how many bytes came. */
async function read(url: string, signal: AbortSignal): Promise<number> {
  let bytes = 0;
  try {
    const response = await fetch(`${url}/v1/live`, { signal });
    for await (const part of response.body ?? []) bytes += part.length;
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  return bytes;
}

export interface ConsoleCost {
  readonly consoles: number;
  /** Of one core, in percent: alone, and with the consoles, turn by turn. */
  readonly alone: readonly number[];
  readonly withConsoles: readonly number[];
  readonly bytesPerConsoleSecond: number;
}

/** @param turnMs how long each turn is; there are three of each kind. */
export async function costOf(
  stage: Stage,
  primary: string,
  consoles = 50,
  turnMs = 15_000,
): Promise<ConsoleCost> {
  const url = originOf(stage, primary);
  const ready = z
    .object({ regions: z.array(z.object({ name: z.string() })) })
    .parse(await (await fetch(`${url}/v1/status`)).json());
  if (ready.regions.length === 0) throw new Error('the gateway knows of no region');
  const pid = await writerPid(url);
  const share = async (): Promise<number> => {
    const [begunMs, begun] = [performance.now(), cpuMs(pid)];
    await pause(turnMs);
    return ((cpuMs(pid) - begun) / (performance.now() - begunMs)) * 100;
  };
  const alone: number[] = [];
  const withConsoles: number[] = [];
  let bytes = 0;
  for (let turn = 0; turn < 3; turn += 1) {
    alone.push(await share());
    const stop = new AbortController();
    const readers = Array.from({ length: consoles }, () => read(url, stop.signal));
    await pause(2_000);
    withConsoles.push(await share());
    stop.abort();
    for (const got of await Promise.all(readers)) bytes += got;
    await pause(500);
  }
  const seconds = ((turnMs + 2_000) / 1_000) * 3;
  return { consoles, alone, withConsoles, bytesPerConsoleSecond: bytes / consoles / seconds };
}

/** The process of the gateway that writes, out of the first event of the feed. */
async function writerPid(url: string): Promise<number> {
  const stop = new AbortController();
  const response = await fetch(`${url}/v1/live`, { signal: stop.signal });
  let text = '';
  for await (const part of response.body ?? []) {
    text += Buffer.from(part).toString('utf8');
    if (text.includes('\n\n')) break;
  }
  stop.abort();
  const told = JSON.parse(text.slice('data: '.length, text.indexOf('\n\n')));
  return z.object({ writes: z.object({ pid: z.int() }) }).parse(told).writes.pid;
}

export function report(values: readonly number[]): string {
  return `p50 ${Math.round(quantile(values, 0.5))} ms, p95 ${Math.round(quantile(values, 0.95))} ms, longest ${Math.round(Math.max(...values))} ms`;
}

export const median = (values: readonly number[]): number => quantile(values, 0.5);
