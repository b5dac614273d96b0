/** When bundles leave: at the end of this turn, so that what comes in it leaves together, and so far apart at least. */
import type { Runtime } from '../../storage/index.ts';

const apartMs = 1;

/** @param sentAtMs when the last one left, by `runtime.nowMs()`. */
export function sendSoon(
  runtime: Pick<Runtime, 'nowMs' | 'after' | 'turn'>,
  sentAtMs: number,
  send: () => void,
): void {
  const waitMs = sentAtMs + apartMs - runtime.nowMs();
  if (waitMs > 0) runtime.after(waitMs, send);
  else runtime.turn(send);
}
