/**
 * The disk of a storage node as the production shells ask for it, on the disk twin: log files and runs of images are the twin's
 * append-only files, a file that is written beside and renamed is the twin's replacement of a whole file.
 */
import assert from 'node:assert/strict';
import type { Disk, DiskDone, DiskFile, DiskOpenMode, DiskResult } from '../../../storage/log/disk.ts';
import { concatBytes } from '../../../storage/redo/bytes.ts';
import type { DiskCompletion, Disk as DiskTwin } from '../twins/disk.ts';

/** What a disk may get wrong on purpose. */
export type DiskDefects = {
  /** An append is called back before its sync. */
  readonly acksBeforeSync: boolean;
  /** A renamed file is the old one still, for all that was said. */
  readonly forgetsRenames: boolean;
};

const fine: DiskResult<void> = { kind: 'ok', value: undefined };
const absent = (path: string) =>
  ({ kind: 'failed', code: 'ENOENT', message: `there is no ${path}` }) as const;
const full = { kind: 'failed', code: 'ENOSPC', message: 'no space left' } as const;

export class NodeDisk implements Disk {
  /** A file is about to be removed. */
  onRemove: (path: string) => void = () => undefined;
  private readonly twin: DiskTwin;
  private readonly defects: DiskDefects;
  private readonly waiting = new Map<string, () => void>();
  /** Files that are written beside others and have not been renamed yet; a crash forgets them. */
  private readonly beside = new Map<string, Uint8Array>();
  private tokens = 0;

  constructor(twin: DiskTwin, defects: DiskDefects) {
    this.twin = twin;
    this.defects = defects;
  }

  /** The twin has completed something. */
  completed({ token }: DiskCompletion): void {
    const done = this.waiting.get(token);
    this.waiting.delete(token);
    done?.();
  }

  makeDirectory(_path: string, done: DiskDone<void>): void {
    soon(done, fine);
  }

  list(path: string, done: DiskDone<readonly string[]>): void {
    const inside = [...this.twin.files(), ...this.beside.keys()]
      .filter((name) => name.startsWith(`${path}/`))
      .map((name) => name.slice(path.length + 1))
      .filter((name) => !name.includes('/'));
    soon(done, { kind: 'ok', value: inside });
  }

  open(path: string, mode: DiskOpenMode, done: DiskDone<DiskFile>): void {
    if (mode === 'replace') {
      this.beside.set(path, new Uint8Array(0));
      soon(done, { kind: 'ok', value: this.besideFile(path) });
      return;
    }
    if (this.beside.has(path)) {
      soon(done, { kind: 'ok', value: this.besideFile(path) });
      return;
    }
    const exists = this.twin.files().includes(path);
    if (!exists && mode === 'existing') soon(done, absent(path));
    else if (!exists && this.twin.append(path, new Uint8Array(0)).kind === 'disk-full') soon(done, full);
    else soon(done, { kind: 'ok', value: this.logFile(path) });
  }

  rename(from: string, to: string, done: DiskDone<void>): void {
    const { twin } = this;
    const isStored = twin.files().includes(from);
    const bytes = this.beside.get(from) ?? (isStored ? twin.read(from) : undefined);
    if (bytes === undefined) {
      soon(done, absent(from));
      return;
    }
    this.beside.delete(from);
    this.beside.delete(to);
    const old = this.defects.forgetsRenames && twin.files().includes(to) ? twin.read(to) : bytes;
    const token = this.token(() => {
      if (isStored) twin.remove(from);
      done(fine);
    });
    if (this.twin.replace(to, old, token).kind === 'accepted') return;
    this.waiting.delete(token);
    soon(done, full);
  }

  remove(path: string, done: DiskDone<void>): void {
    this.onRemove(path);
    const existed = this.beside.delete(path) || this.twin.files().includes(path);
    this.twin.remove(path);
    soon(done, existed ? fine : absent(path));
  }

  syncDirectory(_path: string, done: DiskDone<void>): void {
    soon(done, fine);
  }

  private token(done: () => void): string {
    this.tokens += 1;
    const token = String(this.tokens);
    this.waiting.set(token, done);
    return token;
  }

  private logFile(path: string): DiskFile {
    const { twin } = this;
    return {
      append: (buffers, position, done) => {
        // Behind the last frame there may be zeros that nobody uses.
        if (position < twin.length(path)) twin.truncate(path, position);
        assert.equal(position, twin.length(path), `an append to ${path} leaves a hole`);
        if (twin.append(path, concatBytes(buffers)).kind === 'disk-full') {
          soon(done, full);
          return;
        }
        if (this.defects.acksBeforeSync) soon(done, fine);
        twin.sync(
          path,
          this.token(() => (this.defects.acksBeforeSync ? undefined : done(fine))),
        );
      },
      writev: (buffers, position, done) => {
        assert.equal(position, twin.length(path), `a write to ${path} is no append`);
        const bytes = concatBytes(buffers);
        soon(
          done,
          twin.append(path, bytes).kind === 'disk-full' ? full : { kind: 'ok', value: bytes.length },
        );
      },
      fdatasync: (done) =>
        twin.sync(
          path,
          this.token(() => done(fine)),
        ),
      read: (into, position, done) => {
        const bytes = twin.readAt(path, position, into.length);
        into.set(bytes);
        soon(done, { kind: 'ok', value: bytes.length });
      },
      sizeBytes: (done) => soon(done, { kind: 'ok', value: twin.length(path) }),
      truncate: (sizeBytes, done) => {
        twin.truncate(path, sizeBytes);
        soon(done, fine);
      },
      close: (done) => soon(done, fine),
    };
  }

  private besideFile(path: string): DiskFile {
    const content = (): Uint8Array => this.beside.get(path) ?? this.twin.read(path);
    return {
      append: () => assert.fail(`${path} is no log`),
      writev: (buffers, position, done) => {
        const bytes = concatBytes([content().subarray(0, position), ...buffers]);
        this.beside.set(path, bytes);
        soon(done, { kind: 'ok', value: bytes.length - position });
      },
      fdatasync: (done) => soon(done, fine),
      read: (into, position, done) => {
        const bytes = content().subarray(position, position + into.length);
        into.set(bytes);
        soon(done, { kind: 'ok', value: bytes.length });
      },
      sizeBytes: (done) => soon(done, { kind: 'ok', value: content().length }),
      truncate: (_sizeBytes, done) => soon(done, fine),
      close: (done) => soon(done, fine),
    };
  }
}

/** Never inside the call that asked. */
function soon<T>(done: DiskDone<T>, result: DiskResult<T>): void {
  queueMicrotask(() => done(result));
}
