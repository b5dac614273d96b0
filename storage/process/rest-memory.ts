/**
 * Gives memory back to the machine whenever this process has come to rest. V8 collects only while something is allocated: a process
 * that has loaded its code, or has served a crowd, would keep for good what that took, most of it for young objects.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { everyBeside } from './clock.ts';
import { RestWatch, restLimits } from './core/rest-watch.ts';

/** The main thread stands still meanwhile, for some tens of milliseconds. @returns ends that. */
export function returnMemoryAtRest(collect: () => void = thoroughCollector()): () => void {
  const watch = new RestWatch();
  let before = process.cpuUsage();
  let atMs = performance.now();
  return everyBeside(restLimits.lookEveryMs, () => {
    const nowMs = performance.now();
    const { user, system } = process.cpuUsage(before);
    const share = (user + system) / 1_000 / (nowMs - atMs);
    before = process.cpuUsage();
    atMs = nowMs;
    if (watch.look(share)) collect();
  });
}

/** V8's collector of everything, which also shrinks what it has emptied. */
function thoroughCollector(): () => void {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  const how = { type: 'major', execution: 'sync', flavor: 'last-resort' } as const;
  return typeof collect === 'function' ? () => collect(how) : () => {};
}
