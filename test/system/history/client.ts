/** A client of the history check: it writes and reads at one place and one level, through one gateway or all, and notes what it was told. */
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { accounts, type Fate, type Level, type Read, type Transfer, type Write } from './history.ts';

export const lists = 4;
/** What it does in turn: the lists of a place, and its journal of transfers. */
const histories = lists + 1;

const resultSchema = z.object({
  response: z
    .object({
      result: z.object({ rows: z.array(z.array(z.object({ value: z.string().optional() }))) }).optional(),
    })
    .optional(),
  error: z.object({ code: z.string() }).optional(),
});
const answerSchema = z.object({ results: z.array(resultSchema) });

export type Reply =
  | { readonly kind: 'rows'; readonly rows: readonly (readonly string[])[]; readonly bookmark: string | null }
  | { readonly kind: 'error'; readonly code: string };

/** `statement`: one statement, whose rows are wanted. `script`: several, in a transaction of their own. */
export type Sql = { readonly statement: string } | { readonly script: string };

/** Sends SQL to a place through a gateway, as a stock client does over HTTP. */
export async function send(
  gateway: string,
  place: string,
  sql: Sql,
  headers: Readonly<Record<string, string>> = {},
): Promise<Reply> {
  const path = place === 'main' ? '' : `/branch/${place}`;
  const request =
    'script' in sql
      ? { type: 'sequence', sql: sql.script }
      : { type: 'execute', stmt: { sql: sql.statement } };
  try {
    const response = await fetch(`http://${gateway}${path}/v2/pipeline`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ baton: null, requests: [request, { type: 'close' }] }),
      signal: AbortSignal.timeout(20_000),
    });
    if (!response.ok) return { kind: 'error', code: `HTTP ${response.status}` };
    const [result] = answerSchema.parse(await response.json()).results;
    if (result?.error !== undefined) return { kind: 'error', code: result.error.code };
    const rows = (result?.response?.result?.rows ?? []).map((row) => row.map(({ value = '' }) => value));
    return { kind: 'rows', rows, bookmark: response.headers.get('sextant-bookmark') };
  } catch (error) {
    // Refused before anything was sent, or cut off afterwards.
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    return { kind: 'error', code: String(cause).includes('ECONNREFUSED') ? 'refused' : 'cut off' };
  }
}

const fateOf = (reply: Reply): Fate => {
  if (reply.kind === 'rows') return 'acknowledged';
  return reply.code === 'SEXTANT_COMMIT_UNKNOWN' || reply.code === 'cut off' ? 'unknown' : 'failed';
};

/** The tables of a place, empty. */
export const schema = [
  'CREATE TABLE lists (key INTEGER PRIMARY KEY, ids TEXT, version INTEGER, value INTEGER)',
  'CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER)',
  'CREATE TABLE transfers (seq INTEGER PRIMARY KEY AUTOINCREMENT, id INTEGER)',
] as const;

/** The name of a history at a place: a list's number, or that of the journal. */
export const historyAt = (place: string, number: number): string =>
  `${place}/${number === lists ? 'transfers' : number}`;

export const allHistories: readonly number[] = Array.from({ length: histories }, (_, at) => at);

/** Reads a history whole; a journal with the balances that belong to it, in one statement. */
const readOf = (number: number): Sql =>
  number === lists
    ? {
        statement:
          "SELECT (SELECT group_concat(id, ',' ORDER BY seq) FROM transfers), (SELECT group_concat(balance, ',' ORDER BY id) FROM accounts)",
      }
    : { statement: `SELECT ids, version, value FROM lists WHERE key = ${number}` };

const numbersIn = (text: string): readonly number[] => text.split(',').filter(Boolean).map(Number);

/** What a reply to `readOf` shows. */
export function shownBy(
  number: number,
  rows: readonly (readonly string[])[],
): Pick<Read, 'ids' | 'register' | 'balances'> {
  const [ids = '', second = '', third = ''] = rows[0] ?? [];
  return number === lists
    ? { ids: numbersIn(ids), balances: numbersIn(second) }
    : { ids: numbersIn(ids), register: { version: Number(second), value: Number(third) } };
}

const writeOf = (number: number, id: number, transfer: Transfer | undefined): Sql =>
  transfer === undefined
    ? {
        statement: `UPDATE lists SET ids = ids || '${id},', version = version + 1, value = ${id} WHERE key = ${number}`,
      }
    : {
        script:
          `BEGIN IMMEDIATE; UPDATE accounts SET balance = balance - ${transfer.amount} WHERE id = ${transfer.from}; ` +
          `INSERT INTO transfers (id) VALUES (${id}); ` +
          `UPDATE accounts SET balance = balance + ${transfer.amount} WHERE id = ${transfer.to}; COMMIT`,
      };

export interface Journal {
  readonly writes: Write[];
  readonly reads: Read[];
  /** How often clients were told each code. */
  readonly codes: Map<string, number>;
  nextId: number;
}

/** Works until the time is up. @param until by `performance.now()`. */
export async function work(
  journal: Journal,
  client: number,
  {
    level,
    place,
    gateways,
  }: { readonly level: Level; readonly place: string; readonly gateways: readonly string[] },
  until: number,
): Promise<void> {
  let bookmark: string | null = null;
  for (let turn = client; performance.now() < until; turn++) {
    // Those that go by bookmarks go elsewhere with each request; a session is one gateway's.
    const gateway = gateways[(level === 'bookmark' ? turn * 7 : client) % gateways.length] ?? '';
    const number = turn % histories;
    const history = historyAt(place, number);
    const headers = {
      'sextant-read': level === 'bookmark' ? 'eventual' : level,
      ...(level === 'bookmark' && bookmark !== null && { 'sextant-bookmark': bookmark }),
    };
    const beganMs = performance.now();
    let reply: Reply;
    if (Math.floor(turn / histories) % 2 === 0) {
      const id = journal.nextId++;
      const transfer = number === lists ? transferOf(id) : undefined;
      const write: Write = {
        id,
        history,
        gateway,
        client,
        endedMs: Number.POSITIVE_INFINITY,
        fate: 'unknown',
        ...(transfer !== undefined && { transfer }),
      };
      journal.writes.push(write);
      reply = await send(gateway, place, writeOf(number, id, transfer), headers);
      write.endedMs = performance.now();
      write.fate = fateOf(reply);
    } else {
      reply = await send(gateway, place, readOf(number), headers);
      if (reply.kind === 'rows')
        journal.reads.push({ history, gateway, client, level, beganMs, ...shownBy(number, reply.rows) });
    }
    if (reply.kind === 'rows') bookmark = reply.bookmark ?? bookmark;
    else {
      journal.codes.set(reply.code, (journal.codes.get(reply.code) ?? 0) + 1);
      await sleep(20);
    }
  }
}

const transferOf = (id: number): Transfer => ({
  from: id % accounts,
  to: (id + 1 + (id % (accounts - 1))) % accounts,
  amount: 1 + (id % 9),
});

/** The ids of a history in the end, asked for until a gateway tells. */
export async function finalIds(
  gateways: readonly string[],
  place: string,
  number: number,
): Promise<readonly number[]> {
  for (let tries = 0; tries < 100; tries++) {
    const gateway = gateways[tries % gateways.length] ?? '';
    const reply = await send(gateway, place, readOf(number), { 'sextant-read': 'global' });
    if (reply.kind === 'rows') return shownBy(number, reply.rows).ids;
    await sleep(200);
  }
  throw new Error(`no gateway tells what ${historyAt(place, number)} is in the end`);
}
