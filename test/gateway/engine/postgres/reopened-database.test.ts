/**
 * PostgreSQL on the files of a volume: whatever the pages are at the end of a call, its own recovery makes of them the database as of
 * that call.
 */
import { expect, test } from 'vitest';
import { PageUnavailable } from '../../../../gateway/engine/postgres/core/file-error.ts';
import { sqlError } from '../../../../gateway/sql/errors.ts';
import type { PageNo } from '../../../../storage/redo/ids.ts';
import { FilesVolume, pageTroubles } from './files-volume.ts';
import { newDatabase, type OpenDatabase, openDatabase } from './pglite-on-volume.ts';

interface Moment {
  readonly pages: Map<PageNo, Uint8Array>;
  /** Rows of `t` that were committed. */
  readonly rows: ReadonlyMap<number, number>;
  /** Tables that were made and not dropped. */
  readonly tables: ReadonlySet<string>;
  readonly inTransaction: boolean;
}

const seed = 20_261_130;

/** Numbers below `below` from a seed, the same at each run. */
function chance(start: number): (below: number) => number {
  let state = start;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Runs statements, and after each publishes its pages and may take an image of them. */
class Load {
  readonly moments: Moment[] = [];
  private readonly open: OpenDatabase;
  private readonly random = chance(seed);
  private rows = new Map<number, number>();
  private readonly tables = new Set<string>();
  private inTransaction = false;
  private next = 0;
  private calls = 0;
  private imageAt = 0;

  constructor(open: OpenDatabase) {
    this.open = open;
  }

  async run(images: number): Promise<void> {
    await this.call('CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL, filler text)');
    await this.call('CREATE INDEX t_v ON t (v)');
    await this.change(300, null);
    this.imageAt = this.calls + 5;
    while (this.moments.length < images) await this.act();
  }

  private async act(): Promise<void> {
    switch (this.random(12)) {
      case 0:
        return this.call('CHECKPOINT');
      case 1:
        return this.call(this.random(2) === 0 ? 'VACUUM t' : 'VACUUM FULL t');
      case 2: {
        const name = `made_${this.next++}`;
        await this.call(`CREATE TABLE ${name} AS SELECT g FROM generate_series(1, 2000) g`, () =>
          this.tables.add(name),
        );
        return;
      }
      case 3: {
        const [name] = this.tables;
        if (name !== undefined) await this.call(`DROP TABLE ${name}`, () => this.tables.delete(name));
        return;
      }
      case 4:
      case 5:
        return this.transaction();
      case 6:
        return this.change(400, (id) => `DELETE FROM t WHERE id = ${id}`);
      default:
        return this.change(1, null);
    }
  }

  /** Inserts, and changes or deletes one of the rows. */
  private async change(
    count: number,
    remove: ((id: number) => string) | null,
    rows = this.rows,
  ): Promise<void> {
    const ids = Array.from({ length: count }, () => this.next++);
    const values = ids.map((id) => `(${id}, ${id % 97}, repeat('x', ${id % 200}))`).join(',');
    await this.call(`INSERT INTO t VALUES ${values}`, () => {
      for (const id of ids) rows.set(id, id % 97);
    });
    const id = [...rows.keys()][this.random(rows.size)] ?? 0;
    if (remove !== null) await this.call(remove(id), () => rows.delete(id));
    else
      await this.call(`UPDATE t SET v = v + 1000 WHERE id = ${id}`, () =>
        rows.set(id, (rows.get(id) ?? 0) + 1000),
      );
  }

  private async transaction(): Promise<void> {
    const inside = new Map(this.rows);
    await this.call('BEGIN');
    this.inTransaction = true;
    await this.change(50, null, inside);
    await this.change(3, (id) => `DELETE FROM t WHERE id = ${id}`, inside);
    const commits = this.random(3) > 0;
    await this.call(commits ? 'COMMIT' : 'ROLLBACK', () => {
      this.inTransaction = false;
      if (commits) this.rows = inside;
    });
  }

  private async call(sql: string, then: () => void = () => undefined): Promise<void> {
    const { db, mounted, volume } = this.open;
    await db.exec(sql);
    expect(mounted.takeFault()).toBe(null);
    then();
    volume.publish();
    if (++this.calls !== this.imageAt) return;
    this.imageAt = this.calls + 1 + this.random(20);
    this.moments.push({
      pages: volume.image(),
      rows: new Map(this.rows),
      tables: new Set(this.tables),
      inTransaction: this.inTransaction,
    });
  }
}

async function verify(moment: Moment): Promise<void> {
  const volume = new FilesVolume(moment.pages);
  expect(pageTroubles(volume.set)).toEqual([]);
  const { db, mounted } = await openDatabase(volume, ['shared_buffers=16MB']);
  const { rows } = await db.query<{ id: number; v: number }>('SELECT id, v FROM t');
  expect(new Map(rows.map(({ id, v }) => [id, v]))).toEqual(moment.rows);
  const byIndex = await db.exec(
    'SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT id FROM t WHERE id >= 0; SELECT v FROM t WHERE v >= 0',
  );
  expect(byIndex.slice(-2).map((result) => result.rows.length)).toEqual([moment.rows.size, moment.rows.size]);
  const made = await db.query<{ name: string }>(
    "SELECT relname AS name FROM pg_class WHERE relname LIKE 'made%' AND relkind = 'r'",
  );
  expect(new Set(made.rows.map(({ name }) => name))).toEqual(moment.tables);
  for (const name of moment.tables) {
    const { rows: counted } = await db.query<{ n: number }>(`SELECT count(*)::int AS n FROM ${name}`);
    expect(counted).toEqual([{ n: 2000 }]);
  }
  for (const sql of ['VACUUM FULL t', 'REINDEX TABLE t', 'CHECKPOINT']) await db.exec(sql);
  expect(mounted.takeFault()).toBe(null);
  volume.publish();
  expect(pageTroubles(volume.set)).toEqual([]);
  await db.close();
}

test('a database opened from its pages at the end of any call holds every row of that moment and none too many', async () => {
  const open = await openDatabase(await newDatabase(), ['shared_buffers=1MB']);
  const load = new Load(open);
  await load.run(10);
  for (const moment of load.moments) await verify(moment);
  expect(load.moments.some(({ inTransaction }) => inTransaction)).toBe(true);
  expect(load.moments.every(({ rows }) => rows.size > 0)).toBe(true);
  await open.db.close();
}, 120_000);

test('two databases made of one base image are told apart, and begin with the settings that suit a volume', async () => {
  const identifiers: string[] = [];
  for (const volume of [await newDatabase(), await newDatabase()]) {
    const { db } = await openDatabase(volume, ['shared_buffers=16MB']);
    const { rows } = await db.query<{ id: string }>(
      'SELECT system_identifier::text AS id FROM pg_control_system()',
    );
    identifiers.push(rows[0]?.id ?? '');
    const settings = await db.query<{ setting: string }>(
      `SELECT setting FROM pg_settings WHERE name IN
        ('full_page_writes', 'wal_level', 'wal_recycle', 'wal_init_zero', 'data_checksums', 'wal_segment_size')
        ORDER BY name`,
    );
    expect(settings.rows.map(({ setting }) => setting)).toEqual([
      'off',
      'off',
      'off',
      'minimal',
      'off',
      '1048576',
    ]);
    await db.close();
  }
  expect(identifiers[0]).toMatch(/^\d{15,}$/);
  expect(identifiers[0]).not.toBe(identifiers[1]);
}, 60_000);

test('a commit of one row is one write to WAL: at the median less than 256 bytes of redo, and one page', async () => {
  const volume = await newDatabase();
  const { db } = await openDatabase(volume, ['shared_buffers=16MB']);
  await db.exec('CREATE TABLE t (id int PRIMARY KEY, v int, filler text)');
  await db.exec("INSERT INTO t SELECT g, 0, repeat('x', 100) FROM generate_series(0, 999) g");
  await db.exec('CHECKPOINT'); // Whole pages would be written after this one, were they not turned off.
  volume.publish();
  const random = chance(seed);
  const commits: { readonly bytes: number; readonly pages: number }[] = [];
  for (let at = 0; at < 200; at++) {
    await db.query(`UPDATE t SET v = v + 1 WHERE id = ${random(1000)}`);
    const { bytes, changes } = volume.publish();
    commits.push({ bytes, pages: changes.length });
    await db.query('SELECT count(*) FROM t');
    expect(volume.publish().changes).toEqual([]);
  }
  const median = (of: (commit: (typeof commits)[number]) => number): number =>
    commits.map(of).sort((a, b) => a - b)[commits.length / 2] ?? 0;
  expect(median(({ bytes }) => bytes)).toBeLessThan(256);
  expect(median(({ pages }) => pages)).toBe(1);
  await db.close();
}, 60_000);

test('a sort that does not fit in memory spills, and that is no redo', async () => {
  const volume = await newDatabase();
  const { db } = await openDatabase(volume, ['shared_buffers=16MB']);
  await db.exec("SET work_mem = '64kB'");
  volume.publish();
  const { rows } = await db.query<{ 'QUERY PLAN': string }>(
    'EXPLAIN (ANALYZE, COSTS OFF) SELECT md5(g::text) FROM generate_series(1, 50000) g ORDER BY 1',
  );
  expect(rows.map((row) => row['QUERY PLAN']).join('\n')).toMatch(/Sort Method: external merge +Disk/);
  expect(volume.publish().changes).toEqual([]);
  await db.close();
}, 60_000);

test('a page that storage does not give ends the call, and is told although PGlite’s own class tells nothing (G86)', async () => {
  const volume = await newDatabase();
  const filled = await openDatabase(volume, ['shared_buffers=16MB']);
  await filled.db.exec(
    "CREATE TABLE t AS SELECT g AS id, repeat('x', 100) AS filler FROM generate_series(1, 5000) g",
  );
  await filled.db.exec('CHECKPOINT');
  volume.publish();
  const reopened = new FilesVolume(volume.image());
  const { db, mounted } = await openDatabase(reopened, ['shared_buffers=16MB']);
  const lost = new PageUnavailable(sqlError('SEXTANT_STORAGE_UNAVAILABLE', 'no node answers'));
  reopened.cache.get = () => {
    throw lost;
  };
  const answer = await db.query('SELECT count(*) FROM t').then(
    ({ rows }) => rows,
    () => [],
  );
  expect(answer).toEqual([]);
  expect(mounted.takeFault()).toBe(lost);
}, 60_000);
