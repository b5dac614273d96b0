import { beforeEach, expect, test } from 'vitest';
import { Conversation, type Reaction } from '../../../gateway/postgres/core/conversation.ts';
import { defaultPostgresLimits } from '../../../gateway/postgres/core/postgres-limits.ts';
import { SessionSettings } from '../../../gateway/postgres/core/session-settings.ts';
import { readBind, readParse, readQuery } from '../../../gateway/postgres/protocol/core/client-messages.ts';
import {
  BodyReader,
  MalformedMessage,
  message,
} from '../../../gateway/postgres/protocol/core/message-bytes.ts';
import {
  bindComplete,
  commandComplete,
  errorResponse,
  parseComplete,
  readyForQuery,
} from '../../../gateway/postgres/protocol/core/server-messages.ts';
import type { WireOperation, WireResult } from '../../../gateway/sql/wire-operation.ts';
import { concatBytes } from '../../../storage/redo.ts';
import { messagesIn } from './pglite-service.ts';
import { fieldsOf } from './server-harness.ts';

const defaults = { application_name: '', TimeZone: 'UTC' };
const limits = { ...defaultPostgresLimits, batchBytes: 4_000, copyBytes: 100, preparedStatements: 3 };
let client: Conversation;
let sent: string;

beforeEach(() => {
  const settings = new SessionSettings(
    { timezone: 'Asia/Tokyo' },
    { ...defaults, TimeZone: 'Asia/Tokyo' },
    defaults,
  );
  client = new Conversation(
    limits,
    settings,
    (content, key) => `c_${Buffer.from(content).toString('hex').slice(0, 40)}${key.length}`,
  );
  sent = '';
});

const nothing = new Uint8Array(0);
const query = (sql: string) => message('Q', { text: sql });
const parse = (name: string, sql: string) => message('P', { text: name }, { text: sql }, { int16: 0 });
const bind = (portal: string, name: string) =>
  message('B', { text: portal }, { text: name }, { int16: 0 }, { int16: 0 }, { int16: 0 });
const execute = (portal = '') => message('E', { text: portal }, { int32: 0 });
const describe = (target: 'S' | 'P', name: string) =>
  message('D', { byte: target.charCodeAt(0) }, { text: name });
const close = (name: string) => message('C', { byte: 'S'.charCodeAt(0) }, { text: name });
const sync = message('S');
const flush = message('H');
const ready = (status: 'I' | 'T' | 'E') => readyForQuery(status);
const failed = errorResponse('ERROR', { code: '22012', message: 'division by zero' });

/** What a client is told, short: types, with the status of ReadyForQuery, tags and SQLSTATEs. */
function told({ send }: Pick<Reaction, 'send'>): string {
  return messagesIn(concatBytes(send))
    .map(({ type, body }) => {
      if (type === 'Z') return `Z${String.fromCharCode(body[0] ?? 0)}`;
      if (type === 'C') return `C(${new BodyReader(body).text()})`;
      if (type === 'E') return `E(${fieldsOf(body).C})`;
      if (type === 'S') return `S(${Buffer.from(body).toString().replaceAll('\0', ' ').trim()})`;
      return type;
    })
    .join(' ');
}

/** Gives messages one after the other; the last of them may run something. */
function give(...messages: readonly Uint8Array[]): WireOperation | null {
  let run: WireOperation | null = null;
  for (const { type, bytes, body } of messages.flatMap((bytes) => messagesIn(bytes))) {
    if (run !== null) throw new Error('a message came while an operation ran');
    const reaction = client.take({ type, bytes, body });
    sent = `${sent} ${told(reaction)}`.trim();
    run = reaction.run;
  }
  return run;
}

function answer(status: WireResult['status'], ...messages: readonly Uint8Array[]): string {
  const settings = null;
  return told(
    client.answered(
      { ok: true, value: { messages: concatBytes(messages), status, settings, error: null } },
      status === 'I',
    ),
  );
}

const typesOf = (operation: WireOperation | null): string =>
  messagesIn(operation?.messages ?? nothing)
    .map(({ type }) => type)
    .join('');
const queriesOf = (operation: WireOperation | null): readonly string[] =>
  messagesIn(operation?.messages ?? nothing)
    .filter(({ type }) => type === 'Q')
    .map(({ body }) => readQuery(body));

