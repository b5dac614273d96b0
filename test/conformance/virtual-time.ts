/** Lets the time of a simulated world pass while a test waits for a promise. */
import { setImmediate } from 'node:timers/promises';
import type { World } from '../simulation/world/world.ts';

/** Runs events of `world` one by one until `done` is settled. @throws Error when nothing is left to happen before that */
export async function settleIn<T>(world: World, done: Promise<T>): Promise<T> {
  let isOver = false;
  const over = (): void => {
    isOver = true;
  };
  void done.then(over, over);
  for (;;) {
    // What an event resolved is noticed before more time passes.
    await setImmediate();
    if (isOver) return done;
    let taken = 0;
    const outcome = world.runUntil(() => taken++ > 0, Number.MAX_SAFE_INTEGER);
    if (outcome === 'met') continue;
    await setImmediate();
    if (!isOver) throw new Error(`the world stands still (${outcome}), and what is waited for has not come`);
  }
}
