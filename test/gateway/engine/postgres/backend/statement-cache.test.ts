import { describe, expect, test } from 'vitest';
import { StatementCache } from '../../../../../gateway/engine/postgres/backend/core/statement-cache.ts';
import { messagesOf } from '../../../../../gateway/engine/postgres/backend/core/wire-messages.ts';
import {
  closeStatement,
  queryMessage,
  syncMessage,
} from '../../../../../gateway/postgres/protocol/core/client-messages.ts';
import { message } from '../../../../../gateway/postgres/protocol/core/message-bytes.ts';
import {
  commandComplete,
  errorResponse,
  readyForQuery,
} from '../../../../../gateway/postgres/protocol/core/server-messages.ts';
import { bind, execute, parse, shown } from './postgres-wire.ts';

const types = (messages: Uint8Array) => [...messagesOf(messages)].map(({ type }) => type).join('');
const one = message('1');
const two = message('2');
const three = message('3');
const ready = readyForQuery('I');
const done = commandComplete('SELECT 1');
const prepared = (name: string, fresh = false) => ({ name, parse: parse(name, `SELECT '${name}'`), fresh });
const all = (...parts: readonly Uint8Array[]) => Buffer.concat(parts);

describe('prepared statements', () => {
  test('are parsed when they are lacking, and the client sees nothing of it', () => {
    const cache = new StatementCache(10);
    const used = all(bind('a'), execute(), syncMessage);
    const first = cache.plan(used, [prepared('a')]);
    expect(types(first.messages)).toBe('PBES');
    expect(shown(first.settle(all(one, two, done, ready)))).toBe('2 C[SELECT 1] Z[I]');
    const second = cache.plan(used, [prepared('a')]);
    expect(types(second.messages)).toBe('BES');
    expect(shown(second.settle(all(two, done, ready)))).toBe('2 C[SELECT 1] Z[I]');
  });

  test('of a query are parsed before it in a batch of their own, and one error is enough', () => {
    const cache = new StatementCache(10);
    const used = cache.plan(queryMessage('EXECUTE a'), [prepared('a')]);
    expect(types(used.messages)).toBe('PSQ');
    expect(shown(used.settle(all(one, ready, done, ready)))).toBe('C[SELECT 1] Z[I]');
    const failed = cache.plan(queryMessage('EXECUTE b'), [prepared('b')]);
    const error = (code: string) => errorResponse('ERROR', { code, message: '' });
    expect(shown(failed.settle(all(error('42P01'), ready, error('26000'), ready)))).toBe('E[42P01] Z[I]');
    expect(cache.has('b')).toBe(false);
    expect(types(cache.plan(queryMessage('EXECUTE a'), [prepared('a')]).messages)).toBe('Q');
  });

  test('that are fresh are parsed anew, and the client sees nothing of it', () => {
    const cache = new StatementCache(10);
    const used = all(bind('a'), execute(), syncMessage);
    const first = cache.plan(used, [prepared('a', true)]);
    expect(types(first.messages)).toBe('PBES');
    first.settle(all(one, two, done, ready));
    const second = cache.plan(used, [prepared('a', true)]);
    expect(types(second.messages)).toBe('CPBES');
    expect(shown(second.settle(all(three, one, two, done, ready)))).toBe('2 C[SELECT 1] Z[I]');
    expect(cache.has('a')).toBe(true);
  });

  test('that another session parses again are closed first, and the client sees one answer', () => {
    const cache = new StatementCache(10);
    const text = all(parse('a', 'SELECT 1'), syncMessage);
    cache.plan(text, []).settle(all(one, ready));
    const again = cache.plan(text, []);
    expect(types(again.messages)).toBe('CPS');
    expect(shown(again.settle(all(three, one, ready)))).toBe('1 Z[I]');
    expect(cache.has('a')).toBe(true);
  });

  test('that one pipeline parses twice before its Sync are closed between, whether the client or the engine parsed first', () => {
    const cache = new StatementCache(10);
    const twice = all(parse('a', 'SELECT 1'), bind('a'), parse('a', 'SELECT 1'), bind('a'), syncMessage);
    const plan = cache.plan(twice, []);
    expect(types(plan.messages)).toBe('PBCPBS');
    expect(shown(plan.settle(all(one, two, three, one, two, ready)))).toBe('1 2 1 2 Z[I]');
    expect(cache.has('a')).toBe(true);
    const used = cache.plan(all(bind('b'), parse('b', "SELECT 'b'"), syncMessage), [prepared('b')]);
    expect(types(used.messages)).toBe('PBCPS');
    expect(shown(used.settle(all(one, two, three, one, ready)))).toBe('2 1 Z[I]');
    expect(cache.has('b')).toBe(true);
  });

  test('that could not be parsed are not taken to be there, nor what follows them up to the Sync', () => {
    const cache = new StatementCache(10);
    const plan = cache.plan(all(parse('b', 'SELECT'), syncMessage, parse('c', 'SELECT 1'), syncMessage), [
      prepared('a'),
    ]);
    expect(types(plan.messages)).toBe('PPSPS');
    const answer = all(errorResponse('ERROR', { code: '42601', message: 'no' }), ready, one, ready);
    expect(shown(plan.settle(answer))).toBe('E[42601] Z[I] 1 Z[I]');
    expect(['a', 'b', 'c'].map((name) => cache.has(name))).toEqual([false, false, true]);
  });

  test('beyond the bound are closed, the one used longest ago first', () => {
    const cache = new StatementCache(2);
    for (const name of ['a', 'b', 'c'])
      cache.plan(all(parse(name, 'SELECT 1'), syncMessage), []).settle(all(one, ready));
    cache.plan(all(bind('a'), execute(), syncMessage), [prepared('a')]);
    expect(cache.excess()).toEqual(closeStatement('b'));
    expect(cache.excess()).toBeNull();
    expect(cache.size).toBe(2);
  });

  test('that a client closes are gone; portals are something else', () => {
    const cache = new StatementCache(10);
    cache.plan(all(parse('a', 'SELECT 1'), syncMessage), []).settle(all(one, ready));
    const portal = message('C', { bytes: Buffer.from('P') }, { text: 'a' });
    cache.plan(all(portal, syncMessage), []).settle(all(three, ready));
    expect(cache.has('a')).toBe(true);
    cache.plan(all(closeStatement('a'), syncMessage), []).settle(all(three, ready));
    expect(cache.has('a')).toBe(false);
  });

  test('leave messages without any as they are', () => {
    const messages = queryMessage('SELECT 1');
    expect(new StatementCache(1).plan(messages, []).messages).toBe(messages);
  });
});
