/**
 * How long nobody can write to a PostgreSQL database when the gateway that writes is killed in the middle of a load, and whether
 * anything acknowledged is missing: `node test/system/postgres/restart-time.ts [--rounds N] [--rows N] [--updates N] [--clients N]
 * [--gateways N] [--base-port N]`. A round makes `--updates` single-row updates of random rows, kills the writer with SIGKILL as the
 * last is acknowledged, and asks a new connection for one more write until that is acknowledged. Each row counts its updates.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { TestDeployment } from '../local-deployment.ts';

const region = 'us-east-1';
const help =
  'usage: node test/system/postgres/restart-time.ts [--rounds N] [--rows N] [--updates N] [--clients N] [--gateways N] [--base-port N]\n' +
  '  --rounds N     how often the writer is killed (3)    --rows N       rows of the table (720000: 107 MB with the index)\n' +
  '  --updates N    before each kill (10000)              --clients N    that make them (32)\n' +
  '  --gateways N   gateways of the region (1)            --base-port N  where the deployment listens\n' +
  '  --batch        the updates of a round are one statement, in one transaction\n';

const { values } = parseArgs({
  options: {
    help: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '3' },
    rows: { type: 'string', default: '720000' },
    updates: { type: 'string', default: '10000' },
    clients: { type: 'string', default: '32' },
    gateways: { type: 'string', default: '1' },
    batch: { type: 'boolean', default: false },
    'base-port': { type: 'string' },
  },
});
if (values.help) {
  process.stdout.write(help);
  process.exit(0);
}
const rows = Number(values.rows);
const updates = Number(values.updates);
const rowsAtOnce = 20_000;

/** How often each row was updated for certain, and how often nobody can say. */
class Ledger {
  private readonly acknowledged = new Uint16Array(rows + 1);
  private readonly unknown = new Uint16Array(rows + 1);
  acks = 0;

  acked(id: number): void {
    this.acknowledged[id] = (this.acknowledged[id] ?? 0) + 1;
    this.acks += 1;
  }

  doubted(id: number): void {
    this.unknown[id] = (this.unknown[id] ?? 0) + 1;
  }

  /** Rows that lack an update, and rows that have one too many. */
  judge(counted: readonly { readonly id: number; readonly n: number }[]): {
    missing: number;
    ghosts: number;
  } {
    const found = new Map(counted.map(({ id, n }) => [id, n]));
    let missing = 0;
    let ghosts = 0;
    for (const [id, least] of this.acknowledged.entries()) {
      const n = found.get(id) ?? 0;
      if (n < least) missing += 1;
      else if (n > least + (this.unknown[id] ?? 0)) ghosts += 1;
    }
    return { missing, ghosts };
  }
}

const update = { name: 'add', text: 'UPDATE account SET n = n + 1 WHERE id = $1' };

async function connected(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 30_000 });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

async function fill(url: string): Promise<void> {
  const client = await connected(url);
  await client.query('CREATE TABLE account (id int PRIMARY KEY, n int NOT NULL, filler char(84) NOT NULL)');
  for (let from = 1; from <= rows; from += rowsAtOnce) {
    const to = Math.min(rows, from + rowsAtOnce - 1);
    await client.query(`INSERT INTO account SELECT i, 0, '' FROM generate_series(${from}, ${to}) AS i`);
    process.stdout.write(`\r${to} of ${rows} rows`);
  }
  const sized = await client.query("SELECT pg_total_relation_size('account') AS bytes");
  console.log(`\nthe table has ${Math.round(Number(sized.rows[0].bytes) / 1e6)} MB`);
  await client.end();
}

/** Updates random rows until `left` are acknowledged. */
async function load(url: string, ledger: Ledger): Promise<void> {
  let left = updates;
  const one = async (): Promise<void> => {
    const client = await connected(url);
    while (left > 0) {
      left -= 1;
      const id = 1 + Math.floor(Math.random() * rows);
      try {
        await client.query({ ...update, values: [id] });
        ledger.acked(id);
      } catch (error) {
        ledger.doubted(id);
        throw error;
      }
    }
    void client.end().catch(() => undefined);
  };
  await Promise.all(Array.from({ length: Number(values.clients) }, one));
}

