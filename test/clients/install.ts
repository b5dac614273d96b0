/** Installs clients outside the repository, so that nothing of them becomes part of the project, and once for many runs. */
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { folderOf, manifests, pinnedVersion } from './catalogue.ts';
import { type Command, run } from './command.ts';
import type { SmokeClient, Toolchain } from './smoke-client.ts';

const home = import.meta.dirname;
const probeLimitMs = 30_000;
const stderrTailChars = 1_500;

interface Recipe {
  /** Each has to start and end with 0, or the toolchain is missing. */
  readonly probes: readonly Command[];
  /** Run again when the manifest changes. */
  readonly install: readonly Command[];
  /** Run again when anything changes. */
  readonly build: readonly Command[];
  readonly program: Command;
}

const command = (line: string): Command => {
  const [file = '', ...args] = line.split(' ');
  return { file, args };
};

/** Scripts of packages are not run: none of these clients needs one, and some download what may be out of reach. */
const npmInstall = 'npm install --ignore-scripts --no-audit --no-fund --no-package-lock --loglevel=error';

const recipes: Readonly<Record<Toolchain, Recipe>> = {
  npm: {
    probes: [command('npm --version')],
    install: [command(npmInstall)],
    build: [],
    program: { file: process.execPath, args: ['smoke.mjs'] },
  },
  python: {
    probes: [command('python3 --version'), command('python3 -m venv --help')],
    install: [
      command('python3 -m venv --clear .venv'),
      command('.venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt'),
    ],
    build: [],
    program: command('.venv/bin/python smoke.py'),
  },
  go: {
    probes: [command('go version')],
    install: [command('go mod download')],
    build: [command('go build -mod=readonly -o smoke .')],
    program: command('./smoke'),
  },
  rust: {
    probes: [command('cargo --version')],
    install: [],
    build: [command('cargo build --quiet')],
    program: command('target/debug/smoke-rust-libsql'),
  },
  java: {
    probes: [command('javac -version'), command('mvn --version')],
    install: [command('mvn -q -B dependency:copy-dependencies')],
    build: [command('mvn -q -B compile')],
    program: command(
      'java -Dfile.encoding=UTF-8 -Dstdout.encoding=UTF-8 -cp target/classes:target/dependency/* Smoke',
    ),
  },
};

/** Prisma generates its client; the engine it would download for migrations is not used for that, only looked for. */
const prismaGenerate: Command = {
  file: process.execPath,
  args: ['node_modules/prisma/build/index.js', 'generate', '--schema', 'schema.prisma'],
};
const environment: NodeJS.ProcessEnv = {
  CHECKPOINT_DISABLE: '1',
  PRISMA_SCHEMA_ENGINE_BINARY: process.execPath,
  PYTHONDONTWRITEBYTECODE: '1',
  PYTHONPATH: '../shared',
};

function buildOf(client: SmokeClient): readonly Command[] {
  const { build } = recipes[client.toolchain];
  return client.packages.includes('@prisma/client') ? [...build, prismaGenerate] : build;
}

/** `package version` of each package a client's folder pins; a Go module by the last part of its path. */
export function versionsOf(client: SmokeClient): readonly string[] {
  const { toolchain } = client;
  const manifest = readFileSync(join(home, folderOf(client), manifests[toolchain]), 'utf8');
  const short = (name: string): string =>
    toolchain === 'go' ? name.replace(/\/v\d+$/, '').replace(/^.*\//, '') : name;
  return client.packages.map((name) => `${short(name)} ${pinnedVersion(toolchain, manifest, name)}`);
}

/** Null when the toolchain is there, else what is missing. */
export async function missingOf(toolchain: Toolchain): Promise<string | null> {
  for (const probe of recipes[toolchain].probes) {
    const line = [probe.file, ...probe.args].join(' ');
    try {
      const { code, overTimeMs } = await run(probe, { limitMs: probeLimitMs });
      if (overTimeMs !== null) return `\`${line}\` gave no answer within ${probeLimitMs / 1_000} s`;
      if (code !== 0) return `\`${line}\` ended with ${code}`;
    } catch {
      return `${probe.file} is not on the PATH`;
    }
  }
  return null;
}

function digest(folder: string, files: readonly string[]): string {
  const hash = createHash('sha256').update(process.version);
  for (const file of files) hash.update(file).update(readFileSync(join(folder, file)));
  return hash.digest('hex');
}

export type Installed =
  | {
      readonly kind: 'ready';
      readonly program: Command;
      readonly cwd: string;
      readonly env: NodeJS.ProcessEnv;
    }
  | { readonly kind: 'failed'; readonly why: string };

/** One stage that is done when its stamp in the cache is the present digest; answers why it failed, or null. */
async function stage(
  commands: readonly Command[],
  stamp: string,
  wanted: string,
  cwd: string,
  deadlineMs: number,
): Promise<string | null> {
  if (commands.length === 0 || (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted)) return null;
  rmSync(stamp, { force: true });
  for (const step of commands) {
    const line = [step.file, ...step.args].join(' ');
    const limitMs = Math.max(1, Math.round(deadlineMs - performance.now()));
    const { code, overTimeMs, stdout, stderr } = await run(step, { cwd, env: environment, limitMs });
    if (overTimeMs !== null) return `\`${line}\` was not done in time; a longer --install-timeout may help`;
    if (code !== 0)
      return `\`${line}\` ended with ${code}: ${(stderr + stdout).trim().slice(-stderrTailChars)}`;
  }
  writeFileSync(stamp, wanted);
  return null;
}

/** Copies a client's folder into `cache` and installs what it pins there, unless an earlier run has. */
export async function install(client: SmokeClient, cache: string, limitMs: number): Promise<Installed> {
  const deadlineMs = performance.now() + limitMs;
  const recipe = recipes[client.toolchain];
  const source = join(home, folderOf(client));
  const cwd = join(cache, client.name);
  mkdirSync(cwd, { recursive: true });
  cpSync(join(home, 'shared'), join(cache, 'shared'), { recursive: true });
  cpSync(source, cwd, { recursive: true });
  const files = readdirSync(source, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(source.length + 1))
    .sort();
  const manifest = digest(source, [manifests[client.toolchain]]);
  const why =
    (await stage(recipe.install, join(cwd, '.installed'), manifest, cwd, deadlineMs)) ??
    (await stage(buildOf(client), join(cwd, '.built'), digest(source, files), cwd, deadlineMs));
  if (why !== null) return { kind: 'failed', why };
  return { kind: 'ready', program: recipe.program, cwd, env: environment };
}
