/**
 * `node baseline-server.ts PORT LOGFILE`: as much of the libSQL protocol as the benchmark speaks, SQLite in memory, and a log
 * of one file that is synced once for all commits that came in during the sync before.
 */
import { fdatasync, openSync, write } from 'node:fs';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { type WebSocket, WebSocketServer } from 'ws';
import { z } from 'zod';

const [portText = '0', logFile = ''] = process.argv.slice(2);
const database = new DatabaseSync(':memory:');
const log = openSync(logFile, 'a');
/** About what one commit of Sextant writes to each copy. */
const record = Buffer.alloc(200, 1);

let unsynced: (() => void)[] = [];
let syncing = false;

function sync(): void {
  if (syncing || unsynced.length === 0) return;
  syncing = true;
  const waiting = unsynced;
  unsynced = [];
  write(log, Buffer.alloc(record.length * waiting.length, record), () => {
    fdatasync(log, (error) => {
      if (error !== null) throw error;
      syncing = false;
      for (const answer of waiting) answer();
      sync();
    });
  });
}

const requestSchema = z.object({
  type: z.string(),
  request_id: z.number().optional(),
  request: z
    .object({
      type: z.string(),
      sql: z.string().optional(),
      sql_id: z.number().optional(),
      stmt: z
        .object({
          sql: z.string().optional(),
          sql_id: z.number().optional(),
          args: z.array(z.object({ value: z.string() })).optional(),
        })
        .optional(),
    })
    .optional(),
});

const prepared = new Map<string, StatementSync>();
function statementOf(sql: string): StatementSync {
  const known = prepared.get(sql);
  if (known !== undefined) return known;
  const statement = database.prepare(sql);
  // A full cache would tell of statements that are not those of a workload: filling the tables.
  if (prepared.size < 100) prepared.set(sql, statement);
  return statement;
}

function serve(socket: WebSocket): void {
  const stored = new Map<number, string>();
  const answer = (id: number, type: string, result: string): void =>
    socket.send(`{"type":"response_ok","request_id":${id},"response":{"type":"${type}"${result}}}`);
  socket.on('message', (data) => {
    const { request_id: id = 0, request } = requestSchema.parse(JSON.parse(String(data)));
    if (request === undefined) return socket.send('{"type":"hello_ok"}');
    if (request.type === 'store_sql') stored.set(request.sql_id ?? 0, request.sql ?? '');
    if (request.type !== 'execute') return answer(id, request.type, '');
    const { stmt } = request;
    const sql = stmt?.sql ?? stored.get(stmt?.sql_id ?? -1) ?? '';
    const rows = statementOf(sql).all(...(stmt?.args ?? []).map(({ value }) => Number(value)));
    const values = rows.map((row) => Object.values(row).map((value) => ({ value: String(value) })));
    const respond = (): void => answer(id, 'execute', `,"result":{"rows":${JSON.stringify(values)}}`);
    if (sql.startsWith('SELECT')) return respond();
    unsynced.push(respond);
    // Those of one turn of the event loop share a sync.
    setImmediate(sync);
  });
}

new WebSocketServer({ host: '127.0.0.1', port: Number(portText), perMessageDeflate: false }).on(
  'connection',
  serve,
);
process.once('SIGTERM', () => process.exit(0));
