/**
 * One process for each data directory. What excludes others is a lock of the operating system on the file `lock` in it, which
 * ends with the process, however that ends; `pid` beside it says who holds it. A lock made of files alone would have to judge
 * whether its holder lives, and two that judge at the same moment may both take it.
 */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { identify, isAlive, type ProcessIdentity, readNote, removePidFile } from './process-identity.ts';

export const lockFileName = 'lock';
export const holderFileName = 'pid';

/** Who holds a lock: `purpose` is what it told of itself, such as `sextant up`; `since` is for people. */
export type LockHolder = {
  readonly identity: ProcessIdentity;
  readonly since: string;
  readonly purpose: string;
};

export type DirectoryLock = {
  /** Gives the directory free. Ending the process does as well. */
  release(): void;
};

export type LockOutcome =
  | { readonly kind: 'locked'; readonly lock: DirectoryLock }
  /** Another process has it; `holder` is undefined when it could not write down who it is. */
  | { readonly kind: 'held'; readonly holder: LockHolder | undefined }
  | { readonly kind: 'failed'; readonly reason: string };

/** The holder writes its name right after it got the lock: so long one that has not is waited for. */
const namePatienceMs = 500;
const namePollMs = 25;
const sqliteBusy = 5;

/** Who wrote that it holds `directory`, if that process still runs. */
export function lockHolder(directory: string): LockHolder | undefined {
  const note = readNote(join(directory, holderFileName));
  if (note === undefined || !isAlive(note.identity)) return undefined;
  const [since = 'an unknown time', purpose = 'a process'] = note.more;
  return { identity: note.identity, since, purpose };
}

/** Takes the directory, which is made if need be, for this process. Does not wait for another that has it. */
export async function lockDirectory(directory: string, purpose: string): Promise<LockOutcome> {
  const taken = take(directory, purpose);
  if (taken.kind !== 'held') return taken;
  const deadline = performance.now() + namePatienceMs;
  let holder = lockHolder(directory);
  while (holder === undefined && performance.now() < deadline) {
    await sleep(namePollMs);
    holder = lockHolder(directory);
  }
  return { kind: 'held', holder };
}

function take(directory: string, purpose: string): LockOutcome {
  let file: DatabaseSync | undefined;
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    // SQLite knows how to lock a file on every system, and a second time in one process too. Nothing is ever stored.
    file = new DatabaseSync(join(directory, lockFileName), { timeout: 0 });
    file.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    file?.close();
    if (error instanceof Error && 'errcode' in error && error.errcode === sqliteBusy)
      return { kind: 'held', holder: undefined };
    return { kind: 'failed', reason: error instanceof Error ? error.message : String(error) };
  }
  const held = file;
  const note = join(directory, holderFileName);
  writeHolder(note, purpose);
  return {
    kind: 'locked',
    lock: {
      release() {
        if (!held.isOpen) return;
        removePidFile(note);
        held.close();
      },
    },
  };
}

/** A full disk takes no note, and has to be started on nevertheless: the lock holds without it. */
function writeHolder(file: string, purpose: string): void {
  const identity = identify(process.pid);
  if (identity === undefined) return;
  const lines = [identity.pid, identity.startedAt, new Date().toISOString(), purpose];
  try {
    writeFileSync(`${file}.new`, `${lines.join('\n')}\n`, { mode: 0o600 });
    renameSync(`${file}.new`, file);
  } catch {
    removePidFile(`${file}.new`);
  }
}

/** `held` as one sentence: who has `directory`, and what to do. */
export function heldMessage(directory: string, holder: LockHolder | undefined): string {
  const who =
    holder === undefined
      ? 'another process, which could not write down its pid'
      : `pid ${holder.identity.pid} (${holder.purpose}, since ${holder.since})`;
  return `${directory} is in use by ${who}: stop it first, or choose another directory`;
}
