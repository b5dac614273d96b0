import {
  BatchCond,
  type Client,
  HttpStream,
  openHttp,
  openWs,
  type Stream,
  type Value,
  WsClient,
} from '@libsql/hrana-client';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { createDecoder } from '../../../gateway/hrana/core/hrana-messages.ts';
import { readRequest } from '../../../gateway/hrana/core/hrana-protobuf-read.ts';
import { ProtobufReader, ProtobufWriter } from '../../../gateway/hrana/core/protobuf.ts';
import { defaultLimits } from '../../../gateway/hrana/core/protocol-limits.ts';
import { RawSocket, startHarness } from './hrana-harness.ts';

const value = fc.oneof(
  fc.constant(null),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  // The client's own JSON has no negative zero.
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => (number === 0 ? 0 : number)),
  fc.string({ unit: 'grapheme' }),
  fc.uint8Array({ maxLength: 2_000 }),
);

/** A WebSocket on which the client of version 3 has nothing but protobuf to choose. */
class OnlyProtobuf extends WebSocket {
  constructor(url: string | URL, protocols: readonly string[]) {
    super(
      url,
      protocols.filter((name) => name === 'hrana3-protobuf'),
    );
  }
}

describe.each(['http', 'ws'] as const)('Hrana 3 in protobuf over %s', (transport) => {
  const clients: Client[] = [];
  afterEach(() => {
    for (const client of clients.splice(0)) client.close();
  });

  async function streams(): Promise<{ readonly protobuf: Stream; readonly json: Stream }> {
    const harness = await startHarness();
    const open = async (version: 2 | 3) => {
      const url = harness[transport];
      const client =
        transport === 'http'
          ? openHttp(url, undefined, undefined, undefined, version)
          : await protobufOr(version, url);
      clients.push(client);
      expect(await client.getVersion()).toBe(version);
      const stream = client.openStream();
      stream.intMode = 'bigint';
      return stream;
    };
    return { protobuf: await open(3), json: await open(2) };
  }

  /** `openWs` takes the global WebSocket of its module, which cannot be replaced: the offer is cut on the way. */
  async function protobufOr(version: 2 | 3, url: string): Promise<Client> {
    if (version === 2) return openWs(url, undefined, 2);
    const socket = new OnlyProtobuf(url, ['hrana3-protobuf']);
    socket.binaryType = 'arraybuffer';
    const client: unknown = Reflect.construct(WsClient, [socket, undefined]);
    if (client instanceof WsClient) return client;
    throw new Error('the client was not made');
  }

  it('carries every value as JSON does, there and back', async () => {
    const { protobuf, json } = await streams();
    await fc.assert(
      fc.asyncProperty(fc.array(value, { minLength: 1, maxLength: 6 }), async (values) => {
        const args = values as Value[];
        const sql = `SELECT ${args.map(() => '?').join(', ')}`;
        const [row, same] = await Promise.all([protobuf.queryRow([sql, args]), json.queryRow([sql, args])]);
        const given = args.map((arg) => (arg instanceof Uint8Array ? Buffer.from(arg) : arg));
        const plain = (found: typeof row) =>
          Array.from(args, (_, i) => {
            const cell = found.row?.[i];
            return typeof cell === 'object' && cell !== null ? Buffer.from(new Uint8Array(cell)) : cell;
          });
        expect(plain(row)).toStrictEqual(given);
        expect(plain(same)).toStrictEqual(given);
      }),
      { numRuns: 25 },
    );
  });

  it('answers statements, descriptions, failures and scripts as JSON does', async () => {
    const both = await streams();
    const outcomes = [];
    for (const stream of [both.protobuf, both.json]) {
      await stream.sequence('DROP TABLE IF EXISTS t; CREATE TABLE t (id INTEGER PRIMARY KEY, b VARCHAR(9))');
      outcomes.push([
        await stream.run("INSERT INTO t (id, b) VALUES (-5, 'x')"),
        await stream.query('SELECT id, b, b AS c FROM t'),
        await stream.query("VALUES ('é', x'00ff'), ('😀', NULL)"),
        await stream.describe('SELECT id, b FROM t WHERE b = :x AND id = ?'),
        await stream.run('nonsense').catch((error: unknown) => String(error)),
        await stream.run(['SELECT :a', { a: 1 }]),
        await stream.run('BEGIN'),
      ]);
      await stream.run('ROLLBACK');
    }
    expect(outcomes[0]).toEqual(outcomes[1]);
    expect(await both.protobuf.getAutocommit()).toBe(true);
  });

  it('runs batches with conditions, at once and through a cursor', async () => {
    const { protobuf } = await streams();
    for (const useCursor of [false, true]) {
      const batch = protobuf.batch(useCursor);
      const first = batch.step();
      const one = first.queryValue('SELECT 1');
      const second = batch.step().condition(BatchCond.ok(first));
      const failed = second.run('nonsense').catch((error: unknown) => Object(error).code);
      const third = batch
        .step()
        .condition(BatchCond.and(batch, [BatchCond.error(second), BatchCond.isAutocommit(batch)]));
      const rows = third.query('SELECT 2 UNION SELECT 3');
      const never = batch.step().condition(BatchCond.not(BatchCond.or(batch, [BatchCond.ok(third)])));
      const skipped = never.query('SELECT 4');
      await batch.execute();
      expect((await one)?.value).toBe(1n);
      expect(await failed).toBe('SQLITE_ERROR');
      expect((await rows)?.rows.map((row) => row[0])).toEqual([2n, 3n]);
      expect(await skipped).toBeUndefined();
    }
  });

  it('keeps SQL texts for its client', async () => {
    const { protobuf } = await streams();
    const owner: unknown = transport === 'http' ? protobuf : clients[0];
    if (!(owner instanceof HttpStream || owner instanceof WsClient)) throw new Error('nobody keeps texts');
    const sql = owner.storeSql('SELECT 5');
    expect((await protobuf.queryValue(sql)).value).toBe(5n);
    sql.close();
    expect((await protobuf.queryValue('SELECT 6')).value).toBe(6n);
  });
});

