/**
 * Checks what real clients see while gateways are killed: `node test/system/history-check.ts [--seconds N] [--clients N]
 * [--gateways N] [--base-port N]`. Clients append to lists and set registers through all gateways of two regions, each with
 * its own consistency, and read what others wrote. The gateway that writes is killed every few seconds, and the primary
 * switched over once. At the end the histories are judged:
 *
 * 1. A list only ever grows: every read of it is a beginning of what it is at the end.
 * 2. What was acknowledged is in the list once; what certainly failed is not.
 * 3. `global`: a read holds every append that was acknowledged anywhere before it began.
 * 4. `session`: it holds every append acknowledged through the same gateway before it began.
 * 5. `bookmark`: the client shows what it was told last to whatever gateway: it never reads behind that, at `eventual`.
 * 6. A register has one value for each of its versions, whoever reads it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { TestDeployment } from './local-deployment.ts';

const regions = ['us-east-1', 'eu-west-1'];
const help =
  'usage: node test/system/history-check.ts [--seconds N] [--clients N] [--gateways N] [--base-port N]\n' +
  '  --seconds N   how long clients work (30)      --clients N    how many of them (8)\n' +
  '  --gateways N  gateways of each region (2)     --base-port N  where the deployment listens\n';
const { values } = parseArgs({
  options: {
    help: { type: 'boolean', default: false },
    seconds: { type: 'string', default: '30' },
    clients: { type: 'string', default: '8' },
    gateways: { type: 'string', default: '2' },
    'base-port': { type: 'string' },
  },
});
if (values.help) {
  process.stdout.write(help);
  process.exit(0);
}

const levels = ['eventual', 'session', 'global', 'bookmark'] as const;
type Level = (typeof levels)[number];
const keys = 4;
const killEveryMs = 5_000;

interface Append {
  readonly id: number;
  readonly key: number;
  readonly gateway: string;
  readonly client: number;
  endedMs: number;
  fate: 'acknowledged' | 'failed' | 'unknown';
}
interface Read {
  readonly key: number;
  readonly gateway: string;
  readonly client: number;
  readonly level: Level;
  readonly beganMs: number;
  readonly ids: readonly number[];
  readonly version: number;
  readonly value: number;
}

const resultSchema = z.object({
  response: z
    .object({
      result: z.object({ rows: z.array(z.array(z.object({ value: z.string().optional() }))) }).optional(),
    })
    .optional(),
  error: z.object({ code: z.string() }).optional(),
});
const answerSchema = z.object({ results: z.array(resultSchema) });

type Reply =
  | { readonly kind: 'rows'; readonly rows: readonly (readonly string[])[]; readonly bookmark: string | null }
  | { readonly kind: 'error'; readonly code: string };

async function send(gateway: string, sql: string, headers: Readonly<Record<string, string>>): Promise<Reply> {
  try {
    const response = await fetch(`http://${gateway}/v2/pipeline`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({
        baton: null,
        requests: [{ type: 'execute', stmt: { sql } }, { type: 'close' }],
      }),
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

const mayHaveRun = (code: string): boolean => code === 'SEXTANT_COMMIT_UNKNOWN' || code === 'cut off';

/** What everybody did. */
const appends: Append[] = [];
const reads: Read[] = [];
const codes = new Map<string, number>();
let nextId = 1;

async function work(client: number, gateways: readonly string[], until: number): Promise<void> {
  const level = levels[client % levels.length] ?? 'session';
  let bookmark: string | null = null;
  for (let turn = client; performance.now() < until; turn++) {
    // Those that go by bookmarks go elsewhere with each request; a session is one gateway's.
    const at = level === 'bookmark' ? turn * 7 : client;
    const gateway = gateways[at % gateways.length] ?? '';
    const key = turn % keys;
    const headers = {
      'sextant-read': level === 'bookmark' ? 'eventual' : level,
      ...(level === 'bookmark' && bookmark !== null && { 'sextant-bookmark': bookmark }),
    };
    if (turn % 2 === 0) {
      const append: Append = { id: nextId++, key, gateway, client, endedMs: Infinity, fate: 'unknown' };
      appends.push(append);
      const reply = await send(
        gateway,
        `UPDATE lists SET ids = ids || '${append.id},', version = version + 1, value = ${append.id} WHERE key = ${key}`,
        headers,
      );
      append.endedMs = performance.now();
      append.fate = reply.kind === 'rows' ? 'acknowledged' : mayHaveRun(reply.code) ? 'unknown' : 'failed';
      if (reply.kind === 'rows') bookmark = reply.bookmark ?? bookmark;
      else {
        codes.set(reply.code, (codes.get(reply.code) ?? 0) + 1);
        await sleep(20);
      }
    } else {
      const beganMs = performance.now();
      const reply = await send(gateway, `SELECT ids, version, value FROM lists WHERE key = ${key}`, headers);
      if (reply.kind === 'error') {
        codes.set(reply.code, (codes.get(reply.code) ?? 0) + 1);
        await sleep(20);
        continue;
      }
      const [ids = '', version = '', value = ''] = reply.rows[0] ?? [];
      reads.push({
        key,
        gateway,
        client,
        level,
        beganMs,
        ids: idsIn(ids),
        version: Number(version),
        value: Number(value),
      });
      bookmark = reply.bookmark ?? bookmark;
    }
  }
}

const idsIn = (text: string): readonly number[] => text.split(',').filter(Boolean).map(Number);

