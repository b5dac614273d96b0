/** `npm run simulate`: runs seeds through the whole deployment, one thread per core. The command line is in `run-seeds.ts`. */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { endOnBrokenPipe } from '../../telemetry/log/broken-pipe.ts';
import { simulate } from './deployment/deployment.ts';
import { parseFlags, type RunElsewhere, runSeeds, runSeedsInLanes, type SeedOutcome } from './run-seeds.ts';

/** Fewer seeds than this are done before a second thread has compiled. */
const seedsPerLaneMin = 4;

const output = {
  line: (text: string): void => console.log(text),
  progress: (text: string): void => {
    if (process.stderr.isTTY) process.stderr.write(`\r${text}\r`);
  },
};

/** A thread, and the seed it is busy with. */
class Lane {
  private readonly worker = new Worker(new URL('./sim-worker.ts', import.meta.url));

  run: RunElsewhere = (seed, flags) =>
    new Promise((resolve, reject) => {
      this.worker.removeAllListeners();
      this.worker.once('message', (outcome: SeedOutcome) => resolve(outcome));
      this.worker.once('error', reject);
      this.worker.once('exit', (code) =>
        reject(new Error(`a thread ended with code ${code} under seed ${seed}`)),
      );
      this.worker.postMessage({ seed, flags });
    });

  async close(): Promise<void> {
    this.worker.removeAllListeners();
    await this.worker.terminate();
  }
}

async function main(argv: readonly string[]): Promise<number> {
  const flags = parseFlags(argv);
  const count =
    typeof flags === 'string' || flags.trace
      ? 1
      : Math.min(availableParallelism(), Math.floor(flags.seeds / seedsPerLaneMin));
  if (count < 2) return runSeeds(argv, (seed, profile, print) => simulate(seed, profile, { print }), output);
  const lanes = Array.from({ length: count }, () => new Lane());
  const free = [...lanes];
  const run: RunElsewhere = async (seed, wanted) => {
    const lane = free.pop();
    if (lane === undefined) throw new Error('more seeds under way than lanes');
    const outcome = await lane.run(seed, wanted);
    free.push(lane);
    return outcome;
  };
  try {
    return await runSeedsInLanes(argv, count, run, output);
  } finally {
    await Promise.all(lanes.map((lane) => lane.close()));
  }
}

endOnBrokenPipe();
process.exitCode = await main(process.argv.slice(2));