/** A session that is in a transaction. */
function inTransaction(): void {
  give(query('BEGIN'));
  answer('T', commandComplete('BEGIN'), ready('T'));
  sent = '';
}

test('of a long script an engine is told the beginning, and whatever acts on the session', () => {
  const run = give(query(`${'SELECT 1;'.repeat(100)} SELECT set_config('a.b', 'c', false)`));
  expect(run?.statements).toHaveLength(65);
  expect(run?.statements.at(-1)).toBe("SELECT set_config('a.b', 'c', false)");
});

test('a query runs as it came, and its answer passes as it is', () => {
  const run = give(query('SELECT 1'));
  expect(run).toMatchObject({
    kind: 'wire',
    class: 'read',
    statements: ['SELECT 1'],
    prepared: [],
    settings: { timezone: 'Asia/Tokyo' },
  });
  expect(run?.messages).toEqual(query('SELECT 1'));
  expect(answer('I', message('D', { int16: 0 }), commandComplete('SELECT 1'), ready('I'))).toBe(
    'D C(SELECT 1) ZI',
  );
});

test('a batch goes to the engine at its Sync, under names made of its content', () => {
  const run = give(parse('mine', 'SELECT 2'), bind('', 'mine'), execute(), sync);
  expect(typesOf(run)).toBe('PBES');
  const [parsed, bound] = messagesIn(run?.messages ?? nothing);
  const name = readParse(parsed?.body ?? nothing).name;
  expect(name).toMatch(/^c_/);
  expect(readBind(bound?.body ?? nothing).statement).toBe(name);
  answer('I', parseComplete, bindComplete, commandComplete('SELECT 1'), ready('I'));
  const again = give(bind('', 'mine'), execute(), sync);
  expect(again?.prepared).toEqual([{ name, parse: parsed?.bytes, fresh: false }]);
});

test('a statement that no engine was told of is fresh until it has been used', () => {
  give(parse('mine', 'SELECT 2'), sync);
  const uses = () => give(bind('', 'mine'), execute(), sync)?.prepared.map(({ fresh }) => fresh);
  expect(uses()).toEqual([true]);
  client.answered({ ok: false, error: { code: 'SEXTANT_NO_WRITER', message: 'nobody writes' } }, true);
  expect(uses()).toEqual([true]);
  answer('I', bindComplete, commandComplete('SELECT 1'), ready('I'));
  expect(uses()).toEqual([false]);
});

test('a text that is prepared under another search_path is another statement', () => {
  const nameOf = () => {
    const [parsed] = messagesIn(give(parse('', 'SELECT * FROM t'), bind('', ''), sync)?.messages ?? nothing);
    answer('I', parseComplete, bindComplete, ready('I'));
    return readParse(parsed?.body ?? nothing).name;
  };
  const before = nameOf();
  expect(nameOf()).toBe(before);
  give(query('SET search_path = tenant'));
  const settings = { timezone: 'Asia/Tokyo', search_path: 'tenant' };
  const messages = concatBytes([commandComplete('SET'), ready('I')]);
  client.answered({ ok: true, value: { messages, status: 'I', settings, error: null } }, true);
  expect(nameOf()).not.toBe(before);
});

test('a statement that was not parsed is none', () => {
  give(parse('bad', 'SELEC'), describe('S', 'bad'), parse('later', 'SELECT 1'), sync);
  answer('I', failed, ready('I'));
  give(bind('', 'later'), execute(), sync);
  expect(sent).toBe('E(26000) ZI');
});

test('a name can be taken again after it was closed, and not before', () => {
  expect(give(parse('a', 'SELECT 1'), sync)).toBeNull();
  give(parse('a', 'SELECT 2'), sync);
  expect(sent).toBe('1 ZI E(42P05) ZI');
  expect(give(close('a'), parse('a', 'SELECT 2'), sync)).toBeNull();
  expect(sent).toBe('1 ZI E(42P05) ZI 3 1 ZI');
  expect(give(bind('', 'a'), execute(), sync)?.statements).toEqual(['SELECT 2']);
});

test('the unnamed statement is replaced by the next, and gone after a query', () => {
  give(parse('', 'SELECT 1'), sync);
  give(parse('', 'SELECT 2'), sync);
  give(query('SELECT 3'));
  answer('I', commandComplete('SELECT 1'), ready('I'));
  give(bind('', ''), sync);
  expect(sent).toBe('1 ZI 1 ZI E(26000) ZI');
});

