/** Texts of SCRAM (RFC 5802, RFC 7677) as a server reads and writes them. Pure. */
import type { Verifier } from '../../../../regions/core.ts';
import { BodyReader, MalformedMessage } from '../../protocol/core/message-bytes.ts';

export const mechanism = 'SCRAM-SHA-256';
export const boundMechanism = 'SCRAM-SHA-256-PLUS';
const keyBytes = 32;

const bytesOf = (base64: string): Uint8Array | null => {
  const bytes = Buffer.from(base64, 'base64');
  return bytes.toString('base64') === base64 ? bytes : null;
};
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

/** The client's choice of a mechanism, with its first message. */
export interface ClientFirst {
  readonly mechanism: string;
  /** What says how the channel is bound, as it has to come again in the last message. */
  readonly gs2Header: string;
  /** `bound`: to the certificate. `unoffered`: the client could, and believes that the server cannot. */
  readonly binding: 'none' | 'unoffered' | 'bound';
  /** Without the header: the first part of what both sign. */
  readonly bare: string;
  readonly nonce: string;
}

const firstPattern =
  /^(n|y|p=([A-Za-z0-9.-]+)),(?:a=[^,]*)?,(n=[^,]*,r=([\x21-\x2b\x2d-\x7e]+)(?:,[A-Za-z]=[^,]*)*)$/;

/** Reads the body of a SASLInitialResponse; null when it is not one that SCRAM knows. */
export function readClientFirst(body: Uint8Array): ClientFirst | null {
  try {
    const from = new BodyReader(body);
    const chosen = from.text();
    const text = textOf(from.bytes(from.int32()));
    if (from.remaining > 0) return null;
    const [, flag = '', type, bare = '', nonce = ''] = firstPattern.exec(text) ?? [];
    if (flag === '' || (type !== undefined && type !== 'tls-server-end-point')) return null;
    return {
      mechanism: chosen,
      gs2Header: text.slice(0, text.length - bare.length),
      binding: flag === 'n' ? 'none' : flag === 'y' ? 'unoffered' : 'bound',
      bare,
      nonce,
    };
  } catch (error) {
    if (error instanceof MalformedMessage) return null;
    throw error;
  }
}

export interface ClientFinal {
  /** The header and what the channel is bound to. */
  readonly binding: Uint8Array;
  readonly nonce: string;
  readonly proof: Uint8Array;
  /** The last part of what both sign. */
  readonly withoutProof: string;
}

const finalPattern = /^(c=([A-Za-z0-9+/=]+),r=([\x21-\x2b\x2d-\x7e]+)(?:,[^,]+)*?),p=([A-Za-z0-9+/=]+)$/;

/** Reads the body of the SASLResponse; null when it is not one. */
export function readClientFinal(body: Uint8Array): ClientFinal | null {
  const [, withoutProof = '', binding64 = '', nonce = '', proof64 = ''] =
    finalPattern.exec(textOf(body)) ?? [];
  const binding = bytesOf(binding64);
  const proof = bytesOf(proof64);
  if (binding === null || proof?.length !== keyBytes) return null;
  return { binding, nonce, proof, withoutProof };
}

export const serverFirst = (nonce: string, { salt, iterations }: Verifier): string =>
  `r=${nonce},s=${base64(salt)},i=${iterations}`;
export const serverFinal = (signature: Uint8Array): string => `v=${base64(signature)}`;

const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
