/** When bundles leave: at the end of this turn, so that what comes in it leaves together, and so far apart at least. */
const apartMs = 1;

/** @param sentAtMs when the last one left, by `performance.now()`. */
export function sendSoon(sentAtMs: number, send: () => void): void {
  const waitMs = sentAtMs + apartMs - performance.now();
  if (waitMs > 0) setTimeout(send, waitMs);
  else setImmediate(send);
}