test('who only parses waits for no engine, and hears what is wrong with a statement once it is used', () => {
  expect(give(parse('a', 'SELEC'), flush)).toBeNull();
  expect(give(sync)).toBeNull();
  expect(sent).toBe('1 ZI');
  const run = give(describe('S', 'a'), sync);
  expect(run?.prepared.map(({ name }) => name.slice(0, 2))).toEqual(['c_']);
  expect(answer('I', failed, ready('I'))).toBe('E(22012) ZI');
  inTransaction();
  expect(typesOf(give(parse('b', 'SELECT 1'), sync))).toBe('PS');
});

test('what only prepares does not keep the engine until the Sync comes', () => {
  const run = give(parse('', 'INSERT INTO t VALUES (1)'), describe('S', ''), flush);
  expect(typesOf(run)).toBe('PDS');
  expect(run?.class).toBe('write');
  expect(answer('I', parseComplete, message('n'), ready('I'))).toBe('1 n');
  expect(typesOf(give(bind('', ''), execute(), sync))).toBe('BES');
  expect(answer('I', bindComplete, commandComplete('INSERT 0 1'), ready('I'))).toBe('2 C(INSERT 0 1) ZI');
});

test('what runs before a Flush keeps the engine, and an error skips to the Sync', () => {
  expect(typesOf(give(parse('', 'SELECT 1/0'), bind('', ''), execute(), flush))).toBe('PBE');
  expect(answer('B', parseComplete, bindComplete, failed)).toBe('1 2 E(22012)');
  expect(give(parse('', 'SELECT 1'), query('SELECT 1'), flush)).toBeNull();
  expect(typesOf(give(sync))).toBe('S');
  expect(answer('I', ready('I'))).toBe('ZI');
});

test('what is refused runs nothing', () => {
  expect(give(query('SELECT 1; LISTEN a'))).toBeNull();
  expect(give(parse('', 'LISTEN a'), bind('', ''), execute(), sync)).toBeNull();
  expect(sent).toBe('E(0A000) ZI E(0A000) ZI');
  expect(client.isIdle).toBe(true);
});

test('what is refused in a transaction fails in the engine, too', () => {
  inTransaction();
  const [text = ''] = queriesOf(give(query('LISTEN a')));
  expect(text).toContain("ERRCODE = E'0A000'");
  expect(answer('E', errorResponse('ERROR', { code: '0A000', message: 'no' }), ready('E'))).toBe(
    'E(0A000) ZE',
  );
});

test('what is refused in a batch undoes what ran in it before', () => {
  const run = give(parse('', 'INSERT INTO t VALUES (1)'), bind('', ''), execute(), parse('x', 'LISTEN a'));
  expect(typesOf(run)).toBe('PBEQ');
  const refusal = errorResponse('ERROR', { code: '0A000', message: 'no' });
  expect(answer('I', parseComplete, bindComplete, commandComplete('INSERT 0 1'), refusal, ready('I'))).toBe(
    '1 2 C(INSERT 0 1) E(0A000)',
  );
  expect(give(bind('', 'x'), execute(), sync)).toBeNull();
  expect(sent).toBe('ZI');
});

test('names in errors cannot end the text that they stand in', () => {
  inTransaction();
  const evil = "x$sextant$ '; DROP TABLE t; --\\";
  const [text = ''] = queriesOf(give(bind('', evil)));
  expect(text.match(/\$sextant\$/g)).toHaveLength(2);
  expect(text).toContain("\\x24sextant\\x24 ''; DROP");
});

test('COPY asks for the data, and runs once it is all there', () => {
  expect(give(query('COPY t (a, b) FROM STDIN'))).toBeNull();
  expect(sent).toBe('G');
  const data = message('d', { bytes: Buffer.from('1\t2\n') });
  const run = give(data, sync, data, message('c'));
  expect(typesOf(run)).toBe('Qddc');
  expect(run?.class).toBe('write');
  expect(answer('I', message('G', { byte: 0 }, { int16: 0 }), commandComplete('COPY 2'), ready('I'))).toBe(
    'C(COPY 2) ZI',
  );
});

