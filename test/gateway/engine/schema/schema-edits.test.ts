/** A schema that is edited as text is a schema that has changed: for every stream, wherever it runs. */
import { afterEach, expect, test } from 'vitest';
import type { Engine } from '../../../../gateway/engine/engine.ts';
import type { EngineSession } from '../../../../gateway/engine/engine-stream.ts';
import { closeEngines, code, openReader, openWriter, rows, run } from '../engine-volume.ts';

afterEach(closeEngines);

const edit = "UPDATE sqlite_schema SET sql = 'CREATE TABLE t (a, b)' WHERE name = 't'";
const columns = async (engine: Engine): Promise<unknown> => {
  const session = engine.openSession();
  const found = await rows(session, "SELECT name FROM pragma_table_info('t')");
  session.close();
  return found.flat();
};

/** A writer whose connections have all read the schema. */
async function written() {
  const { engine, volume } = await openWriter();
  const session = engine.openSession();
  await run(session, 'CREATE TABLE t (a)');
  await run(session, 'INSERT INTO t VALUES (1)');
  const other = engine.openSession();
  await run(other, 'BEGIN');
  await run(session, 'SELECT a FROM t');
  await run(other, 'SELECT a FROM t');
  await run(other, 'ROLLBACK');
  other.close();
  return { engine, volume, session };
}

test('G133: an edit is seen by streams that come later, and by the one that made it', async () => {
  const { engine, session } = await written();
  await run(session, 'PRAGMA writable_schema = ON');
  await run(session, edit);
  expect(await columns(engine)).toEqual(['a', 'b']);
  expect(await rows(session, 'SELECT * FROM t')).toEqual([[1n, null]]);
  session.close();
  expect(await columns(engine)).toEqual(['a', 'b']);
});

const version = async (session: EngineSession): Promise<bigint> => {
  const [[found]] = (await rows(session, 'PRAGMA schema_version')) as [[bigint]];
  return found;
};

test('an engine that follows the redo sees it, too, although it has read the schema before', async () => {
  const { volume, session } = await written();
  const reader = await openReader(volume);
  const reading = reader.engine.openSession();
  expect(await rows(reading, 'SELECT * FROM t')).toEqual([[1n]]);
  const from = volume.frames.length;
  await run(session, 'PRAGMA writable_schema = ON');
  await run(session, edit);
  reader.engine.apply(Buffer.concat(volume.frames.slice(from)), volume.durable);
  expect(await rows(reading, 'SELECT * FROM t')).toEqual([[1n, null]]);
  expect(await columns(reader.engine)).toEqual(['a', 'b']);
});

test('in a transaction it counts from the commit on, once, and a rollback takes it back', async () => {
  const { engine, session } = await written();
  const before = await version(session);
  await run(session, 'PRAGMA writable_schema = ON');
  await run(session, 'BEGIN');
  await run(session, edit);
  await run(session, 'ROLLBACK');
  expect([await version(session), await columns(engine)]).toEqual([before, ['a']]);
  await run(session, 'BEGIN');
  await run(session, edit);
  await run(session, edit);
  await run(session, 'INSERT INTO t VALUES (2)');
  expect(await columns(engine)).toEqual(['a']);
  await run(session, 'COMMIT');
  expect([await version(session), await columns(engine)]).toEqual([before + 1n, ['a', 'b']]);
});

test('what raises the version by itself raises it no further, nor does a write that edits nothing', async () => {
  const { session } = await written();
  const before = await version(session);
  await run(session, 'PRAGMA writable_schema = ON');
  await run(session, 'BEGIN');
  await run(session, edit);
  await run(session, 'PRAGMA schema_version = 4711');
  await run(session, 'COMMIT');
  expect(await version(session)).toBe(4711n);
  await run(session, "UPDATE sqlite_schema SET sql = '' WHERE name = 'nothing'");
  await run(session, 'INSERT INTO t VALUES (3, 4)');
  expect(await version(session)).toBe(4711n);
  await run(session, 'CREATE TABLE u (a)');
  expect(await version(session)).toBe(4712n);
  expect(before).toBeLessThan(4711n);
});

test('G134: a schema that does not parse is told to every stream, and a new one can mend it', async () => {
  const { engine, volume, session } = await written();
  await run(session, 'PRAGMA writable_schema = ON');
  await run(session, "UPDATE sqlite_schema SET sql = 'CREATE TABLE t (a' WHERE name = 't'");
  session.close();
  const reader = await openReader(volume);
  for (const each of [engine, reader.engine])
    expect(await code(each.openSession(), 'SELECT * FROM t')).toBe('SQLITE_CORRUPT');
  const other = await openWriter({}, volume);
  const mending = other.engine.openSession();
  expect(await code(mending, 'SELECT * FROM t')).toBe('SQLITE_CORRUPT');
  await run(mending, 'PRAGMA writable_schema = ON');
  await run(mending, edit);
  expect(await rows(mending, 'SELECT * FROM t')).toEqual([[1n, null]]);
  expect(await columns(other.engine)).toEqual(['a', 'b']);
});

test('it counts although another stream has changed the schema just before', async () => {
  const { engine, session } = await written();
  await run(session, 'PRAGMA writable_schema = ON');
  await run(session, "UPDATE sqlite_schema SET sql = sql WHERE name = 't'");
  const other = engine.openSession();
  await run(other, 'CREATE TABLE u (a)');
  await run(session, edit);
  expect(await rows(session, 'SELECT * FROM t')).toEqual([[1n, null]]);
  expect(await columns(engine)).toEqual(['a', 'b']);
});

test('G134: what a stream read while the schema was writable is not what the next one knows', async () => {
  for (const turnsOff of [true, false]) {
    const { engine, session } = await written();
    await run(session, 'PRAGMA writable_schema = ON');
    await run(session, "UPDATE sqlite_schema SET sql = 'CREATE TABLE t (a' WHERE name = 't'");
    expect(await code(session, 'SELECT * FROM t')).toBe('SQLITE_ERROR');
    if (turnsOff) await run(session, 'PRAGMA writable_schema = OFF');
    session.close();
    for (let again = 0; again < 3; again++)
      expect(await code(engine.openSession(), 'SELECT * FROM t')).toBe('SQLITE_CORRUPT');
  }
});

test('G134: a stream keeps its temporary tables while nobody can read the schema', async () => {
  const { engine, session: other } = await written();
  const mine = engine.openSession();
  await run(mine, 'CREATE TEMP TABLE x (a)');
  await run(mine, 'INSERT INTO x VALUES (7)');
  await run(other, 'PRAGMA writable_schema = ON');
  await run(other, "UPDATE sqlite_schema SET sql = 'CREATE TABLE t (a' WHERE name = 't'");
  await run(mine, 'BEGIN');
  expect(await code(mine, 'SELECT * FROM t')).toBe('SQLITE_CORRUPT');
  await run(mine, 'ROLLBACK');
  await run(other, edit);
  expect(await rows(mine, 'SELECT * FROM x')).toEqual([[7n]]);
});
