import { randomBytes } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { splitPieces } from '../../../gateway/forward/core/forward-bundle.ts';
import { encodeCall } from '../../../gateway/forward/core/forward-call.ts';
import {
  decodeReply,
  decodeRequest,
  encodeRequest,
  type ForwardRequest,
} from '../../../gateway/forward/core/forward-messages.ts';
import type { RunningGateway } from '../../../gateway/process/gateway.ts';
import { gatewaySubject } from '../../../gateway/session/writer-watch.ts';
import { freshStream } from '../../../gateway/sql/stream-state.ts';
import { changeControl } from '../../../regions/control/control-link.ts';
import { abortMove, beginSwitchover } from '../../../regions/control/core/control-record.ts';
import { mainBranch, regionId } from '../../../storage/redo/ids.ts';
import { eventually } from '../../storage/region-harness.ts';
import { codeOf, GatewayWorld, ready, urlOf, writes } from '../process/gateway-harness.ts';

let world: GatewayWorld | null = null;

afterEach(async () => {
  await world?.close();
  world = null;
});

const pipelineSchema = z.object({
  results: z.array(
    z.object({
      type: z.string(),
      error: z.object({ code: z.string() }).optional(),
      response: z
        .object({ result: z.object({ rows: z.array(z.array(z.object({ value: z.string() }))) }).optional() })
        .optional(),
    }),
  ),
});

/** Runs statements on one stream; answers the first value of each, its error code, or `ok`. */
async function pipeline(gateway: RunningGateway, texts: readonly string[]): Promise<readonly string[]> {
  const requests = [...texts.map((sql) => ({ type: 'execute', stmt: { sql } })), { type: 'close' }];
  const answer = await fetch(`${urlOf(gateway)}/v2/pipeline`, {
    method: 'POST',
    body: JSON.stringify({ baton: null, requests }),
  });
  const { results } = pipelineSchema.parse(await answer.json());
  return results
    .slice(0, -1)
    .map(({ type, error, response }) => error?.code ?? response?.result?.rows[0]?.[0]?.value ?? type);
}

const kindOf = (message: Uint8Array): string => {
  const decoded = decodeRequest(message);
  return decoded.kind === 'ok' ? decoded.value.kind : decoded.reason;
};

