/** Progress of long work: one line that is written over on a terminal, else a line now and then. */
import type { RestoreProgress } from '../../backup/backup-reader.ts';
import { note } from '../ask/output.ts';

const everyMs = 5_000;

/** @param isQuiet nothing is told. */
export function progressLine(isQuiet: boolean): (progress: RestoreProgress) => void {
  let toldAtMs = performance.now();
  return ({ done, total, what }) => {
    if (isQuiet) return;
    const line = `${what} (${done} of ${total})`;
    if (process.stderr.isTTY === true) {
      process.stderr.write(`\r\u001b[K${line}${done === total ? '\n' : ''}`);
      return;
    }
    if (performance.now() - toldAtMs < everyMs) return;
    toldAtMs = performance.now();
    note(line);
  };
}