test('a user that may only read is refused a COPY before its data, in either protocol, and goes on', () => {
  const settings = new SessionSettings({}, defaults, defaults);
  client = new Conversation(limits, settings, (content) => `c_${content.length}`, 'read');
  expect(give(query('COPY t FROM STDIN'))).toBeNull();
  expect(sent).toBe('E(25006) ZI');
  // What the client sent in the meantime is of no COPY.
  expect(give(message('d', { bytes: new Uint8Array(60) }), message('c'))).toBeNull();
  expect(give(query('COPY t TO STDOUT'))).toMatchObject({ class: 'read' });
  expect(
    answer('I', message('H', { byte: 0 }, { int16: 0 }), message('c'), commandComplete('COPY 0'), ready('I')),
  ).toBe('H c C(COPY 0) ZI');
  const run = give(parse('', 'COPY t FROM STDIN'), bind('', ''), execute());
  expect(queriesOf(run)).toEqual([expect.stringContaining('25006')]);
  const error = { code: 'AUTH_SCOPE_MISSING', message: 'writes' };
  expect(told(client.answered({ ok: false, error }, true))).toBe('E(25006)');
  sent = '';
  expect(give(message('d', { bytes: new Uint8Array(60) }), message('c'), sync)).toBeNull();
  expect(sent).toBe('ZI');
});

test('COPY in a batch is acknowledged before the engine has seen it', () => {
  give(parse('', 'COPY t FROM STDIN'), bind('', ''), describe('P', ''), execute(), sync);
  expect(sent).toBe('1 2 n G');
  const run = give(message('d', { bytes: Buffer.from('1\n') }), message('c'), sync);
  expect(typesOf(run)).toBe('PBDEdcS');
  const engine = [parseComplete, bindComplete, message('n'), message('G', { byte: 0 }, { int16: 0 })];
  expect(answer('I', ...engine, commandComplete('COPY 1'), ready('I'))).toBe('C(COPY 1) ZI');
});

test('a COPY that brings more than it may is told so at once, and the rest of its data is ignored', () => {
  give(query('COPY t FROM STDIN'), message('d', { bytes: new Uint8Array(60) }));
  give(
    message('d', { bytes: new Uint8Array(60) }),
    message('d', { bytes: new Uint8Array(60) }),
    message('c'),
  );
  expect(sent).toBe('G E(54000) ZI');
  expect(client.heldBytes).toBe(0);
  expect(queriesOf(give(query('SELECT 1')))).toEqual(['SELECT 1']);
});

test('a COPY that its client gives up fails in the engine', () => {
  inTransaction();
  give(query('COPY t FROM STDIN'));
  expect(typesOf(give(message('d', { bytes: new Uint8Array(60) }), message('f', { text: 'no more' })))).toBe(
    'Qf',
  );
});

test('COPY among other statements is refused before anything of it runs', () => {
  expect(give(query('BEGIN; COPY t FROM STDIN'))).toBeNull();
  expect(sent).toBe('E(0A000) ZI');
});

test('bounds are told by name, with a way out', () => {
  const [error] = messagesIn(
    concatBytes(client.take({ type: 'Q', bytes: new Uint8Array(5_000), body: nothing }).send),
  );
  expect(fieldsOf(error?.body ?? nothing)).toMatchObject({
    C: '54000',
    M: expect.stringContaining('batchBytes = 4000'),
  });
  for (const name of ['a', 'b', 'c']) {
    give(parse(name, `SELECT ${name}`), sync);
  }
  give(parse('d', 'SELECT d'), sync);
  expect(sent).toBe('1 ZI 1 ZI 1 ZI E(54000) ZI');
});

test('DISCARD ALL and DEALLOCATE touch nobody else, and are answered as if they had run', () => {
  give(parse('a', 'SELECT 1'), sync);
  expect(queriesOf(give(query('DISCARD ALL')))[0]).not.toContain('DISCARD');
  expect(answer('I', commandComplete('DO'), ready('I'))).toBe('C(DISCARD ALL) ZI');
  give(bind('', 'a'), sync);
  expect(sent).toBe('1 ZI E(26000) ZI');
  inTransaction();
  expect(queriesOf(give(query('DISCARD ALL')))[0]).toContain("E'25001'");
});

