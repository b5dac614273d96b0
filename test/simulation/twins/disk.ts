/**
 * The disk of one simulated process: named append-only files, and small files replaced whole.
 *
 * Fault model, all of it:
 * - An append is visible to its own process at once and durable only when a later `sync` of that file completes.
 * - Losing power keeps every synced byte. Of each entry (one `append`) that was not synced it keeps, independently of
 *   the others, everything, nothing, or a prefix; lost bytes before the new end of the file read as zeros. So a later
 *   entry may survive an earlier one, and a sync in flight promises nothing.
 * - A crash of the process alone loses no byte, for the operating system holds them, but makes none durable either:
 *   the restarted process reads entries that a later loss of power may still take. It must sync before it relies on them.
 * - A replaced file is the old or the new one, whole; after `replaced` it is the new one.
 * - A full disk refuses appends and replacements as a value and harms nothing already written; a slow disk multiplies delays.
 * - `wipe` (the machine is replaced) and `rot` (bits flip in synced bytes) destroy what was durable. Only these two do.
 * - Not modelled: bytes written to the wrong place, a sync that lies, a failing read.
 *
 * Why a 4/6 quorum can always repair: an acknowledgement leaves a node only after its sync, so an acknowledged
 * frame lies whole on four disks, and crashes, however many at once, take none of them. `wipe` and `rot` are rationed
 * by the scheduler (`faults.ts`, `nodesDestroyedMax`, 1 by default) until the region has been reported repaired: any four of
 * six answers share at least 4 + 4 - 6 = 2 nodes with the four that acknowledged, so at least one intact copy is
 * among the answers. With two destroyed nodes that would hold only if destroyed nodes knew it and did not count as answers.
 */
import assert from 'node:assert/strict';
import type { Prng, Range } from '../world/prng.ts';
import type { World } from '../world/world.ts';

export type DiskOptions = {
  /** Time one sync or replacement takes. */
  readonly syncUs: Range;
  /** How many syncs in a thousand take a hundred times as long. */
  readonly stallPerMille: number;
  /** Bytes that fit. */
  readonly capacityBytes: number;
};

export type DiskCompletion =
  /** Every byte of `file` below `throughBytes` is durable. */
  | { readonly kind: 'synced'; readonly file: string; readonly token: string; readonly throughBytes: number }
  | { readonly kind: 'replaced'; readonly file: string; readonly token: string };

export type AppendResult =
  | { readonly kind: 'appended'; readonly offset: number }
  | { readonly kind: 'disk-full' };

export type ReplaceResult = { readonly kind: 'accepted' } | { readonly kind: 'disk-full' };

type Entry = { readonly start: number; readonly end: number };

/** `content` is what the process reads; beyond `durable` it is only promised to the living. */
type DiskFile = {
  content: Uint8Array;
  length: number;
  durable: number;
  unsynced: Entry[];
  syncsInFlight: number;
};

/** What died: the process only, or the machine under it. */
export type CrashKind = 'process' | 'power';

export class Disk {
  private readonly world: World;
  private readonly label: string;
  private readonly prng: Prng;
  private readonly options: DiskOptions;
  private readonly complete: (completion: DiskCompletion) => void;
  private readonly stored = new Map<string, DiskFile>();
  /** The newest unfinished replacement per file, in order of request. */
  private replacing: { readonly file: string; readonly bytes: Uint8Array }[] = [];
  /** Completions of one disk arrive in the order of their requests. */
  private busyUntilUs = 0;
  private generation = 0;
  private space: 'free' | 'full' = 'free';
  private slowFactor = 1;

  constructor(
    world: World,
    label: string,
    options: DiskOptions,
    complete: (completion: DiskCompletion) => void,
  ) {
    this.world = world;
    this.label = label;
    this.prng = world.prng(`disk ${label}`);
    this.options = options;
    this.complete = complete;
  }

  /** Names of the files, sorted. */
  files(): readonly string[] {
    return [...this.stored.keys()].sort((left, right) => (left < right ? -1 : left > right ? 1 : 0));
  }

  /** A copy of what the process would read now; empty when there is no such file. */
  read(file: string): Uint8Array {
    const found = this.stored.get(file);
    return found === undefined ? new Uint8Array(0) : found.content.slice(0, found.length);
  }

  /** A copy of `length` bytes at `offset`, shorter at the end of the file. */
  readAt(file: string, offset: number, length: number): Uint8Array {
    const found = this.stored.get(file);
    if (found === undefined) return new Uint8Array(0);
    return found.content.slice(offset, Math.min(found.length, offset + length));
  }

  /** Bytes the process would read in `file`; 0 when there is no such file. */
  length(file: string): number {
    return this.stored.get(file)?.length ?? 0;
  }

  /** Bytes of `file` that a crash cannot take. */
  durableBytes(file: string): number {
    return this.stored.get(file)?.durable ?? 0;
  }

  /** Bytes in all files. */
  usedBytes(): number {
    let used = 0;
    for (const file of this.stored.values()) used += file.length;
    return used;
  }

  /** Adds one entry at the end of `file`, which is created when missing. Durable only after a sync. */
  append(file: string, bytes: Uint8Array): AppendResult {
    if (this.space === 'full' || this.usedBytes() + bytes.byteLength > this.options.capacityBytes) {
      return { kind: 'disk-full' };
    }
    const target = this.open(file);
    const start = target.length;
    const end = start + bytes.byteLength;
    if (end > target.content.byteLength) {
      const grown = new Uint8Array(Math.max(1024, 2 * target.content.byteLength, end));
      grown.set(target.content.subarray(0, start));
      target.content = grown;
    }
    target.content.set(bytes, start);
    target.length = end;
    target.unsynced.push({ start, end });
    return { kind: 'appended', offset: start };
  }

