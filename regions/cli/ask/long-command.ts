/** What commands that take long have in common: how they end early, and how they tell how far they are. */
import { note } from './output.ts';

const tellEveryMs = 2_000;

/**
 * Ctrl-C ends the command where it stands, with what there is to know.
 * @param last says it. What has to be removed is removed when the process ends.
 */
export function endOnSignal(last: () => void): void {
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)
    process.once(signal, () => {
      last();
      process.exit(code);
    });
}

/** Progress in a line of its own every few seconds. */
export function toldNowAndThen<A extends unknown[]>(line: (...args: A) => string): (...args: A) => void {
  let toldMs = performance.now();
  return (...args) => {
    if (performance.now() - toldMs < tellEveryMs) return;
    toldMs = performance.now();
    note(line(...args));
  };
}
