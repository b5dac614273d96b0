/** Where the keys of client tokens come from: the configuration, and a JWKS file that is read again when it changes. */
import type { Logger } from '../../telemetry/index.ts';
import { jwksBytesMax, KeyRing, type KeysRead, parsePublicKey, readJwks, type TokenKey } from './keys.ts';
import { type FilesRead, readFilesNow, watchFiles } from './watched-files.ts';

export interface KeyOptions {
  readonly jwtPublicKey?: string | undefined;
  readonly jwksFile?: string | undefined;
}

export type KeysOpened =
  | { readonly kind: 'opened'; readonly ring: KeyRing; readonly close: () => void }
  | { readonly kind: 'unusable'; readonly reason: string };

function keysIn(read: FilesRead): KeysRead {
  if (read.kind === 'unreadable') return { kind: 'unusable', reason: read.reason };
  const text = read.texts[0] ?? '';
  return text.length > jwksBytesMax
    ? { kind: 'unusable', reason: `it is larger than ${jwksBytesMax} bytes` }
    : readJwks(text);
}

/** The keys to begin with, or what is wrong with them. Afterwards a file that cannot be used is told of, and changes nothing. */
export function openKeys(
  { jwtPublicKey, jwksFile }: KeyOptions,
  log: Pick<Logger, 'info' | 'warn'>,
  lookEveryMs?: number,
): KeysOpened {
  const given: TokenKey[] = [];
  if (jwtPublicKey !== undefined) {
    const key = parsePublicKey(jwtPublicKey);
    if (key === null) {
      const reason =
        'auth.jwtPublicKey is no public key for tokens: give an Ed25519 or P-256 one as SPKI PEM, or the 32 bytes of an Ed25519 one in base64url.';
      return { kind: 'unusable', reason };
    }
    given.push(key);
  }
  if (jwksFile === undefined) return { kind: 'opened', ring: new KeyRing(given), close: () => undefined };
  const first = readFilesNow([jwksFile]);
  const keys = keysIn(first);
  if (keys.kind === 'unusable')
    return { kind: 'unusable', reason: `auth.jwksFile ${jwksFile} cannot be used: ${keys.reason}.` };
  const ring = new KeyRing([...given, ...keys.keys]);
  const close = watchFiles(
    [jwksFile],
    first,
    (read) => {
      const changed = keysIn(read);
      if (changed.kind === 'unusable') {
        const fields = { file: jwksFile, reason: changed.reason, keys: ring.size };
        log.warn(fields, 'the key file cannot be used: the keys that were known stay in force');
        return;
      }
      ring.replace([...given, ...changed.keys]);
      log.info({ file: jwksFile, keys: ring.size }, 'the keys of client tokens were read again');
    },
    lookEveryMs,
  );
  return { kind: 'opened', ring, close };
}
