/** What is half done: removed when it is finished, given up, or when the process ends, unless that is killed. */
import { rmSync } from 'node:fs';

export interface Temporary {
  readonly path: string;
  remove(): void;
}

/** @param path a file or directory that is made, or will be. */
export function temporary(path: string): Temporary {
  const remove = (): void => rmSync(path, { recursive: true, force: true });
  process.once('exit', remove);
  return {
    path,
    remove: () => {
      process.removeListener('exit', remove);
      remove();
    },
  };
}