/** What the histories break, each in a sentence. */
function judge(final: ReadonlyMap<number, readonly number[]>): readonly string[] {
  const found: string[] = [];
  const places = new Map([...final].map(([key, ids]) => [key, new Map(ids.map((id, at) => [id, at]))]));
  for (const [key, ids] of final)
    if (new Set(ids).size !== ids.length) found.push(`list ${key} holds an append twice`);
  for (const { id, key, fate } of appends) {
    const isThere = places.get(key)?.has(id) === true;
    if (fate === 'acknowledged' && !isThere)
      found.push(`append ${id} was acknowledged, and is not in list ${key}`);
    if (fate === 'failed' && isThere) found.push(`append ${id} failed, and is in list ${key}`);
  }
  const versions = new Map<string, number>();
  const furthest = new Map<string, number>();
  for (const read of reads) {
    const { key, ids, version, value, level, client, gateway, beganMs } = read;
    const list = final.get(key) ?? [];
    if (ids.some((id, at) => list[at] !== id))
      found.push(`client ${client} read of list ${key} what it never was`);
    if (version !== ids.length || (ids.at(-1) ?? 0) !== value)
      found.push(`client ${client} read half a write of ${key}`);
    const known = versions.get(`${key} ${version}`);
    if (known !== undefined && known !== value)
      found.push(`version ${version} of register ${key} is ${known} and ${value}`);
    versions.set(`${key} ${version}`, value);
    const before = appends.filter(
      (append) => append.key === key && append.fate === 'acknowledged' && append.endedMs < beganMs,
    );
    const wanted = before.filter((append) =>
      level === 'global'
        ? true
        : level === 'session'
          ? append.gateway === gateway
          : level === 'bookmark' && append.client === client,
    );
    const missing = wanted.filter(({ id }) => (places.get(key)?.get(id) ?? Infinity) >= ids.length);
    if (missing.length > 0)
      found.push(`client ${client} (${level}) did not see append ${missing[0]?.id} of list ${key}`);
    if (level !== 'bookmark') continue;
    const mine = `${client} ${key}`;
    if (ids.length < (furthest.get(mine) ?? 0))
      found.push(`client ${client} (bookmark) went back on list ${key}`);
    furthest.set(mine, Math.max(ids.length, furthest.get(mine) ?? 0));
  }
  return found;
}

const deployment = await TestDeployment.start({
  regions,
  flags: ['--gateways', values.gateways],
  ...(values['base-port'] !== undefined && { basePort: Number(values['base-port']) }),
});
let code = 1;
try {
  const names = Array.from({ length: Number(values.gateways) }, (_, index) => `g${index + 1}`);
  const gateways = regions.flatMap((region) => names.map((name) => deployment.gateway(region, name)));
  const [first = ''] = gateways;
  await send(
    first,
    'CREATE TABLE lists (key INTEGER PRIMARY KEY, ids TEXT, version INTEGER, value INTEGER)',
    {},
  );
  for (let key = 0; key < keys; key++) await send(first, `INSERT INTO lists VALUES (${key}, '', 0, 0)`, {});
  await deployment.settled(90_000);
  await sleep(2_500);
  const until = performance.now() + Number(values.seconds) * 1_000;
  const clients = Array.from({ length: Number(values.clients) }, (_, client) =>
    work(client, gateways, until),
  );
  let kills = 0;
  let moved = false;
  while (performance.now() < until - killEveryMs) {
    await sleep(killEveryMs);
    if (!moved && performance.now() > until - Number(values.seconds) * 500) {
      moved = true;
      const move = await deployment.cli(['switchover', '--to', regions[1] ?? '']);
      console.log(`switchover: ${move.code === 0 ? 'done' : move.stderr.trim().slice(0, 200)}`);
      continue;
    }
    for (const gateway of gateways) {
      const answer = await fetch(`http://${gateway}/v1/endpoints`)
        .then((each) => each.json())
        .catch(() => null);
      const { writer } = z
        .object({ writer: z.object({ region: z.string(), gateway: z.string() }).nullable() })
        .catch({ writer: null })
        .parse(answer);
      if (writer === null) continue;
      await deployment.signal(`${writer.region}/${writer.gateway}`, 'SIGKILL').catch(() => undefined);
      kills += 1;
      break;
    }
  }
  await Promise.all(clients);
  const final = new Map<number, readonly number[]>();
  for (let key = 0; key < keys; key++) {
    for (let tries = 0; !final.has(key) && tries < 100; tries++) {
      const reply = await send(
        gateways[tries % gateways.length] ?? '',
        `SELECT ids FROM lists WHERE key = ${key}`,
        { 'sextant-read': 'global' },
      );
      if (reply.kind === 'rows') final.set(key, idsIn(reply.rows[0]?.[0] ?? ''));
      else await sleep(200);
    }
  }
  const found = [...judge(final)];
  for (const level of levels)
    if (!reads.some((read) => read.level === level))
      found.push(`nobody read at level ${level}: nothing was checked`);
  const of = (fate: Append['fate']): number => appends.filter((append) => append.fate === fate).length;
  console.log(
    `${reads.length} reads, ${appends.length} appends (${of('acknowledged')} acknowledged, ${of('unknown')} unknown, ${of('failed')} failed), ` +
      `${kills} kills of the writer; errors ${JSON.stringify(Object.fromEntries(codes))}`,
  );
  for (const level of levels)
    console.log(`${level}: ${reads.filter((read) => read.level === level).length} reads`);
  console.log(found.length === 0 ? 'no violation' : [...new Set(found)].slice(0, 20).join('\n'));
  code = found.length === 0 ? 0 : 1;
} finally {
  await deployment.stop();
}
process.exit(code);