/** The same rows, in one statement. */
async function loadAtOnce(url: string, ledger: Ledger): Promise<void> {
  const client = await connected(url);
  const ids = new Set<number>();
  while (ids.size < updates) ids.add(1 + Math.floor(Math.random() * rows));
  await client.query('UPDATE account SET n = n + 1 WHERE id = ANY($1)', [[...ids]]);
  for (const id of ids) ledger.acked(id);
  void client.end().catch(() => undefined);
}

/** @returns milliseconds until a connection, and until the first acknowledged write. */
async function firstWrite(url: string, ledger: Ledger): Promise<{ connectedMs: number; tookMs: number }> {
  const sinceMs = performance.now();
  for (;;) {
    const id = 1 + Math.floor(Math.random() * rows);
    let sent = false;
    try {
      const client = await connected(url);
      const connectedMs = performance.now() - sinceMs;
      sent = true;
      await client.query({ ...update, values: [id] });
      ledger.acked(id);
      const tookMs = performance.now() - sinceMs;
      void client.end().catch(() => undefined);
      return { connectedMs, tookMs };
    } catch {
      if (sent) ledger.doubted(id);
      if (performance.now() - sinceMs > 60_000) throw new Error('no write was acknowledged for 60 s');
      await sleep(10);
    }
  }
}

/** Rows that were updated, in parts: on a busy machine no statement may read all of a table. */
async function counted(url: string): Promise<readonly { readonly id: number; readonly n: number }[]> {
  const client = await connected(url);
  const found: { readonly id: number; readonly n: number }[] = [];
  for (let from = 1; from <= rows; from += 2 * rowsAtOnce) {
    const part = [from, from + 2 * rowsAtOnce - 1];
    const { rows: some } = await client.query(
      'SELECT id, n FROM account WHERE id BETWEEN $1 AND $2 AND n > 0',
      part,
    );
    found.push(...some);
  }
  await client.end();
  return found;
}

const names = Array.from({ length: Number(values.gateways) }, (_, index) => `g${index + 1}`);

/** Name of the gateway that writes, once all are ready. */
async function writerOf(deployment: TestDeployment): Promise<string> {
  for (const deadline = performance.now() + 60_000; performance.now() < deadline; await sleep(50)) {
    const seen = await Promise.all(
      names.map((name) =>
        fetch(`http://${deployment.gateway(region, name)}/readyz`)
          .then((answer) => answer.json() as Promise<{ ready: boolean; phase: string }>)
          .catch(() => null),
      ),
    );
    const at = seen.findIndex((one) => one?.phase === 'writing');
    if (at >= 0 && seen.every((one) => one?.ready === true)) return names[at] ?? '';
  }
  throw new Error('the gateways were not all ready within 60 s');
}

const deployment = await TestDeployment.start({
  regions: [region],
  flags: ['--engine', 'postgres', '--gateways', values.gateways, '--timeout', '300'],
  ...(values['base-port'] !== undefined && { basePort: Number(values['base-port']) }),
});
const took: number[] = [];
let failed = false;
try {
  const ledger = new Ledger();
  await fill(deployment.postgres(region));
  for (let round = 0; round < Number(values.rounds); round++) {
    const lost = await writerOf(deployment);
    // A connection to NATS counts as settled after two seconds.
    await sleep(2_500);
    const left = names.find((name) => name !== lost) ?? lost;
    await (values.batch ? loadAtOnce : load)(deployment.postgres(region, 'main', lost), ledger);
    await deployment.signal(`${region}/${lost}`, 'SIGKILL');
    console.log(`${new Date().toISOString()} ${lost} killed`);
    const { connectedMs, tookMs } = await firstWrite(deployment.postgres(region, 'main', left), ledger);
    took.push(tookMs);
    console.log(`connected after ${Math.round(connectedMs)} ms, acknowledged after ${Math.round(tookMs)} ms`);
    await writerOf(deployment);
    const { missing, ghosts } = ledger.judge(await counted(deployment.postgres(region, 'main', left)));
    console.log(`${ledger.acks} acknowledged so far, ${missing} rows lack one, ${ghosts} have one too many`);
    if (missing + ghosts > 0) throw new Error('an acknowledged update is missing, or ran twice');
  }
} catch (error) {
  failed = true;
  console.error(error);
} finally {
  await deployment.stop();
}
const sorted = took.map(Math.round).sort((a, b) => a - b);
console.log(`${sorted.length} rounds: ${sorted.join(', ')} ms`);
process.exit(failed ? 1 : 0);
