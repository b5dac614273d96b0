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

/** The keys that there are now, or what is wrong with them, and under which key of the configuration. */
export type KeysFound =
  | {
      readonly kind: 'found';
      readonly given: readonly TokenKey[];
      /** Null without a file. */
      readonly file: { readonly read: FilesRead; readonly keys: readonly TokenKey[] } | null;
    }
  | { readonly kind: 'unusable'; readonly key: 'jwtPublicKey' | 'jwksFile'; readonly reason: string };

function keysIn(read: FilesRead): KeysRead {
  if (read.kind === 'unreadable') return { kind: 'unusable', reason: read.reason };
  const text = read.texts[0] ?? '';
  return text.length > jwksBytesMax
    ? { kind: 'unusable', reason: `it is larger than ${jwksBytesMax} bytes` }
    : readJwks(text);
}

/** Reads both sources once. */
export function readKeys({ jwtPublicKey, jwksFile }: KeyOptions): KeysFound {
  const given: TokenKey[] = [];
  if (jwtPublicKey !== undefined) {
    const key = parsePublicKey(jwtPublicKey);
    if (key === null) {
      const reason =
        'no public key for tokens: give an Ed25519 or P-256 one as SPKI PEM, or the 32 bytes of an Ed25519 one in base64url.';
      return { kind: 'unusable', key: 'jwtPublicKey', reason };
    }
    given.push(key);
  }
  if (jwksFile === undefined) return { kind: 'found', given, file: null };
  const read = readFilesNow([jwksFile]);
  const keys = keysIn(read);
  return keys.kind === 'unusable'
    ? { kind: 'unusable', key: 'jwksFile', reason: `${jwksFile} cannot be used: ${keys.reason}.` }
    : { kind: 'found', given, file: { read, keys: keys.keys } };
}

/** The keys to begin with, or what is wrong with them. Afterwards a file that cannot be used is told of, and changes nothing. */
export function openKeys(
  options: KeyOptions,
  log: Pick<Logger, 'info' | 'warn'>,
  lookEveryMs?: number,
): KeysOpened {
  const { jwksFile } = options;
  const found = readKeys(options);
  if (found.kind === 'unusable') return { kind: 'unusable', reason: `auth.${found.key}: ${found.reason}` };
  const { given, file } = found;
  if (jwksFile === undefined || file === null)
    return { kind: 'opened', ring: new KeyRing(given), close: () => undefined };
  const ring = new KeyRing([...given, ...file.keys]);
  const close = watchFiles(
    [jwksFile],
    file.read,
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
