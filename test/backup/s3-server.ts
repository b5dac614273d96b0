/** A real S3 server for the test of backups: versitygw, over a directory. Found, or built from its Go module. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { eventually } from '../storage/region-harness.ts';

const run = promisify(execFile);
const pinned = 'github.com/versity/versitygw/cmd/versitygw@v1.8.0';
export const accessKey = 'AKSEXTANTTEST';
export const secretKey = 'only-for-the-test-of-backups-3141';

/** Path of the server's program, or a sentence that says what is missing. */
export async function findS3Server(): Promise<{ readonly path: string } | { readonly error: string }> {
  const own = process.env.VERSITYGW;
  if (own !== undefined) return existsSync(own) ? { path: own } : { error: `$VERSITYGW: there is no ${own}` };
  const cache = join(homedir(), '.cache', 'sextant-test', 'versitygw-1.8.0');
  const onPath = (process.env.PATH ?? '').split(delimiter).map((dir) => join(dir, 'versitygw'));
  const found = [...onPath, join(cache, 'versitygw')].find((file) => existsSync(file));
  if (found !== undefined) return { path: found };
  console.log(`building ${pinned}, once: this takes some minutes`);
  try {
    await run('go', ['install', pinned], { env: { ...process.env, GOBIN: cache }, timeout: 1_200_000 });
    return { path: join(cache, 'versitygw') };
  } catch (error) {
    return {
      error: `$VERSITYGW names no versitygw, and \`go install ${pinned}\` fails: ${String(error).split('\n')[0]}`,
    };
  }
}

/** One server over one directory; it may die and be started again. */
export class S3Server {
  readonly endpoint: string;
  /** Where the objects of the bucket `backups` lie. */
  readonly bucketDir: string;
  private readonly path: string;
  private readonly root: string;
  private readonly port: number;
  private child: ChildProcess | null = null;

  constructor(path: string, root: string, port: number) {
    this.path = path;
    this.root = root;
    this.port = port;
    this.endpoint = `http://127.0.0.1:${port}`;
    this.bucketDir = join(root, 'buckets', 'backups');
    mkdirSync(this.bucketDir, { recursive: true });
    mkdirSync(join(root, 'sidecar'), { recursive: true });
  }

  async start(): Promise<void> {
    const args = [
      '--port',
      `127.0.0.1:${this.port}`,
      '--quiet',
      'posix',
      '--sidecar',
      join(this.root, 'sidecar'),
    ];
    const env = { ...process.env, ROOT_ACCESS_KEY: accessKey, ROOT_SECRET_KEY: secretKey };
    this.child = spawn(this.path, [...args, join(this.root, 'buckets')], { env, stdio: 'ignore' });
    await eventually('the S3 server answers', () =>
      fetch(this.endpoint).then(
        () => true,
        () => false,
      ),
    );
  }

  freeze(): void {
    this.child?.kill('SIGSTOP');
  }

  thaw(): void {
    this.child?.kill('SIGCONT');
  }

  async kill(): Promise<void> {
    const { child } = this;
    this.child = null;
    if (child === null || child.exitCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
}
