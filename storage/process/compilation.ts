/** What a process asks of the compiler of JavaScript: to be quick about the few paths that matter, and to keep its work. */
import { flushCompileCache } from 'node:module';
import { setFlagsFromString } from 'node:v8';

/** Calls after which V8 compiles a function well, and best; its own are 400 and 3,000, and 500 after types changed. */
const flags = [
  '--invocation-count-for-maglev=100',
  '--invocation-count-for-turbofan=600',
  '--minimum-invocations-after-ic-update=100',
] as const;

/** The first release of Node.js these were tried with; older ones print a complaint about each. */
const nodeMajorMin = 24;

/**
 * Compiles sooner than V8 does by itself. What a storage node runs once for each batch of commits it runs a hundred times a
 * second: that stayed slow code for half a minute after each start, and longer for a lone client. A gateway asks for it when
 * it has served for a while: compiling would delay its start (1.5 instead of 1.3 s from a kill to the next write).
 */
export function compileSooner(): void {
  if (Number.parseInt(process.versions.node, 10) < nodeMajorMin) return;
  for (const flag of flags) setFlagsFromString(flag);
}

/**
 * Keeps what was compiled so far for the next start, where the environment names a place (`NODE_COMPILE_CACHE`). To be
 * called once a process serves, since it may end without notice.
 */
export function keepCompiledCode(): void {
  flushCompileCache();
}
