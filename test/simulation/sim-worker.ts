/** One lane of `main.ts`: a thread that runs the seeds it is sent and answers with their outcomes. */
import { parentPort } from 'node:worker_threads';
import { simulate } from './deployment/deployment.ts';
import { type Flags, runSeed } from './run-seeds.ts';

const silent = { line: () => {}, progress: () => {} };

parentPort?.on('message', async ({ seed, flags }: { readonly seed: number; readonly flags: Flags }) => {
  const outcome = await runSeed(seed, flags, (number, profile) => simulate(number, profile), silent);
  parentPort?.postMessage(outcome);
});
