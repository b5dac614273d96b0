/** What is durable by now, also of what was acknowledged a moment ago. */
import { pause, type Runtime } from '../../storage/index.ts';

/** The writer tells its nodes within this time what is durable. */
const settleMs = 25;

/** Asks twice: the second answer knows of all that was acknowledged before the first question. */
export async function pollSettled<T>(poll: () => Promise<T>, runtime: Runtime): Promise<T> {
  await poll();
  await pause(runtime, settleMs);
  return poll();
}
