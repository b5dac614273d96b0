/** Has a program read its files again after they were replaced: one that does so when it is told, by SIGHUP, and not by itself. */
import { statSync } from 'node:fs';

export interface Reloaded {
  readonly files: readonly string[];
  /** Tells it. False when it does not run: then it reads them at its start. */
  reload(): boolean;
}

const stampOf = (files: readonly string[]): string =>
  files
    .map((file) => {
      const stat = statSync(file, { throwIfNoEntry: false });
      return stat === undefined ? 'none' : `${stat.ino}.${stat.mtimeMs}.${stat.size}`;
    })
    .join('|');

/** One program's files. */
export class ReloadWatch {
  private readonly watched: Reloaded;
  private told: string;
  private last: string;

  constructor(watched: Reloaded) {
    this.watched = watched;
    this.told = stampOf(watched.files);
    this.last = this.told;
  }

  /** Tells it once the files have changed and are the same at two looks: they are not replaced in one step. */
  look(): void {
    const stamp = stampOf(this.watched.files);
    const settled = stamp === this.last;
    this.last = stamp;
    if (!settled || stamp === this.told) return;
    this.told = stamp;
    this.watched.reload();
  }
}