  /** Makes everything appended to `file` so far durable, and says so with `token` when it is. */
  sync(file: string, token: string): void {
    const target = this.open(file);
    const throughBytes = target.length;
    target.syncsInFlight += 1;
    this.later(`synced ${file} ${token} ${throughBytes}`, () => {
      target.syncsInFlight -= 1;
      target.durable = Math.max(target.durable, throughBytes);
      target.unsynced = target.unsynced.filter((entry) => entry.end > target.durable);
      this.complete({ kind: 'synced', file, token, throughBytes });
    });
  }

  /** Replaces `file` as a whole by `bytes` (write aside, sync, rename); readable and durable when `replaced` arrives. */
  replace(file: string, bytes: Uint8Array, token: string): ReplaceResult {
    if (this.space === 'full' || this.usedBytes() + bytes.byteLength > this.options.capacityBytes) {
      return { kind: 'disk-full' };
    }
    const replacement = { file, bytes: bytes.slice() };
    this.replacing.push(replacement);
    this.later(`replaced ${file} ${token} ${bytes.byteLength}`, () => {
      this.replacing = this.replacing.filter((candidate) => candidate !== replacement);
      this.store(replacement);
      this.complete({ kind: 'replaced', file, token });
    });
    return { kind: 'accepted' };
  }

  /** Cuts `file` to `length` bytes at once and durably, as recovery does with a torn tail. No sync may be in flight. */
  truncate(file: string, length: number): void {
    const target = this.open(file);
    assert(length >= 0 && length <= target.length, `cannot truncate ${file} to ${length}`);
    assert(target.syncsInFlight === 0, `${file} is truncated under a sync`);
    // Cleared, because later appends may leave holes that must read as zeros and not as old bytes.
    target.content.fill(0, length, target.length);
    target.length = length;
    target.durable = Math.min(target.durable, length);
    target.unsynced = target.unsynced
      .filter((entry) => entry.start < length)
      .map((entry) => ({ start: entry.start, end: Math.min(entry.end, length) }));
  }

  /** Deletes `file` at once and durably. */
  remove(file: string): void {
    this.stored.delete(file);
  }

  /** The process died: completions in flight never arrive; without power, what was not synced may vanish or tear. */
  crash(kind: CrashKind): void {
    this.generation += 1;
    this.busyUntilUs = this.world.nowUs;
    for (const replacement of this.replacing) {
      // The rename may have happened just before the end. Later ones cannot have happened without it.
      if (!this.prng.perMille(500)) break;
      this.store(replacement);
    }
    this.replacing = [];
    for (const name of this.files()) {
      const file = this.stored.get(name);
      if (file === undefined) continue;
      file.syncsInFlight = 0;
      if (kind === 'power') this.tear(file);
    }
    this.world.note(`disk ${this.label} after ${kind} crash: ${this.usedBytes()} bytes`);
  }

  /** Everything is gone. Only while the process is down. */
  wipe(): void {
    this.generation += 1;
    this.stored.clear();
    this.replacing = [];
  }

  /** Flips one bit of a durable byte of `file`; false when it has none. */
  rot(file: string): boolean {
    const target = this.stored.get(file);
    if (target === undefined || target.durable === 0) return false;
    const position = this.prng.below(target.durable);
    target.content[position] = (target.content[position] ?? 0) ^ (1 << this.prng.below(8));
    return true;
  }

  /** From now on appends and replacements are refused (or accepted again). */
  setFull(full: boolean): void {
    this.space = full ? 'full' : 'free';
  }

  /** From now on syncs take `factor` times as long. */
  setSlow(factor: number): void {
    assert(Number.isInteger(factor) && factor >= 1, `bad factor ${factor}`);
    this.slowFactor = factor;
  }

  private open(file: string): DiskFile {
    const found = this.stored.get(file);
    if (found !== undefined) return found;
    const created: DiskFile = {
      content: new Uint8Array(0),
      length: 0,
      durable: 0,
      unsynced: [],
      syncsInFlight: 0,
    };
    this.stored.set(file, created);
    return created;
  }

  private store(replacement: { readonly file: string; readonly bytes: Uint8Array }): void {
    const { file, bytes } = replacement;
    this.stored.set(file, {
      content: bytes.slice(),
      length: bytes.byteLength,
      durable: bytes.byteLength,
      unsynced: [],
      syncsInFlight: 0,
    });
  }

  private later(what: string, run: () => void): void {
    const stall = this.prng.perMille(this.options.stallPerMille) ? 100 : 1;
    const takesUs = this.prng.within(this.options.syncUs) * this.slowFactor * stall;
    const { generation } = this;
    this.busyUntilUs = Math.max(this.busyUntilUs, this.world.nowUs + takesUs);
    this.world.at(this.busyUntilUs, `disk ${this.label} ${what}`, () => {
      if (generation === this.generation) run();
    });
  }

  /** Draws what a crash leaves of the unsynced part of one file. */
  private tear(file: DiskFile): void {
    let end = file.durable;
    for (const entry of file.unsynced) {
      // An entry may reach below the durable point after a truncation in between; that part is safe.
      const start = Math.max(entry.start, file.durable);
      const fate = this.prng.pick<'whole' | 'lost' | 'torn'>(['whole', 'lost', 'torn']);
      const kept =
        fate === 'whole' ? entry.end : fate === 'lost' ? start : this.prng.between(start, entry.end);
      file.content.fill(0, kept, entry.end);
      if (kept > start) end = kept;
    }
    // The file system may have recorded a length beyond the last byte that arrived.
    const length = this.prng.perMille(250) ? this.prng.between(end, file.length) : end;
    file.content.fill(0, length, file.length);
    file.length = length;
    file.durable = length;
    file.unsynced = [];
  }
}
