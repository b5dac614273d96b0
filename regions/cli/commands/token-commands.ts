/** `sextant token keygen`, `create` and `show`: the key that client tokens are signed with, tokens, and what one says. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { describeExpiry, parseLifetime } from '../../tokens/core/lifetime.ts';
import { type Scope, type ScopeReading, scopeOf, scopes } from '../../tokens/core/scope.ts';
import { issueToken, readToken, type TokenContents } from '../../tokens/issue.ts';
import {
  type KeyAlgorithm,
  KeyFileError,
  keyAlgorithms,
  makeKey,
  readSigningKey,
} from '../../tokens/key-files.ts';
import { withExample } from '../ask/options.ts';
import { CliError, note, printJson, table } from '../ask/output.ts';
import { checkBranchName } from '../sql/open-session.ts';

type KeygenOptions = {
  readonly alg: string;
  readonly key: string;
  readonly jwks: string;
  readonly json?: boolean;
};
type CreateOptions = {
  readonly scope: string;
  readonly ttl: string;
  readonly branch?: string;
  readonly subject?: string;
  readonly audience?: string;
  readonly issuer?: string;
  readonly key: string;
  readonly json?: boolean;
};
type ShowOptions = { readonly json?: boolean };

const keyDefault = 'sextant-token-key.pem';
const jwksDefault = 'sextant-jwks.json';
/** Longer texts are no tokens. */
const tokenBytesMax = 64 * 1024;
const nowSeconds = (): number => Math.floor(Date.now() / 1_000);

/** What is wrong with a file is an answer to the user. */
async function asked<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof KeyFileError) throw new CliError(error.message);
    throw error;
  }
}

const isAlgorithm = (text: string): text is KeyAlgorithm => keyAlgorithms.some((name) => name === text);
const isScope = (text: string): text is Scope => scopes.some((name) => name === text);

async function keygen({ alg, key, jwks, json }: KeygenOptions): Promise<void> {
  if (!isAlgorithm(alg)) throw new CliError(`--alg is ${keyAlgorithms.join(' or ')}, not ${alg}`);
  const { kid, keys } = await asked(makeKey(alg, { key, jwks }));
  if (json === true) return printJson({ kid, alg, key, jwks, keys });
  console.log(`${key}   the private key ${kid}: keep it where tokens are made, and nowhere else`);
  console.log(
    `${jwks}   ${keys === 1 ? 'its public key' : `${keys} public keys, this one among them`}: give it to the gateways`,
  );
  note(`in the configuration of each gateway: "auth": {"jwksFile": "${jwks}"}`);
  note(`then: sextant token create --scope write --key ${key}`);
}

function lifetime(text: string): number | null {
  if (text === 'none') return null;
  const seconds = parseLifetime(text);
  if (seconds === undefined)
    throw new CliError(
      `--ttl is a number with s, m, h, d or w, such as 15m or 30d and at most 3660d, or none; not ${text}`,
    );
  return seconds;
}

async function create(options: CreateOptions): Promise<void> {
  const { scope, ttl, branch = null, subject = null, audience = null, issuer = null, json } = options;
  if (!isScope(scope)) throw new CliError(`--scope is ${scopes.join(', ')}; not ${scope}`);
  if (branch !== null) checkBranchName(branch);
  const ttlSeconds = lifetime(ttl);
  const key = await asked(readSigningKey(options.key));
  const token = await issueToken(key, { scope, branch, subject, ttlSeconds, audience, issuer }, nowSeconds());
  if (json === true) return printJson({ token, kid: key.kid, alg: key.algorithm, ...readToken(token) });
  console.log(token);
  if (ttlSeconds === null)
    note(
      'it never expires: gateways refuse it unless they have auth.expiry: optional, and only a change of the key ends it',
    );
  if (subject === null) note('it names nobody: the audit knows it by its key only (--subject)');
}

/** `-` reads it from the standard input, where no list of processes shows it. */
function tokenFrom(argument: string): string {
  const text = argument === '-' ? readFileSync(0, 'utf8') : argument;
  if (text.length > tokenBytesMax)
    throw new CliError(`that is no token: it is longer than ${tokenBytesMax} characters`);
  return text.trim().replace(/^Bearer\s+/i, '');
}

function show(argument: string, { json }: ShowOptions): void {
  const contents = readToken(tokenFrom(argument));
  if (contents === null)
    throw new CliError('that is no token: expected three parts of base64url with dots between');
  if (json === true) {
    printJson({ ...contents, grants: grants(contents), checked: false });
    return;
  }
  const { header, claims } = contents;
  const text = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));
  const expiry = typeof claims.exp === 'number' ? claims.exp : null;
  const rows = [
    ['grants', grants(contents)],
    ['expiry', describeExpiry(expiry, nowSeconds())],
    ...Object.entries(header).map(([name, value]) => [`header ${name}`, text(value)]),
    ...Object.entries(claims).map(([name, value]) => [`claim ${name}`, text(value)]),
  ];
  console.log(table(['', ''], rows).split('\n').slice(1).join('\n'));
  note('this is what it says: nobody has checked who signed it');
}

function grants({ claims: { scope, a, id } }: TokenContents): string {
  const named = (claim: unknown): string | undefined => (typeof claim === 'string' ? claim : undefined);
  const read: ScopeReading = scopeOf({ scope: named(scope), a: named(a) });
  if (read.kind !== 'scope') return `nothing: ${read.reason}`;
  return typeof id === 'string' ? `${read.scope}, on ${id === 'default' ? 'main' : id} alone` : read.scope;
}

export function addTokenCommands(program: Command): void {
  const token = program.command('token').description('keys and tokens of clients');
  withExample(
    token
      .command('keygen')
      .description('makes a key that signs tokens; a JWKS that is there already gets it beside its own')
      .option('--alg <name>', 'EdDSA (Ed25519) or ES256 (P-256)', 'EdDSA')
      .option('--key <file>', 'where the private key goes; never overwritten', keyDefault)
      .option('--jwks <file>', 'where the public key goes, for the gateways', jwksDefault)
      .option('--json', 'print JSON')
      .action(keygen),
    'sextant token keygen --key token-key.pem --jwks jwks.json',
  );
  withExample(
    token
      .command('create')
      .description('prints a token')
      .requiredOption(
        '--scope <name>',
        'read: SQL that reads, and the status; write: all SQL; admin: moves, policy and drills as well',
      )
      .option('--branch <name>', 'the one database that it is for: a branch, or main; all of them without it')
      .option('--ttl <time>', 'how long it holds: 15m, 1h, 30d, …, or none', '1h')
      .option('--subject <name>', 'whom it names, in the audit too')
      .option('--audience <name>', 'as auth.audience of the gateways')
      .option('--issuer <name>', 'as auth.issuer of the gateways')
      .option('--key <file>', 'the private key', keyDefault)
      .option('--json', 'print JSON')
      .action(create),
    'sextant token create --scope read --ttl 30d --subject reports',
    'sextant token create --scope write --branch dev --subject ci',
    'SEXTANT_TOKEN=$(sextant token create --scope admin --subject ada) sextant status --url https://db.example:7011',
  );
  withExample(
    token
      .command('show')
      .description('what a token says, unchecked')
      .argument('<token>', 'the token, or - to read it from the standard input')
      .option('--json', 'print JSON')
      .action(show),
    'sextant token show - < token.txt',
  );
}
