/** Certificates for tests, made on the spot: nothing secret is checked in, and nothing expires. */
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';

type Bytes = Uint8Array;

function der(tag: number, ...content: readonly Bytes[]): Buffer {
  const body = Buffer.concat(content);
  const { length } = body;
  const size =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), body]);
}

const sequence = (...content: readonly Bytes[]): Buffer => der(0x30, ...content);
const octets = (content: Bytes): Buffer => der(0x04, content);
const hex = (text: string): Buffer => Buffer.from(text, 'hex');

const ecdsaWithSha256 = sequence(hex('06082a8648ce3d040302'));
const commonName = hex('0603550403');
const subjectAltName = hex('0603551d11');
const basicConstraints = hex('0603551d13');
const yes = hex('0101ff');

const time = (date: Date): Buffer =>
  der(0x17, Buffer.from(`${date.toISOString().replace(/[-:T]/g, '').slice(2, 14)}Z`));

const pem = (label: string, bytes: Bytes): string =>
  `-----BEGIN ${label}-----\n${(
    Buffer.from(bytes)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  ).join('\n')}\n-----END ${label}-----\n`;

export interface TestCertificate {
  /** Signed by itself, so that it is its own authority. */
  readonly cert: string;
  readonly key: string;
}

/** A certificate for localhost and 127.0.0.1, valid today. */
export function testCertificate(name = 'sextant test'): TestCertificate {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const dayMs = 86_400_000;
  const subject = sequence(der(0x31, sequence(commonName, der(0x0c, Buffer.from(name)))));
  const names = sequence(der(0x82, Buffer.from('localhost')), der(0x87, hex('7f000001')));
  const extensions = sequence(
    sequence(basicConstraints, yes, octets(sequence(yes))),
    sequence(subjectAltName, octets(names)),
  );
  const certificate = sequence(
    der(0xa0, hex('020102')),
    der(0x02, Buffer.concat([hex('01'), randomBytes(8)])),
    ecdsaWithSha256,
    subject,
    sequence(time(new Date(Date.now() - dayMs)), time(new Date(Date.now() + dayMs))),
    subject,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, extensions),
  );
  const signature = der(0x03, hex('00'), sign('sha256', certificate, privateKey));
  return {
    cert: pem('CERTIFICATE', sequence(certificate, ecdsaWithSha256, signature)),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}