test("PREPARE and EXECUTE in SQL are done with statements by content, which are the client's alone", () => {
  expect(give(query('PREPARE Plan(int) AS INSERT INTO t VALUES ($1)'))).toBeNull();
  expect(sent).toBe('C(PREPARE) ZI');
  const run = give(query("EXECUTE plan('5')"));
  expect(run).toMatchObject({ class: 'write', statements: ['INSERT INTO t VALUES ($1)'] });
  const [prepared] = run?.prepared ?? [];
  expect(prepared).toMatchObject({ fresh: true });
  expect(queriesOf(run)).toEqual([`EXECUTE "${prepared?.name}"('5')`]);
  expect(answer('I', commandComplete('INSERT 0 1'), ready('I'))).toBe('C(INSERT 0 1) ZI');
  sent = '';
  give(query('PREPARE plan AS SELECT 1'));
  expect(sent).toBe('E(42P05) ZI');
  sent = '';
  give(query('EXECUTE other'));
  give(query('PREPARE mine(mood) AS SELECT $1'));
  give(query('PREPARE made AS CREATE TABLE x (n int)'));
  give(query('PREPARE a AS SELECT 1; EXECUTE a'));
  expect(sent).toBe('E(26000) ZI E(0A000) ZI E(42601) ZI E(0A000) ZI');
});

test('settings come back with an operation, go with the next, and the driver hears of them', () => {
  give(query("SET TimeZone = 'UTC'"));
  const value: WireResult = {
    messages: concatBytes([commandComplete('SET'), ready('I')]),
    status: 'I',
    settings: { timezone: 'Etc/UTC' },
    error: null,
  };
  expect(told(client.answered({ ok: true, value }, true))).toBe('C(SET) S(TimeZone Etc/UTC) ZI');
  expect(give(query('SELECT 1'))?.settings).toEqual({ timezone: 'Etc/UTC' });
  answer('I', commandComplete('SELECT 1'), ready('I'));
  give(query('DISCARD ALL'));
  expect(answer('I', commandComplete('DO'), ready('I'))).toBe('C(DISCARD ALL) S(TimeZone Asia/Tokyo) ZI');
});

test('settings of a transaction that is rolled back are those of before it', () => {
  inTransaction();
  give(query("SET TimeZone = 'UTC'"));
  const value: WireResult = {
    messages: concatBytes([commandComplete('SET'), ready('T')]),
    status: 'T',
    settings: { timezone: 'UTC' },
    error: null,
  };
  client.answered({ ok: true, value }, false);
  expect(give(query('ROLLBACK'))?.settings).toEqual({ timezone: 'UTC' });
  expect(answer('I', commandComplete('ROLLBACK'), ready('I'))).toBe('C(ROLLBACK) S(TimeZone Asia/Tokyo) ZI');
  expect(give(query('SELECT 1'))?.settings).toEqual({ timezone: 'Asia/Tokyo' });
});

const lost = { ok: false, error: { code: 'SEXTANT_TRANSACTION_ABORTED', message: 'It is gone.' } } as const;

test('while its transaction is lost a client runs nothing but its end (G102)', () => {
  give(parse('end', 'COMMIT'), parse('more', 'INSERT INTO t VALUES (1)'), sync);
  inTransaction();
  give(query('INSERT INTO t VALUES (1)'));
  expect(told(client.answered(lost, false))).toBe('E(40001) ZE');
  expect(give(query('INSERT INTO t VALUES (2)'), query('BEGIN'), query('ROLLBACK TO a'))).toBeNull();
  expect(give(bind('', 'more'), execute(), sync)).toBeNull();
  expect(give(parse('', 'SELECT 1'), sync)).toBeNull();
  expect(sent).toBe('E(25P02) ZE E(25P02) ZE E(25P02) ZE E(25P02) ZE E(25P02) ZE');
  const run = give(bind('', 'end'), execute(), sync);
  expect(run?.statements).toEqual(['ROLLBACK']);
  expect(answer('I')).toBe('2 C(ROLLBACK) ZI');
  expect(give(query('SELECT 1'))?.statements).toEqual(['SELECT 1']);
});

test('a COMMIT of a transaction that was told to have failed rolls back, also where an engine still has it', () => {
  inTransaction();
  give(query('INSERT INTO t VALUES (1)'));
  const limit = { ok: false, error: { code: 'SEXTANT_LIMIT', message: 'Too much.' } } as const;
  expect(told(client.answered(limit, false))).toBe('E(54000) ZE');
  expect(queriesOf(give(query('COMMIT; SELECT 1')))).toEqual(['ROLLBACK; SELECT 1']);
});

