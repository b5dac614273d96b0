/**
 * The server's half of SCRAM-SHA-256, with channel binding where the connection has a certificate to bind to. Who guesses names
 * learns nothing: for a name that is not there the exchange goes on to its end, with a salt that is always the same for that name.
 */
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { saltBytes, type Verifier, verifierIterations } from '../../../regions/index.ts';
import {
  boundMechanism,
  type ClientFinal,
  type ClientFirst,
  mechanism,
  readClientFinal,
  readClientFirst,
  serverFinal,
  serverFirst,
} from './core/scram-messages.ts';

const nonceBytes = 18;

const hmac = (key: Uint8Array, text: string | Uint8Array): Buffer =>
  createHmac('sha256', key).update(text).digest();
const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();

/** Of names that are not there. One per process, so that a name's salt does not change from one try to the next. */
const secretOfNobody = randomBytes(32);

function nobody(user: string): Verifier {
  const salt = hmac(secretOfNobody, user).subarray(0, saltBytes);
  return { iterations: verifierIterations, salt, storedKey: randomBytes(32), serverKey: randomBytes(32) };
}

export type ScramStep =
  | { readonly kind: 'continue'; readonly data: string }
  /** The password was right. */
  | { readonly kind: 'final'; readonly data: string }
  | { readonly kind: 'wrong' }
  | { readonly kind: 'malformed'; readonly reason: string };

/** One exchange: `first` with the client's first message, `final` with its last. */
export class ScramExchange {
  readonly #verifier: Verifier;
  readonly #isKnown: boolean;
  /** What a bound channel is bound to; null where there is nothing. */
  readonly #bindingData: Uint8Array | null;
  #first: ClientFirst | null = null;
  #nonce = '';
  #sent = '';

  /** @param verifier null for a user that is not there. */
  constructor(user: string, verifier: Verifier | null, bindingData: Uint8Array | null) {
    this.#verifier = verifier ?? nobody(user);
    this.#isKnown = verifier !== null;
    this.#bindingData = bindingData;
  }

  /** By preference. */
  get mechanisms(): readonly string[] {
    return this.#bindingData === null ? [mechanism] : [boundMechanism, mechanism];
  }

  first(body: Uint8Array): ScramStep {
    const first = readClientFirst(body);
    if (first === null || !this.mechanisms.includes(first.mechanism))
      return { kind: 'malformed', reason: 'the first SASL message is not one of SCRAM-SHA-256' };
    if ((first.mechanism === boundMechanism) !== (first.binding === 'bound'))
      return { kind: 'malformed', reason: 'the SASL mechanism and the channel binding do not fit together' };
    if (first.binding === 'unoffered' && this.#bindingData !== null)
      return {
        kind: 'malformed',
        reason: 'channel binding was offered, and the client has not seen that: somebody is between',
      };
    this.#first = first;
    this.#nonce = first.nonce + randomBytes(nonceBytes).toString('base64');
    this.#sent = serverFirst(this.#nonce, this.#verifier);
    return { kind: 'continue', data: this.#sent };
  }

  final(body: Uint8Array): ScramStep {
    const final = readClientFinal(body);
    if (final === null || this.#first === null)
      return { kind: 'malformed', reason: 'the last SASL message is not one of SCRAM-SHA-256' };
    if (final.nonce !== this.#nonce || !this.#isBound(this.#first, final)) return { kind: 'wrong' };
    const signed = `${this.#first.bare},${this.#sent},${final.withoutProof}`;
    const { storedKey, serverKey } = this.#verifier;
    const clientKey = hmac(storedKey, signed);
    for (const [at, byte] of final.proof.entries()) clientKey[at] = (clientKey[at] ?? 0) ^ byte;
    const isRight = timingSafeEqual(sha256(clientKey), storedKey);
    return isRight && this.#isKnown
      ? { kind: 'final', data: serverFinal(hmac(serverKey, signed)) }
      : { kind: 'wrong' };
  }

  #isBound(first: ClientFirst, final: ClientFinal): boolean {
    const data = first.binding === 'bound' ? (this.#bindingData ?? new Uint8Array(0)) : new Uint8Array(0);
    const expected = Buffer.concat([Buffer.from(first.gs2Header), data]);
    return expected.equals(final.binding);
  }
}
