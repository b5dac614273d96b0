/** What is durable by now, also of what was acknowledged a moment ago. */
import { pause, type Runtime } from '../../storage/index.ts';

/** The writer tells its nodes within this time what is durable. */
const settleMs = 25;

/**
 * Asks twice: the second answer knows of all that was acknowledged before the first question.
 * @param suffices whether the first answer will do, however much more is durable.
 */
export async function pollSettled<T>(
  poll: () => Promise<T>,
  runtime: Runtime,
  suffices: (answer: T) => boolean = () => false,
): Promise<T> {
  const first = await poll();
  if (suffices(first)) return first;
  await pause(runtime, settleMs);
  return poll();
}
