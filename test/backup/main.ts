/**
 * `npm run test:backup`: a real deployment that is backed up to a real S3 server, broken in the ways that a backup has to survive,
 * and restored to a second before a `DROP TABLE`, row by row. Not part of `npm test`.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { createClient } from '@libsql/client';
import { z } from 'zod';
import { accessKey, findS3Server, S3Server, secretKey } from './s3-server.ts';

const usage = `npm run test:backup -- [--seconds N] [--base-port N] [--keep]

Two regions under load, backed up to versitygw ($VERSITYGW, the PATH, or built with Go). --seconds: of load in each step.
Skipped, with exit code 0, where the server cannot be had.`;
const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    'base-port': { type: 'string', default: '21000' },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const seconds = Number(values.seconds);
const basePort = Number(values['base-port']);
const beganMs = performance.now();
const say = (line: string): void =>
  console.log(`${((performance.now() - beganMs) / 1_000).toFixed(1).padStart(6)} s  ${line}`);

const cliFile = join(import.meta.dirname, '../../regions/cli/sextant.ts');
const outputs: string[] = [];

function sextant(...args: readonly string[]): Promise<{ readonly code: number; readonly out: string }> {
  return new Promise((resolve) => {
    const env = { ...process.env, AWS_ACCESS_KEY_ID: accessKey, AWS_SECRET_ACCESS_KEY: secretKey };
    const child = spawn(process.execPath, [cliFile, ...args], { env });
    let out = '';
    let both = '';
    child.stdout.on('data', (chunk: Buffer) => {
      out += chunk.toString();
      both += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      both += chunk.toString();
    });
    child.on('close', (code) => {
      outputs.push(both);
      resolve({ code: code ?? -1, out: code === 0 ? out : both });
    });
  });
}

async function must(...args: readonly string[]): Promise<string> {
  const { code, out } = await sextant(...args);
  assert.equal(code, 0, `sextant ${args.join(' ')}\n${out}`);
  return out;
}

const backupSchema = z.object({
  through: z.number(),
  throughUs: z.number().nullable(),
  ageMs: z.number(),
  lagBytes: z.number(),
  bytes: z.number(),
  objects: z.number(),
  sets: z.number(),
  trouble: z.string().nullable(),
});
type Backup = z.infer<typeof backupSchema>;

class Check {
  readonly dir: string;
  readonly server: S3Server;
  readonly data: string;
  private readonly stores: readonly string[];
  private ages: number[] = [];
  private longestMs = 0;
  private next = 1;

  constructor(dir: string, server: S3Server) {
    this.dir = dir;
    this.server = server;
    this.data = join(dir, 'data');
    this.stores = ['--from', 's3://backups/nightly', '--endpoint', server.endpoint];
  }

  async run(): Promise<void> {
    const keys = join(this.dir, 'keys');
    writeFileSync(
      keys,
      `[default]\naws_access_key_id = ${accessKey}\naws_secret_access_key = ${secretKey}\n`,
      { mode: 0o600 },
    );
    const backup = [
      '--backup',
      's3://backups/nightly',
      '--backup-endpoint',
      this.server.endpoint,
      '--backup-credentials',
      keys,
    ];
    await must(
      'up',
      '--detach',
      '--regions',
      'us-east-1,eu-west-1',
      '--base-port',
      `${basePort}`,
      '--data',
      this.data,
      ...backup,
    );
    await must(
      'sql',
      'us-east-1',
      'CREATE TABLE orders(id INTEGER PRIMARY KEY, what TEXT, n INTEGER)',
      '--data',
      this.data,
    );
    say('two regions are up, backed up to s3://backups/nightly');
    await this.underLoad('load', async () => sleep(seconds * 1_000));
    const worst = Math.max(...this.ages);
    say(`age of the backup under load: at most ${Math.round(worst)} ms in ${this.ages.length} looks`);
    assert(worst <= 10_000, `the backup was ${worst} ms old under load`);
    await this.underLoad('the agent is killed -9 six times', async () => {
      for (let round = 0; round < 6; round += 1) {
        await must('node', 'kill', 'us-east-1/agent', '--data', this.data);
        await must('node', 'start', 'us-east-1/agent', '--data', this.data);
        await sleep(500 + 700 * round);
      }
    });
    await this.level();
    await this.storeAway();
    await this.dropAndRestore();
    await this.otherPrimary();
    await this.damage();
    this.nothingSecret();
  }

  /** Writes all the while that `act` takes; every write has to succeed. */
  private async underLoad(what: string, act: () => Promise<unknown>): Promise<void> {
    const client = createClient({ url: `http://127.0.0.1:${basePort + 11}` });
    let isOver = false;
    let written = 0;
    this.ages = [];
    this.longestMs = 0;
    const worker = async (): Promise<void> => {
      while (!isOver) {
        const id = this.next++;
        const fromMs = performance.now();
        await client.execute({
          sql: 'INSERT INTO orders VALUES(?, ?, ?)',
          args: [id, `thing ${id} `.repeat(20), id * 7],
        });
        if (id % 3 === 0)
          await client.execute({ sql: 'UPDATE orders SET n = n + 1 WHERE id <= ?', args: [id % 50] });
        this.longestMs = Math.max(this.longestMs, performance.now() - fromMs);
        written += 1;
      }
    };
    const watch = async (): Promise<void> => {
      while (!isOver) {
        this.ages.push((await this.backup()).ageMs);
        await sleep(200);
      }
    };
    const workers = [watch(), ...Array.from({ length: 8 }, worker)];
    try {
      await act();
    } finally {
      isOver = true;
      await Promise.all(workers);
      client.close();
    }
    say(`${what}: ${written} rows written meanwhile, the slowest in ${Math.round(this.longestMs)} ms`);
  }

  private async backup(): Promise<Backup> {
    const answer = await fetch(`http://127.0.0.1:${basePort + 11}/v1/backups`);
    const { backups } = z.object({ backups: z.array(backupSchema) }).parse(await answer.json());
    return (
      backups[0] ?? {
        through: 0,
        throughUs: null,
        ageMs: 0,
        lagBytes: 0,
        bytes: 0,
        objects: 0,
        sets: 0,
        trouble: 'not heard',
      }
    );
  }

  private async level(): Promise<void> {
    const untilMs = performance.now() + 60_000;
    const status = await fetch(`http://127.0.0.1:${basePort + 11}/v1/status`);
    const { regions } = z
      .object({ regions: z.array(z.object({ vdl: z.number().nullable() })) })
      .parse(await status.json());
    const wanted = Math.max(...regions.map(({ vdl }) => vdl ?? 0));
    for (;;) {
      const seen = await this.backup();
      if (seen.through >= wanted && seen.trouble === null && seen.sets > 0) return;
      assert(
        performance.now() < untilMs,
        `the backup does not come level with ${wanted}: ${JSON.stringify(seen)}`,
      );
      await sleep(100);
    }
  }

  private async storeAway(): Promise<void> {
    const rss = (): number => {
      const pid = readFileSync(join(this.data, 'us-east-1/agent/pid'), 'utf8').split(/\s/)[0];
      return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1_024;
    };
    const before = rss();
    await this.server.kill();
    await this.underLoad('the S3 server is away', async () => {
      await sleep(seconds * 1_000);
      const seen = await this.backup();
      assert.match(seen.trouble ?? '', /does not answer/);
      assert(seen.ageMs > seconds * 500, `its age is ${seen.ageMs}`);
      const { code, out } = await sextant('backup', 'status', '--data', this.data);
      assert.equal(code, 1, out);
      const ready = await fetch(`http://127.0.0.1:${basePort + 10}/readyz`);
      assert.equal(ready.status, 200, 'a store that is away is no reason to be not ready');
      say(
        `age ${seen.ageMs} ms, ${seen.lagBytes} bytes lacking, agent ${before.toFixed(0)} → ${rss().toFixed(0)} MiB: ${seen.trouble}`,
      );
    });
    await this.server.start();
    await this.level();
    this.server.freeze();
    await this.underLoad('the S3 server is frozen', () => sleep(4_000));
    this.server.thaw();
    await this.level();
  }

  private async dropAndRestore(): Promise<void> {
    const rows = await this.rows(basePort + 11);
    await sleep(2_000);
    const droppedMs = Date.now();
    await must('sql', 'us-east-1', 'DROP TABLE orders', '--data', this.data);
    await must('sql', 'us-east-1', 'CREATE TABLE after_the_drop(a)', '--data', this.data);
    await this.level();
    const at = new Date(droppedMs - 1_000).toISOString();
    const restored = join(this.dir, 'restored');
    const fromMs = performance.now();
    const port = basePort + 200;
    const text = await must(
      'restore',
      ...this.stores,
      '--at',
      at,
      '--data',
      restored,
      '--base-port',
      `${port}`,
      '--cluster',
      'restored',
      '--json',
    );
    say(`restored to ${at} in ${Math.round(performance.now() - fromMs)} ms: ${text.replace(/\s+/g, ' ')}`);
    await must('up', '--detach', '--data', restored);
    try {
      for (const gateway of [port + 11, port + 31]) assert.deepEqual(await this.rows(gateway), rows);
      await must('sql', 'eu-west-1', "INSERT INTO orders VALUES(-1, 'a new life', 0)", '--data', restored);
      say(`${rows.length} rows are the same in both regions of the restored deployment, which takes writes`);
    } finally {
      await must('down', '--data', restored);
    }
  }

  private async rows(port: number): Promise<readonly string[]> {
    const client = createClient({ url: `http://127.0.0.1:${port}` });
    const { rows } = await client.execute('SELECT id, what, n FROM orders ORDER BY id');
    client.close();
    return rows.map(({ id, what, n }) => JSON.stringify([id, what, n]));
  }

  /** The region that is backed up becomes a secondary: its backup goes on. */
  private async otherPrimary(): Promise<void> {
    await must('switchover', '--to', 'eu-west-1', '--data', this.data);
    await must(
      'sql',
      'eu-west-1',
      "INSERT INTO after_the_drop VALUES('written in Europe')",
      '--data',
      this.data,
    );
    await this.level();
    const file = join(this.dir, 'newest.db');
    await must('restore', ...this.stores, '--file', file);
    const database = new DatabaseSync(file);
    assert.deepEqual(
      database
        .prepare('SELECT a FROM after_the_drop')
        .all()
        .map(({ a }) => a),
      ['written in Europe'],
    );
    assert.equal(database.prepare('PRAGMA integrity_check').get()?.integrity_check, 'ok');
    database.close();
    say('after a switchover the backup goes on in the secondary, and restores into a file of SQLite');
  }

  private async damage(): Promise<void> {
    say((await must('backup', 'verify', ...this.stores)).trim().replaceAll('\n', '; '));
    const found = readdirSync(this.server.bucketDir, { recursive: true, withFileTypes: true }).filter(
      (entry) => entry.isFile() && entry.name.endsWith('.log'),
    );
    const entry = found[Math.floor(found.length / 2)];
    assert(entry !== undefined, 'there is a log object');
    const path = join(entry.parentPath, entry.name);
    const bytes = readFileSync(path);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    const { code, out } = await sextant('backup', 'verify', ...this.stores);
    assert.equal(code, 1);
    assert(out.includes(entry.name), out);
    say('a flipped bit in the store is found, and its object is named');
  }

  /** Neither what was printed nor what processes have logged or were given has a key in it. */
  private nothingSecret(): void {
    const logs = readdirSync(this.data, { recursive: true, withFileTypes: true }).filter(
      (entry) => entry.isFile() && (entry.name.endsWith('.log') || /\.(ya?ml|json)$/.test(entry.name)),
    );
    const texts = logs.map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'));
    for (const text of [...texts, ...outputs])
      assert(!text.includes(secretKey) && !text.includes(accessKey), 'a key of the S3 server is in the open');
    say(`no key in ${texts.length} logs and files, nor in what ${outputs.length} commands have printed`);
  }

  async close(): Promise<void> {
    await sextant('down', '--data', this.data);
    await this.server.kill();
  }
}

/** @returns the exit code */
async function main(): Promise<number> {
  const found = await findS3Server();
  if ('error' in found) {
    console.log(`skipped: ${found.error}`);
    return 0;
  }
  const dir = mkdtempSync(join(tmpdir(), 'sextant-backup-'));
  const server = new S3Server(found.path, join(dir, 's3'), basePort + 800);
  const check = new Check(dir, server);
  try {
    await server.start();
    await check.run();
    say('all of it holds');
    return 0;
  } catch (error) {
    console.error(error);
    return 1;
  } finally {
    await check.close();
    if (values.keep) console.log(`kept: ${dir}`);
    else rmSync(dir, { recursive: true, force: true });
  }
}

if (values.help) console.log(usage);
else process.exitCode = await main();
