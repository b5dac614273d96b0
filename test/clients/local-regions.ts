/** A deployment of two regions for the smoke tests, by the project's own command line. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Finished, run } from './command.ts';
import type { Engine } from './smoke-client.ts';

const cliFile = join(import.meta.dirname, '../../regions/cli/sextant.ts');
const regions = ['us-east-1', 'eu-west-1'] as const;
const upLimitMs = 180_000;
const downLimitMs = 60_000;

export class LocalRegions {
  readonly primary: string;
  readonly secondary: string;
  readonly dataDir: string;
  private readonly engine: Engine;
  private readonly basePort: number;

  /** Makes a data directory; nothing runs before `start`. */
  constructor(engine: Engine, basePort: number) {
    this.engine = engine;
    this.basePort = basePort;
    this.dataDir = mkdtempSync(join(tmpdir(), 'sextant-clients-data-'));
    // As `sextant up` numbers them: twenty ports a region, the gateway on the twelfth; PostgreSQL's behind all of them, five a region.
    const [primary, secondary] =
      engine === 'sqlite'
        ? [`http://127.0.0.1:${basePort + 11}`, `http://127.0.0.1:${basePort + 31}`]
        : [
            `postgres://app@127.0.0.1:${basePort + 160}/main`,
            `postgres://app@127.0.0.1:${basePort + 165}/main`,
          ];
    this.primary = primary;
    this.secondary = secondary;
  }

  private cli(args: readonly string[], limitMs: number): Promise<Finished> {
    return run({ file: process.execPath, args: [cliFile, ...args, '--data', this.dataDir] }, { limitMs });
  }

  /** @throws with what `sextant up` printed when the regions are not ready within 180 s */
  async start(): Promise<void> {
    const { engine, basePort } = this;
    const args = [
      'up',
      '--detach',
      '--engine',
      engine,
      '--regions',
      regions.join(','),
      '--base-port',
      `${basePort}`,
    ];
    const { code, overTimeMs, stdout, stderr } = await this.cli(args, upLimitMs);
    if (code === 0) return;
    const ended = overTimeMs === null ? `ended with ${code}` : `took more than ${upLimitMs / 1_000} s`;
    throw new Error(`sextant up --base-port ${this.basePort} ${ended}:\n${stdout}${stderr}`);
  }

  /** Stops what was started, and removes the data; what never came up has nothing to stop. */
  async stop(): Promise<void> {
    const { code, stderr } = await this.cli(['down'], downLimitMs);
    if (code !== 0)
      throw new Error(`sextant down --data ${this.dataDir} ended with ${code}, data is kept: ${stderr}`);
    rmSync(this.dataDir, { recursive: true, force: true });
  }
}
