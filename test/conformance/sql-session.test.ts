/**
 * The suites of streams and of SQL sessions against the gateway that writes, a gateway that forwards to it, and the twins of both
 * databases that the tests of the protocols use.
 */

import { queryMessage } from '../../gateway/postgres/protocol/core/client-messages.ts';
import { type WireService, wireOutcome } from '../../gateway/postgres/wire-service.ts';
import type { GatewayConfig } from '../../gateway/process/config.ts';
import { type GatewayParts, release, startParts } from '../../gateway/process/gateway.ts';
import { checkSetup } from '../../gateway/process/setup.ts';
import type { SqlService } from '../../gateway/sql/sql.ts';
import { messagesIn, PGliteService } from '../gateway/postgres/pglite-service.ts';
import { GatewayWorld } from '../gateway/process/gateway-harness.ts';
import { createSqlTwin } from '../gateway/sql/sql-twin.ts';
import { eventually, silent } from '../storage/region-harness.ts';
import { context, okOf, type SessionFixture, sessionConformance, statement } from './sql-session.ts';
import { type Ran, rows, type SqlStream, type StreamFixture, streamConformance } from './sql-stream.ts';

const sqliteCodes = { duplicate: 'SQLITE_CONSTRAINT', noTable: 'SQLITE_ERROR' };
const postgresCodes = { duplicate: '23505', noTable: '42P01' };

/** Two gateways of one region without their sockets: the first one writes, the other forwards to it over NATS. */
class Pair {
  readonly writer: GatewayParts;
  readonly other: GatewayParts;
  private readonly world: GatewayWorld;

  private constructor(world: GatewayWorld, writer: GatewayParts, other: GatewayParts) {
    this.world = world;
    this.writer = writer;
    this.other = other;
  }

  static async start(extra: Partial<GatewayConfig> = {}): Promise<Pair> {
    const world = await GatewayWorld.start();
    const start = (name: string): Promise<GatewayParts> =>
      startParts(
        checkSetup(world.config(name, extra), {
          log: silent,
          version: '0.0.0-test',
          onFatal: (error) => {
            throw error;
          },
        }),
      );
    const writer = await start('g1');
    await eventually('the first gateway writes', () => writer.storage.role.phase === 'writing');
    const other = await start('g2');
    await eventually('the other one knows it', () => other.sql.watch.place() === 'elsewhere');
    return new Pair(world, writer, other);
  }

  async stop(): Promise<void> {
    for (const parts of [this.other, this.writer]) await release(parts);
    await this.world.close();
  }
}

interface Shared {
  readonly pair: Pair;
  stop(): Promise<void>;
}

/** Made by the first suite that needs it, and gone with the last: it takes seconds. */
function shared(start: () => Promise<Pair>, suites: number): () => Promise<Shared> {
  let made: Promise<Pair> | null = null;
  let left = suites;
  return async () => {
    made ??= start();
    const pair = await made;
    const stop = async (): Promise<void> => {
      left -= 1;
      if (left === 0) await pair.stop();
    };
    return { pair, stop };
  };
}

/** A stream of libSQL. */
function sqlStream(service: SqlService): SqlStream {
  const session = okOf(service.openSession());
  return {
    run: async (sql): Promise<Ran> => {
      const outcome = await session.execute(statement(sql), context);
      if (!outcome.ok)
        return { kind: 'failed', code: outcome.error.code.replace(/^(SQLITE_[A-Z]+)_.*/, '$1') };
      return rows(...outcome.value.rows.map((row) => row.map(String)));
    },
    isAutocommit: () => session.isAutocommit(),
    close: () => session.close(),
  };
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

/** The fields of a row, as PostgreSQL sends text. */
function fieldsOf(body: Uint8Array): readonly string[] {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const fields: string[] = [];
  for (let at = 2; at < body.length; ) {
    const length = view.getInt32(at);
    fields.push(length < 0 ? 'null' : text(body.subarray(at + 4, at + 4 + length)));
    at += 4 + Math.max(0, length);
  }
  return fields;
}

/** A stream of a PostgreSQL database: each statement is a simple query. */
function wireStream(service: WireService): SqlStream {
  const session = okOf(service.openSession());
  const run = (sql: string): Promise<Ran> =>
    new Promise((resolve) => {
      const operation = {
        kind: 'wire',
        messages: queryMessage(sql),
        prepared: [],
        statements: [sql],
        class: /^select/i.test(sql) ? 'read' : 'write',
        settings: {},
      } as const;
      session.run(operation, context, (answered) => {
        const outcome = wireOutcome(answered);
        if (!outcome.ok) return resolve({ kind: 'failed', code: outcome.error.code });
        const { error, messages } = outcome.value;
        if (error !== null) return resolve({ kind: 'failed', code: error.code });
        const all = messagesIn(messages);
        const failure = all.find(({ type }) => type === 'E');
        if (failure !== undefined)
          return resolve({ kind: 'failed', code: /\0C([^\0]+)/.exec(text(failure.body))?.[1] ?? '' });
        resolve(rows(...all.filter(({ type }) => type === 'D').map(({ body }) => fieldsOf(body))));
      });
    });
  return {
    run,
    isAutocommit: () => session.isAutocommit(),
    close: () => session.close(),
  };
}

const onSqlite = shared(() => Pair.start(), 4);
const onPostgres = shared(
  () => Pair.start({ engine: 'postgres', postgres: { listen: '127.0.0.1:7160' } }),
  2,
);

async function startTwin(): Promise<SessionFixture> {
  const twin = createSqlTwin();
  return { service: twin.service, stop: async () => twin.close() };
}

const ofGateway = (which: 'writer' | 'other') => async (): Promise<SessionFixture> => {
  const { pair, stop } = await onSqlite();
  return { service: pair[which].sql.service, stop };
};

const sqliteStreams = (start: () => Promise<SessionFixture>) => async (): Promise<StreamFixture> => {
  const { service, stop } = await start();
  return { open: () => sqlStream(service), codes: sqliteCodes, stop };
};

const postgresStreams = (which: 'writer' | 'other') => async (): Promise<StreamFixture> => {
  const { pair, stop } = await onPostgres();
  return { open: () => wireStream(pair[which].sql.service), codes: postgresCodes, stop };
};

async function startPglite(): Promise<StreamFixture> {
  const service = await PGliteService.make();
  return { open: () => wireStream(service), codes: postgresCodes, stop: () => service.db.close() };
}

streamConformance('SQLite at the gateway that writes', sqliteStreams(ofGateway('writer')));
streamConformance('SQLite at a gateway that forwards', sqliteStreams(ofGateway('other')));
streamConformance('the twin of SQLite', sqliteStreams(startTwin));
streamConformance('PostgreSQL at the gateway that writes', postgresStreams('writer'));
streamConformance('PostgreSQL at a gateway that forwards', postgresStreams('other'));
streamConformance('the twin of PostgreSQL', startPglite);

sessionConformance('the gateway that writes', ofGateway('writer'));
sessionConformance('a gateway that forwards', ofGateway('other'));
sessionConformance('the twin', startTwin);