/** A writer and a gateway that forwards, with a table. */
async function pair() {
  const one = await GatewayWorld.start();
  world = one;
  const writer = await one.gateway('g1');
  await writes(writer);
  const reader = await one.gateway('g2');
  await ready(urlOf(reader));
  const client = one.client(reader);
  await client.execute('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
  return { one, writer, reader, client };
}

describe('the writer', () => {
  it('runs a call once however often it is sent, and never one that was asked for before it came (G30, G31)', async () => {
    const { one, client } = await pair();
    const { holder } = (await one.record()).record;
    if (holder === null) throw new Error('there is a writer');
    const subject = gatewaySubject('test', regionId('us-east-1'), holder);
    const ask = async (request: ForwardRequest) => {
      const answer = await one.nats.request(subject, encodeRequest(request), 3_000);
      return answer.kind === 'reply' ? decodeReply(answer.data) : answer;
    };
    const insert = (stream: string) => {
      const statement = { sql: "INSERT INTO t(v) VALUES ('once')", args: [], namedArgs: [], wantRows: true };
      return encodeCall({
        stream,
        fresh: true,
        state: freshStream,
        traceparent: null,
        readOnly: false,
        operation: { kind: 'execute', statement },
      });
    };
    const part: ForwardRequest = {
      kind: 'part',
      branch: mainBranch,
      call: 'call-1',
      index: 0,
      count: 1,
      bytes: insert('s1'),
    };
    const answers = await Promise.all([ask(part), ask(part), ask({ kind: 'poll', call: 'call-1', part: 0 })]);
    expect(answers.map((answer) => answer.kind === 'ok' && answer.value.kind)).toEqual([
      'part',
      'part',
      'part',
    ]);
    expect(await ask({ kind: 'poll', call: 'call-2', part: 0 })).toMatchObject({
      kind: 'ok',
      value: { kind: 'unknown' },
    });
    const late = await ask({
      kind: 'part',
      branch: mainBranch,
      call: 'call-2',
      index: 0,
      count: 1,
      bytes: insert('s2'),
    });
    expect(late).toMatchObject({ kind: 'ok', value: { kind: 'unknown' } });
    // A stray publish names no subject for the answer: it neither runs nor ends the process.
    const stray: ForwardRequest = {
      kind: 'part',
      branch: mainBranch,
      call: 'call-3',
      index: 0,
      count: 1,
      bytes: insert('s3'),
    };
    for (const bytes of [encodeRequest(stray), Buffer.from('no request')]) one.nats.publish(subject, bytes);
    await one.nats.flush(2_000);
    expect(await ask({ kind: 'poll', call: 'call-3', part: 0 })).toMatchObject({
      kind: 'ok',
      value: { kind: 'unknown' },
    });
    expect((await client.execute("PRAGMA sextant_read = 'global'")).rows.length).toBe(1);
    const count = async () => (await client.execute('SELECT count(*) AS n FROM t')).rows[0]?.n;
    await eventually('the row has arrived', async () => (await count()) === 1n);
  });
});

describe('a gateway that is not the writer', () => {
  it('takes any statement, and reads its own writes at once (session consistency)', async () => {
    const { client, one, reader, writer } = await pair();
    const socket = one.client(reader, 'ws');
    for (let id = 1; id <= 20; id++) {
      await client.execute({ sql: 'INSERT INTO t VALUES (?, ?)', args: [id, `row ${id}`] });
      expect((await socket.execute('SELECT count(*) AS n FROM t')).rows[0]?.n).toBe(BigInt(id));
    }
    const inserted = await client.execute(
      "WITH v(a) AS (SELECT 'w') INSERT INTO t(v) SELECT a FROM v RETURNING id",
    );
    expect(inserted.rows[0]?.id).toBe(21n);
    expect(reader.report().phase).toBe('reading');
    expect((await one.client(writer).execute('SELECT count(*) AS n FROM t')).rows[0]?.n).toBe(21n);
  });

  it('sends what many clients write at once in few messages, and each write runs once (G73)', async () => {
    const { one, reader, client } = await pair();
    const { holder } = (await one.record()).record;
    if (holder === null) throw new Error('there is a writer');
    let messages = 0;
    let calls = 0;
    one.nats.subscribe(gatewaySubject('test', regionId('us-east-1'), holder), ({ data }) => {
      const decoded = decodeRequest(data);
      if (decoded.kind !== 'ok') return;
      const pieces = decoded.value.kind === 'bundle' ? splitPieces(decoded.value.bytes) : null;
      const kinds =
        pieces?.kind === 'ok' ? pieces.value.map(({ message }) => kindOf(message)) : [decoded.value.kind];
      const own = kinds.filter((kind) => kind === 'part').length;
      calls += own;
      if (own > 0) messages += 1;
    });
    await one.nats.flush(2_000);
    const socket = one.client(reader, 'ws');
    await socket.execute('SELECT 1');
    const writes = 96;
    const write = (at: number) => socket.execute({ sql: 'INSERT INTO t(v) VALUES (?)', args: [at] });
    await Promise.all(Array.from({ length: writes }, (_, at) => write(at)));
    const { rows } = await client.execute('SELECT count(*) AS n, count(DISTINCT v) AS different FROM t');
    expect(rows[0]).toMatchObject({ n: BigInt(writes), different: BigInt(writes) });
    expect(calls).toBe(writes);
    expect(messages).toBeLessThan(writes / 4);
  });

  it('carries 64-bit integers, floats, text and blobs unchanged', async () => {
    const { client } = await pair();
    const blob = new Uint8Array(randomBytes(100_000));
    const args = [9_223_372_036_854_775_807n, blob];
    const returned = await client.execute({
      sql: "INSERT INTO t VALUES (?, ?) RETURNING id, v, 0.5 AS f, 'ü' AS s, NULL AS n",
      args,
    });
    const row = returned.rows[0];
    expect([row?.id, row?.f, row?.s, row?.n]).toEqual([args[0], 0.5, 'ü', null]);
    expect(Buffer.from(row?.v as ArrayBuffer).equals(Buffer.from(blob))).toBe(true);
    expect(returned.lastInsertRowid).toBe(args[0]);
    const read = await client.execute('SELECT v FROM t');
    expect(Buffer.from(read.rows[0]?.v as ArrayBuffer).equals(Buffer.from(blob))).toBe(true);
  });

  it('runs interactive transactions at the writer, which commit, roll back, and end with their client', async () => {
    const { client, one, reader } = await pair();
    const first = await client.transaction('write');
    await first.execute("INSERT INTO t VALUES (1, 'a')");
    expect((await first.execute('SELECT count(*) AS n FROM t')).rows[0]?.n).toBe(1n);
    expect((await client.execute('SELECT count(*) AS n FROM t')).rows[0]?.n).toBe(0n);
    await first.commit();
    const second = await client.transaction('deferred');
    await second.execute("INSERT INTO t VALUES (2, 'b')");
    await second.rollback();
    const lost = one.client(reader, 'ws');
    const third = await lost.transaction('write');
    await third.execute("INSERT INTO t VALUES (3, 'c')");
    lost.close();
    // The slot is free again only when the stream at the writer has been closed.
    await client.execute("INSERT INTO t VALUES (4, 'd')");
    expect((await client.execute('SELECT id FROM t ORDER BY id')).rows.map((row) => row.id)).toEqual([
      1n,
      4n,
    ]);
    const reading = await client.transaction('read');
    expect(await reading.execute('DELETE FROM t').catch(codeOf)).toBe('SQLITE_READONLY');
    reading.close();
  });

  it('forwards scripts and results that are larger than a NATS message', async () => {
    const { client } = await pair();
    const rows = 3_503;
    const filler = 'x'.repeat(400);
    let script = 'CREATE TABLE track (id INTEGER PRIMARY KEY, name TEXT);\n';
    for (let id = 1; id <= rows; id++) script += `INSERT INTO track VALUES (${id}, '${filler}${id}');\n`;
    expect(script.length).toBeGreaterThan(1_200_000);
    await client.executeMultiple(script);
    expect((await client.execute('SELECT count(*) AS n FROM track')).rows[0]?.n).toBe(BigInt(rows));
    const changed = await client.execute(`UPDATE track SET name = name || '!' RETURNING id, name`);
    expect(changed.rows.length).toBe(rows);
    expect(changed.rows[rows - 1]?.name).toBe(`${filler}${rows}!`);
  });

  it('hands errors of the writer on as they are', async () => {
    const { client } = await pair();
    await client.execute("INSERT INTO t VALUES (1, 'a')");
    expect(await client.execute("INSERT INTO t VALUES (1, 'b')").catch(codeOf)).toBe('SQLITE_CONSTRAINT');
    expect(await client.execute('SELECT * FROM nowhere').catch(codeOf)).toBe('SQLITE_ERROR');
    expect(
      await client
        .batch(["INSERT INTO t VALUES (2, 'c')", "INSERT INTO t VALUES (1, 'd')"], 'write')
        .catch(codeOf),
    ).toBe('SQLITE_CONSTRAINT');
    expect((await client.execute('SELECT count(*) AS n FROM t')).rows[0]?.n).toBe(1n);
  });

  it('takes the settings of a stream along to the writer', async () => {
    const { client, reader } = await pair();
    await client.executeMultiple(
      'CREATE TABLE parent (id INTEGER PRIMARY KEY); CREATE TABLE child (p REFERENCES parent (id))',
    );
    expect(await pipeline(reader, ['PRAGMA foreign_keys = on', 'INSERT INTO child VALUES (7)'])).toEqual([
      'ok',
      'SQLITE_CONSTRAINT',
    ]);
    expect(await pipeline(reader, ['PRAGMA foreign_keys = off', 'INSERT INTO child VALUES (8)'])).toEqual([
      'ok',
      'ok',
    ]);
  });

  it('answers a global read with what was acknowledged elsewhere just before', async () => {
    const { one, writer, reader } = await pair();
    const here = one.client(writer);
    for (let id = 1; id <= 20; id++) {
      await here.execute({ sql: 'INSERT INTO t VALUES (?, ?)', args: [id, 'x'] });
      expect(await pipeline(reader, ["PRAGMA sextant_read = 'global'", 'SELECT count(*) FROM t'])).toEqual([
        'global',
        String(id),
      ]);
    }
  });

  it('lets writes wait through a drain and a change of the writer, and fails none of them', async () => {
    const { one, client } = await pair();
    const store = one.store();
    let stop = false;
    const failures: string[] = [];
    let written = 0;
    const load = [0, 1, 2, 3].map(async (lane) => {
      for (let index = 0; !stop; index++) {
        const outcome = await client
          .execute({ sql: 'INSERT INTO t VALUES (?, ?)', args: [lane * 1_000_000 + index, 'x'] })
          .catch(codeOf);
        if (typeof outcome === 'string') failures.push(outcome);
        else written += 1;
      }
    });
    await eventually('there is load', () => written > 20);
    await changeControl(store, ({ record }) =>
      beginSwitchover(record, { id: 'move', to: regionId('eu-west-1'), startedAtMs: 0 }),
    );
    await eventually(
      'the writer has drained',
      async () => (await one.record()).record.move?.fork !== undefined,
    );
    await changeControl(store, ({ record }) => abortMove(record, { id: 'move' }));
    const before = written;
    await eventually('writes go on', () => written > before + 20);
    stop = true;
    await Promise.all(load);
    store.close();
    expect(failures).toEqual([]);
    expect((await client.execute('SELECT count(*) AS n FROM t')).rows[0]?.n).toBe(BigInt(written));
  });

  it('fails no write of others when it stops: what it runs is answered, and the next writer takes the rest (G104)', async () => {
    const { one, writer, reader, client } = await pair();
    let stopped = false;
    const failed: string[] = [];
    let written = 0;
    const lanes = Array.from({ length: 32 }, async () => {
      const own = one.client(reader);
      while (!stopped)
        await own.execute('INSERT INTO t (v) VALUES (1)').then(
          () => (written += 1),
          (error: unknown) => failed.push(String(error)),
        );
    });
    await eventually('writes are under way', async () => written > 100);
    await writer.close();
    const then = written;
    await eventually('the next writer takes them', async () => written > then + 100);
    stopped = true;
    await Promise.all(lanes);
    expect(failed).toEqual([]);
    expect((await client.execute('SELECT count(*) AS n FROM t')).rows[0]?.n).toBe(BigInt(written));
  });

  it('says that there is no writer when nobody becomes one, and that the write did not run', async () => {
    const one = await GatewayWorld.start();
    world = one;
    const far = await one.gateway('g9', { limits: { writeWaitMs: 300, quorumWaitMs: 300 } });
    await writes(far);
    const client = one.client(far);
    await client.execute('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
    const store = one.store();
    await changeControl(store, ({ record }) =>
      beginSwitchover(record, { id: 'move', to: regionId('eu-west-1'), startedAtMs: 0 }),
    );
    await eventually('it has drained', async () => (await one.record()).record.move?.fork !== undefined);
    expect(await client.execute("INSERT INTO t VALUES (1, 'x')").catch(codeOf)).toBe(
      'SEXTANT_MOVE_IN_PROGRESS',
    );
    expect((await client.execute('SELECT count(*) AS n FROM t')).rows[0]?.n).toBe(0n);
    store.close();
  });
});
