/**
 * Watches the disk under a NATS server. JetStream that met a full disk stores nothing any more, also when there is space
 * again, until the server is started again; some versions say so in their log, others fall silent. So both are looked at: the
 * space that is left, and what the server logs.
 */
import { closeSync, existsSync, fstatSync, openSync, readSync, statfsSync } from 'node:fs';

/** One look: bytes that are free where the server stores, and its last complaint about the disk since the look before. */
export type StoreLook = { readonly freeBytes: number | undefined; readonly complaint: string | undefined };

/** Less than this is full: a server stores in blocks, and keeps files of its own beside them. */
const fullBytes = 1024 * 1024;
/** So much has to be free before a restart is worth it. */
const roomBytes = 2 * fullBytes;
const backoffMinMs = 5_000;
const backoffMaxMs = 60_000;
/** So long without trouble, and the next trouble is a new one. */
const calmMs = 600_000;

/** Decides from looks when a server has to be started again. Times are monotonic milliseconds. */
export class StoreJudge {
  private reason: string | null = null;
  private lastRestartMs = Number.NEGATIVE_INFINITY;
  private backoffMs = backoffMinMs;

  /** What is wrong with the server's disk, in words; null while nothing is. */
  get trouble(): string | null {
    return this.reason;
  }

  /** @returns whether the server has to be started again now: it met a full disk, and there is space. */
  judge({ freeBytes, complaint }: StoreLook, nowMs: number): boolean {
    const isFull = freeBytes !== undefined && freeBytes < fullBytes;
    if (isFull)
      this.reason = `its disk is full (${freeBytes} bytes left): JetStream stores nothing; make space`;
    else if (complaint !== undefined) this.reason = `JetStream cannot store: ${complaint}`;
    const hasRoom = freeBytes === undefined || freeBytes >= roomBytes;
    if (this.reason === null || !hasRoom || nowMs < this.lastRestartMs + this.backoffMs) return false;
    const isCalm = nowMs - this.lastRestartMs > calmMs;
    this.backoffMs = isCalm ? backoffMinMs : Math.min(backoffMaxMs, 2 * this.backoffMs);
    this.lastRestartMs = nowMs;
    this.reason = null;
    return true;
  }
}

const complaintPattern =
  /no space left on device|disk quota exceeded|JetStream out of (?:resources|space)|critical write error/i;
const readBytesMax = 64 * 1024;
const complaintMax = 160;

/** Looks at the store in `storeDir` and at what is appended to `logFile` from the first look on. */
export class StoreWatch {
  private readonly storeDir: string;
  private readonly logFile: string;
  private readBytes: number | undefined;

  constructor(storeDir: string, logFile: string) {
    this.storeDir = storeDir;
    this.logFile = logFile;
  }

  /** Undefined for a server that stores nothing. */
  look(): StoreLook | undefined {
    if (!existsSync(this.storeDir)) return undefined;
    return { freeBytes: this.freeBytes(), complaint: this.complaint() };
  }

  private freeBytes(): number | undefined {
    try {
      const { bsize, bavail, bfree } = statfsSync(this.storeDir);
      return bsize * (process.getuid?.() === 0 ? bfree : bavail);
    } catch {
      return undefined;
    }
  }

  private complaint(): string | undefined {
    const lines = this.newLog().split('\n');
    const line = lines.findLast((text) => complaintPattern.test(text));
    return line?.replace(/^\[\d+\] [\d/]+ [\d:.]+ /, '').slice(0, complaintMax);
  }

  private newLog(): string {
    let fd: number | undefined;
    try {
      fd = openSync(this.logFile, 'r');
      const { size } = fstatSync(fd);
      const before = this.readBytes ?? size;
      this.readBytes = size;
      // A log that was set aside begins anew.
      const from = Math.max(before > size ? 0 : before, size - readBytesMax);
      const bytes = Buffer.alloc(size - from);
      readSync(fd, bytes, 0, bytes.length, from);
      return bytes.toString('utf8');
    } catch {
      return '';
    } finally {
      if (fd !== undefined) closeSync(fd);
    }
  }
}
