import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';
import { expect, test } from 'vitest';
import { message } from '../../../gateway/postgres/protocol/core/message-bytes.ts';
import { ScramExchange } from '../../../gateway/postgres/scram/scram-server.ts';
import { makeVerifier, readVerifier } from '../../../regions/index.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const hmac = (key: Uint8Array, text: string): Buffer => createHmac('sha256', key).update(text).digest();

function firstBody(mechanism: string, text: string): Uint8Array {
  return message('p', { text: mechanism }, { int32: bytes(text).length }, { bytes: bytes(text) }).subarray(5);
}

/** What a client answers that knows the password. */
function finalText(password: string, bare: string, serverFirst: string, header: Uint8Array): string {
  const [, nonce = '', salt = '', count = ''] = /^r=([^,]+),s=([^,]+),i=(\d+)$/.exec(serverFirst) ?? [];
  const salted = pbkdf2Sync(password, Buffer.from(salt, 'base64'), Number(count), 32, 'sha256');
  const clientKey = hmac(salted, 'Client Key');
  const withoutProof = `c=${Buffer.from(header).toString('base64')},r=${nonce}`;
  const signature = hmac(
    createHash('sha256').update(clientKey).digest(),
    `${bare},${serverFirst},${withoutProof}`,
  );
  const proof = Buffer.from(clientKey.map((byte, at) => byte ^ (signature[at] ?? 0)));
  return `${withoutProof},p=${proof.toString('base64')}`;
}

const bare = 'n=,r=abcdefgh';
const binding = Uint8Array.of(1, 2, 3);
const verifier = readVerifier(makeVerifier('pencil'));

function exchangeWith(
  password: string,
  options: {
    known?: boolean;
    bound?: Uint8Array | null;
    flag?: string;
    mechanism?: string;
    sent?: Uint8Array;
  } = {},
): string {
  const { known = true, bound = null, flag = 'n', mechanism = 'SCRAM-SHA-256', sent } = options;
  const exchange = new ScramExchange('somebody', known ? verifier : null, bound);
  const first = exchange.first(firstBody(mechanism, `${flag},,${bare}`));
  if (first.kind !== 'continue') return first.kind;
  const header = Buffer.concat([bytes(`${flag},,`), sent ?? new Uint8Array(0)]);
  return exchange.final(bytes(finalText(password, bare, first.data, header))).kind;
}

test('a verifier is what RFC 7677 has for its example, and says nothing but that', () => {
  const text = makeVerifier('pencil', Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64'), 4096);
  const read = readVerifier(text);
  const signed =
    'n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,' +
    'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0';
  expect(hmac(read?.serverKey ?? new Uint8Array(0), signed).toString('base64')).toBe(
    '6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
  );
  expect(text).toMatch(/^SCRAM-SHA-256\$4096:W22ZaJ0SNY7soEsUEjb6gQ==\$[^$:]{44}:[^$:]{44}$/);
});

test('two verifiers of one password differ', () => {
  expect(makeVerifier('a')).not.toBe(makeVerifier('a'));
});

test('a password is the same however its letters are composed', () => {
  const salt = new Uint8Array(16);
  expect(makeVerifier('ne\u0301e', salt)).toBe(makeVerifier('n\u00e9e', salt));
  expect(makeVerifier('a\u00a0b', salt)).toBe(makeVerifier('a b', salt));
});

test.each([
  ['md5d41d8cd98f00b204e9800998ecf8427e'],
  ['pencil'],
  ['SCRAM-SHA-256$0:AAAA$AAAA:AAAA'],
  ['SCRAM-SHA-256$4096:AAAA$AAAA:AAAA'],
  [''],
])('%j is no verifier', (text) => {
  expect(readVerifier(text)).toBeNull();
});

test('who knows the password is let in, and nobody else', () => {
  expect(exchangeWith('pencil')).toBe('final');
  expect(exchangeWith('pencil2')).toBe('wrong');
  expect(exchangeWith('')).toBe('wrong');
});

test('a name that is not there goes through the same exchange, with a salt that stays', () => {
  expect(exchangeWith('pencil', { known: false })).toBe('wrong');
  const salts = [1, 2].map(() => {
    const first = new ScramExchange('ghost', null, null).first(firstBody('SCRAM-SHA-256', `n,,${bare}`));
    return first.kind === 'continue' ? /s=([^,]+)/.exec(first.data)?.[1] : '';
  });
  expect(salts[0]).toBe(salts[1]);
  expect(salts[0]).toHaveLength(24);
});

test('a bound channel is checked, and one that somebody has put a channel between is refused', () => {
  const bound = { bound: binding, mechanism: 'SCRAM-SHA-256-PLUS', flag: 'p=tls-server-end-point' };
  expect(exchangeWith('pencil', { ...bound, sent: binding })).toBe('final');
  expect(exchangeWith('pencil', { ...bound, sent: Uint8Array.of(9) })).toBe('wrong');
  expect(exchangeWith('pencil', { bound: binding })).toBe('final');
  // It could bind, and was told that nobody here can.
  expect(exchangeWith('pencil', { bound: binding, flag: 'y' })).toBe('malformed');
  expect(exchangeWith('pencil', { flag: 'y' })).toBe('final');
  expect(exchangeWith('pencil', { ...bound, bound: null })).toBe('malformed');
  expect(exchangeWith('pencil', { bound: binding, flag: 'p=tls-server-end-point' })).toBe('malformed');
  expect(exchangeWith('pencil', { ...bound, flag: 'n' })).toBe('malformed');
});

test.each([
  ['no nonce', 'n,,n=,r='],
  ['an extension that has to be known', 'n,,m=1,n=,r=abc'],
  ['a binding of another kind', 'p=tls-unique,,n=,r=abc'],
  ['nothing', ''],
  ['a nonce with a comma', 'n,,n=,r=a,b'],
])('a first message with %s is malformed', (what, text) => {
  const step = new ScramExchange('somebody', verifier, null).first(firstBody('SCRAM-SHA-256', text));
  expect([what, step.kind]).toEqual([what, 'malformed']);
});

test('a last message of another exchange is refused', () => {
  const exchange = new ScramExchange('somebody', verifier, null);
  const first = exchange.first(firstBody('SCRAM-SHA-256', `n,,${bare}`));
  if (first.kind !== 'continue') throw new Error('the exchange did not begin');
  const stolen = finalText('pencil', bare, first.data, bytes('n,,'));
  const again = new ScramExchange('somebody', verifier, null);
  again.first(firstBody('SCRAM-SHA-256', `n,,${bare}`));
  expect(again.final(bytes(stolen)).kind).toBe('wrong');
  expect(new ScramExchange('somebody', verifier, null).final(bytes(stolen)).kind).toBe('malformed');
  expect(exchange.final(bytes('c=biws,r=x')).kind).toBe('malformed');
});