describe('protobuf from outside', () => {
  const decoder = createDecoder(defaultLimits);

  it('is refused under JSON’s header and frame, and named when it is none', async () => {
    const { http, ws } = await startHarness();
    const response = await fetch(`${http}/v3-protobuf/pipeline`, { method: 'POST', body: '{"requests":[]}' });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      code: 'SEXTANT_PROTOCOL_ERROR',
      message: expect.stringContaining('not valid protobuf'),
    });
    const text = await RawSocket.open(ws, ['hrana3-protobuf']);
    text.send('{"type":"hello"}');
    expect(await text.closed).toMatchObject({ code: 1003 });
    const garbage = await RawSocket.open(ws, ['hrana3-protobuf']);
    garbage.ws.send(Buffer.from([0xff, 0xff, 0xff]));
    expect(await garbage.closed).toMatchObject({ code: 1007 });
  });

  it('never throws, whatever bytes arrive, and what it makes of them passes the decoder or is refused', () => {
    const writer = new ProtobufWriter();
    writer.message(2, () =>
      writer.message(2, () =>
        writer.message(1, () => {
          writer.string(1, 'SELECT ?');
          writer.message(3, () => writer.sint64(2, -1n));
        }),
      ),
    );
    const valid = writer.finish();
    const damaged = fc
      .tuple(fc.nat({ max: valid.length - 1 }), fc.nat({ max: 255 }), fc.nat({ max: valid.length }))
      .map(([at, byte, length]) =>
        Buffer.from(valid)
          .fill(byte, at, at + 1)
          .subarray(0, length),
      );
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), damaged), (bytes) => {
        for (const kind of ['pipeline', 'cursor', 'socket'] as const) {
          const request = readRequest(kind, bytes, 40);
          if (!request.ok) expect(request.error.code).toBe('SEXTANT_PROTOCOL_ERROR');
          else if (kind === 'pipeline') decoder.pipeline(Object(request.value));
          else if (kind === 'cursor') decoder.cursor(Object(request.value));
          else decoder.socketMessage(Object(request.value));
        }
      }),
      { numRuns: 3_000 },
    );
    const pipeline = readRequest('pipeline', valid, 40);
    expect(pipeline).toMatchObject({
      value: { requests: [{ type: 'execute', stmt: { sql: 'SELECT ?', args: [{ value: '-1' }] } }] },
    });
  });

  it('is bounded in fields and in depth before anything large is made of it', () => {
    const nested = new ProtobufWriter();
    const nest = (depth: number): void => {
      if (depth > 0) nested.message(3, () => nest(depth - 1));
    };
    nested.message(2, () => nested.message(1, () => nested.message(1, () => nest(200))));
    expect(readRequest('cursor', nested.finish(), 40)).toMatchObject({
      error: { message: expect.stringContaining('nest deeper than 88') },
    });
    const many = Buffer.alloc(2 * 2_000_001, Buffer.from([0x12, 0x00]));
    expect(readRequest('pipeline', many, 40)).toMatchObject({
      error: { message: expect.stringContaining('more than 2000000 fields') },
    });
  });

  it('has room for every 64-bit integer and length', () => {
    const integer = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
    fc.assert(
      fc.property(integer, fc.nat({ max: 20_000 }), (number, size) => {
        const writer = new ProtobufWriter();
        writer.message(1, () => writer.sint64(2, number));
        writer.string(3, 'x'.repeat(size));
        writer.integer(4, size);
        const seen: unknown[] = [];
        const reader = ProtobufReader.of(writer.finish(), 10, 2);
        reader.fields((field) => {
          if (field === 1) reader.message((inner) => inner.fields(() => seen.push(inner.sint64())));
          else if (field === 3) seen.push(reader.string().length);
          else seen.push(reader.uint32());
        });
        expect(seen).toEqual([number, size, size]);
      }),
    );
  });
});
