import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { parseBookmark } from '../../../gateway/sql/bookmark.ts';
import { GatewayWorld, ready, urlOf, writes } from '../process/gateway-harness.ts';

let world: GatewayWorld;
let writer: string;
let reader: string;

const answerSchema = z.object({
  baton: z.string().nullable(),
  results: z.array(
    z.object({
      type: z.string(),
      response: z.object({ result: z.object({ rows: z.array(z.array(z.unknown())) }).optional() }).optional(),
      error: z.object({ code: z.string(), message: z.string() }).optional(),
    }),
  ),
});

interface Reply {
  readonly bookmark: string | null;
  readonly baton: string | null;
  /** The first value of the first row of the first statement, or the code of its error. */
  readonly first: unknown;
  readonly message: string;
}

/** One pipeline of statements, on a stream of its own unless a baton says otherwise. */
async function send(
  url: string,
  statements: readonly string[],
  options: { readonly bookmark?: string; readonly baton?: string | null; readonly read?: string } = {},
): Promise<Reply> {
  const requests = statements.map((sql) => ({ type: 'execute', stmt: { sql } }));
  const response = await fetch(`${url}/v2/pipeline`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(options.bookmark !== undefined && { 'sextant-bookmark': options.bookmark }),
      ...(options.read !== undefined && { 'sextant-read': options.read }),
    },
    body: JSON.stringify({ baton: options.baton ?? null, requests }),
  });
  const text = await response.text();
  if (!response.ok) return { bookmark: null, baton: null, first: response.status, message: text };
  const { baton, results } = answerSchema.parse(JSON.parse(text));
  const [result] = results;
  return {
    bookmark: response.headers.get('sextant-bookmark'),
    baton,
    first: result?.error?.code ?? result?.response?.result?.rows[0]?.[0],
    message: result?.error?.message ?? '',
  };
}
const number = (value: number) => ({ type: 'integer', value: `${value}` });
const text = (value: string) => ({ type: 'text', value });
const count = 'SELECT count(*) FROM t';

beforeAll(async () => {
  world = await GatewayWorld.start();
  const first = await world.gateway('g1');
  await writes(first);
  const second = await world.gateway('g2');
  [writer, reader] = [urlOf(first), urlOf(second)];
  await Promise.all([ready(writer), ready(reader)]);
  await send(writer, ['CREATE TABLE t (id INTEGER PRIMARY KEY)']);
});
afterAll(() => world.close());

describe('a bookmark', () => {
  it('comes with every answer that saw the database, and grows with what is written', async () => {
    const before = await send(writer, [count]);
    const after = await send(writer, ['INSERT INTO t VALUES (1)']);
    const [a, b] = [before, after].map(({ bookmark }) => parseBookmark(bookmark ?? ''));
    expect(a?.epoch).toBe(b?.epoch);
    expect(Number(b?.lsn)).toBeGreaterThan(Number(a?.lsn));
  });

  it('makes a read through another gateway see at least as much, whatever its consistency', async () => {
    for (let id = 100; id < 109; id++) {
      const { bookmark } = await send(writer, [`INSERT INTO t VALUES (${id})`]);
      const read = ['eventual', 'session', 'global'][id % 3] ?? '';
      const seen = await send(reader, [`SELECT count(*) FROM t WHERE id = ${id}`], {
        bookmark: bookmark ?? '',
        read,
      });
      expect([id, seen.first]).toEqual([id, number(1)]);
      // What it saw may be shown in turn, and covers what it was shown.
      const [shown, told] = [bookmark, seen.bookmark].map((each) => parseBookmark(each ?? ''));
      expect(Number(told?.lsn)).toBeGreaterThanOrEqual(Number(shown?.lsn));
    }
  });

  it('is shown and told by PRAGMA on a stream, and counts for what the stream reads from then on', async () => {
    const { bookmark } = await send(writer, ['INSERT INTO t VALUES (200)']);
    const opened = await send(reader, [`PRAGMA sextant_bookmark = '${bookmark}'`], { read: 'eventual' });
    expect(opened.first).toEqual(text(bookmark ?? ''));
    const seen = await send(reader, ['SELECT id FROM t WHERE id = 200'], { baton: opened.baton });
    expect(seen.first).toEqual(number(200));
    const told = await send(reader, ['PRAGMA sextant_bookmark'], { baton: seen.baton });
    expect(told.first).toEqual(text(seen.bookmark ?? ''));
    expect((await send(reader, ["PRAGMA sextant_bookmark = 'tomorrow'"])).first).toBe('SQLITE_ERROR');
  });

  it('of a stream that has seen nothing yet is where its gateway is', async () => {
    const { first } = await send(reader, ['PRAGMA sextant_bookmark']);
    expect(first).toEqual(text(expect.stringMatching(/^\d+\.\d+$/)));
  });

  it('is an error when it is none, and nothing of the request runs', async () => {
    const refused = await send(writer, ['INSERT INTO t VALUES (300)'], { bookmark: 'yesterday' });
    expect([refused.first, refused.message]).toEqual([
      400,
      expect.stringContaining('sextant-bookmark is <epoch>.<lsn>'),
    ]);
    expect((await send(writer, ['SELECT count(*) FROM t WHERE id = 300'])).first).toEqual(number(0));
  });

  it('of a history that was left is told so, with the bookmark to go on with', async () => {
    const { record } = await world.record();
    // A reign that no gateway of this deployment ever had, as after a failover that left it behind.
    const left = `${record.epoch - 1}.999999`;
    for (const url of [writer, reader]) {
      const read = await send(url, [count], { bookmark: left });
      expect(read.first).toBe('SEXTANT_HISTORY_FORKED');
      const [, next = ''] = /new bookmark is (\d+\.\d+)/.exec(read.message) ?? [];
      const again = await send(url, [count], { bookmark: next });
      expect(again.first).toMatchObject({ type: 'integer' });
      const write = await send(url, ['INSERT INTO t VALUES (400)'], { bookmark: left });
      expect(write.first).toBe('SEXTANT_HISTORY_FORKED');
    }
    expect((await send(writer, ['SELECT count(*) FROM t WHERE id = 400'])).first).toEqual(number(0));
  });

  it('of a reign that is to come is waited for, and then refused by the writer, which has the newest', async () => {
    const { record } = await world.record();
    const read = await send(writer, [count], { bookmark: `${record.epoch + 5}.10` });
    expect([read.first, read.message]).toEqual([
      'SEXTANT_STORAGE_UNAVAILABLE',
      expect.stringContaining('has not heard of within readWaitMs'),
    ]);
  }, 20_000);
});
