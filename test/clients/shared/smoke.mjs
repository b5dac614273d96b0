/**
 * What every smoke program in JavaScript shares: it runs its steps in order and prints one line of JSON for each,
 * `{"step": name, "ok": true}` or `{"step": name, "ok": false, "error": text}`. The runner reads them.
 */

/** The gateway to talk to, with the scheme of the transport that is tried. */
export const url = process.env.SMOKE_URL ?? 'http://127.0.0.1:7011';

/** Values that a protocol by way of JSON tends to damage. */
export const bigInteger = 9_007_199_254_740_993n;
export const smallestInteger = -9_223_372_036_854_775_808n;
export const fraction = -1234.015625;
export const words = 'déjà vu, “quoted”, 数据, 🛰, a\ttab';
export const bytes = Uint8Array.from([0, 1, 127, 128, 254, 255, 0]);
export const ownWrites = 20;

/** Blobs arrive as `ArrayBuffer`, `Uint8Array` or `Buffer`, each client's own way. */
export const byteList = (blob) => [...(blob instanceof ArrayBuffer ? new Uint8Array(blob) : blob)];

/** The whole chain of causes: what a client wraps is what says why. */
export function explain(error) {
  const parts = [];
  for (let at = error; at !== undefined && at !== null && parts.length < 5; at = at.cause) {
    const code = at.code === undefined ? '' : ` [${at.code}]`;
    parts.push(`${at.name ?? typeof at}: ${at.message ?? String(at)}${code}`);
  }
  return parts.join(' <- ');
}

/** Without a schema every later step would fail for that alone. */
const needed = ['connect', 'schema'];

/** Runs `steps` (name to function) in order; the process ends with 1 when one failed, whatever the client keeps open. */
export async function smoke(steps) {
  let failed = false;
  for (const [step, run] of Object.entries(steps)) {
    try {
      await run();
      process.stdout.write(`${JSON.stringify({ step, ok: true })}\n`);
    } catch (error) {
      failed = true;
      process.stdout.write(`${JSON.stringify({ step, ok: false, error: explain(error) })}\n`);
      if (needed.includes(step)) break;
    }
  }
  process.exit(failed ? 1 : 0);
}

/** The error `run` fails with; fails itself when `run` succeeds. */
export async function errorOf(run) {
  try {
    await run();
  } catch (error) {
    return error;
  }
  throw new Error('it succeeded, and had to fail');
}
