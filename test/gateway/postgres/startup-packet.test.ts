import { expect, test } from 'vitest';
import {
  negotiation,
  readStartup,
  startupSettings,
  unknownOptions,
} from '../../../gateway/postgres/protocol/core/startup-packet.ts';
import { messagesIn } from './pglite-service.ts';
import { packet, startupPacket } from './server-harness.ts';

const body = (bytes: Uint8Array): Uint8Array => bytes.subarray(4);
const parameters = (given: Record<string, string>) => new Map(Object.entries(given));

test('what a connection asks for first is told apart', () => {
  expect(readStartup(body(packet({ int32: 80877103 })))).toEqual({ kind: 'tls' });
  expect(readStartup(body(packet({ int32: 80877104 })))).toEqual({ kind: 'gss' });
  expect(readStartup(body(packet({ int32: 80877102 }, { int32: 7 }, { int32: 9 })))).toEqual({
    kind: 'cancel',
    processId: 7,
    secret: Uint8Array.of(0, 0, 0, 9),
  });
  expect(readStartup(body(startupPacket({ user: 'a', database: 'b' }, 2)))).toEqual({
    kind: 'startup',
    minor: 2,
    parameters: parameters({ user: 'a', database: 'b' }),
  });
});

test.each([
  ['nothing at all', new Uint8Array(0)],
  ['protocol 2', body(packet({ int32: 2 << 16 }))],
  ['parameters without an end', body(packet({ int32: 3 << 16 }, { text: 'user' }))],
  ['a parameter without a value', body(packet({ int32: 3 << 16 }, { text: 'user' }, { byte: 97 }))],
  ['a cancel request without a secret', body(packet({ int32: 80877102 }, { int32: 7 }))],
  [
    'a cancel request with a secret of 257 bytes',
    body(packet({ int32: 80877102 }, { int32: 7 }, { bytes: new Uint8Array(257) })),
  ],
  ['the beginning of an HTTP request', new TextEncoder().encode('GET / HTTP/1.1\r\n')],
])('%s is malformed', (_, bytes) => {
  expect(readStartup(bytes).kind).toBe('malformed');
});

test('a client that asks for a newer protocol, or for options, is told what there is', () => {
  expect(negotiation(0, [])).toBeNull();
  expect(negotiation(2, [])).toBeNull();
  const [newer] = messagesIn(negotiation(9999, ['_pq_.command_tag_format']) ?? new Uint8Array(0));
  expect(newer?.type).toBe('v');
  expect(Buffer.from(newer?.body ?? []).readInt32BE(0)).toBe((3 << 16) | 2);
  expect(Buffer.from(newer?.body ?? []).includes('_pq_.command_tag_format\0')).toBe(true);
  expect(unknownOptions(parameters({ user: 'a', '_pq_.x': '1' }))).toEqual(['_pq_.x']);
});

test('settings come from parameters and from options, and parameters win', () => {
  const given = parameters({
    user: 'a',
    database: 'b',
    TimeZone: 'UTC',
    options: '-c timezone=Asia/Tokyo --search-path=a\\ b -cwork_mem=4MB',
  });
  expect(startupSettings(given)).toEqual({
    kind: 'settings',
    settings: { timezone: 'UTC', search_path: 'a b', work_mem: '4MB' },
  });
  expect(startupSettings(parameters({ options: '-x' })).kind).toBe('malformed');
  expect(startupSettings(parameters({ options: '-c' })).kind).toBe('malformed');
});