test('a batch that is lost outside of a transaction leaves nothing behind that the client does not know of', () => {
  give(parse('', 'SELECT 1'), bind('', ''), execute(), flush);
  answer('B', parseComplete, bindComplete, commandComplete('SELECT 1'));
  give(bind('', ''), execute(), flush);
  expect(told(client.answered(lost, false))).toBe('E(40001)');
  expect(queriesOf(give(sync))).toEqual(['ROLLBACK']);
  expect(answer('I')).toBe('ZI');
  expect(client.isIdle).toBe(true);
});

test('a Sync that is lost outside of a transaction is answered as idle', () => {
  give(parse('', 'SELECT 1'), bind('', ''), execute(), flush);
  answer('B', parseComplete, bindComplete, commandComplete('SELECT 1'));
  give(sync);
  const reaction = client.answered(lost, false);
  expect(told(reaction)).toBe('E(40001)');
  expect(queriesOf(reaction.run)).toEqual(['ROLLBACK']);
  expect(answer('I')).toBe('ZI');
});

test('an operation that did not run leaves the client idle', () => {
  give(query('INSERT INTO t VALUES (1)'));
  const none = { ok: false, error: { code: 'SEXTANT_NO_WRITER', message: 'Nobody writes.' } } as const;
  expect(told(client.answered(none, true))).toBe('E(57P03) ZI');
  give(parse('', 'INSERT INTO t VALUES (1)'), bind('', ''), execute(), sync);
  expect(told(client.answered(none, true))).toBe('E(57P03) ZI');
});

test('a notification is for nobody', () => {
  give(query('SELECT 1'));
  const note = message('A', { int32: 1 }, { text: 'a' }, { text: 'b' });
  expect(answer('I', note, commandComplete('SELECT 1'), ready('I'))).toBe('C(SELECT 1) ZI');
});

test.each([
  ['a Query without an end', message('Q', { bytes: Buffer.from('SELECT 1') })],
  ['a Query with two texts', message('Q', { text: 'SELECT 1' }, { text: 'SELECT 2' })],
  [
    'a Parse with fewer types than it says',
    message('P', { text: '' }, { text: 'SELECT 1' }, { int16: 3 }, { int32: 23 }),
  ],
  [
    'a Parse with a negative number of types',
    message('P', { text: '' }, { text: 'SELECT 1' }, { int16: -1 }),
  ],
  ['an Execute without a number of rows', message('E', { text: '' })],
  ['a Describe of neither a statement nor a portal', message('D', { byte: 88 }, { text: '' })],
  ['an empty Close', message('C')],
])('%s is malformed', (_, bytes) => {
  expect(() => give(bytes)).toThrow(MalformedMessage);
});

test('a message of no known type ends the connection', () => {
  const reaction = client.take({ type: 'y', bytes: message('y'), body: nothing });
  expect([told(reaction), reaction.end]).toEqual(['E(08P01)', true]);
});

const trace = (digit: string): string => `00-${digit.repeat(32)}-${digit.repeat(16)}-01`;
const traced = (sql: string, digit: string): string => `${sql} /*traceparent='${trace(digit)}'*/`;
const traceparentOf = (...messages: readonly Uint8Array[]): string | null => {
  let found: string | null = null;
  for (const { type, bytes, body } of messages.flatMap((each) => messagesIn(each)))
    found = client.take({ type, bytes, body }).traceparent;
  return found;
};

test('the trace that a comment names goes with the operation, in either protocol', () => {
  expect(traceparentOf(query(traced('SELECT 1', 'a')))).toBe(trace('a'));
  answer('I', commandComplete('SELECT 1'), ready('I'));
  expect(traceparentOf(query('SELECT 1'))).toBeNull();
  answer('I', commandComplete('SELECT 1'), ready('I'));
  expect(traceparentOf(parse('', traced('SELECT 2', 'b')), bind('', ''), execute(), sync)).toBe(trace('b'));
});

test('of several traces in one batch the first counts, and what is only prepared has none', () => {
  give(parse('kept', traced('SELECT 3', 'c')), sync);
  const second = parse('', traced('SELECT 4', 'd'));
  expect(traceparentOf(bind('', 'kept'), execute(), second, bind('', ''), execute(), sync)).toBe(trace('c'));
});
