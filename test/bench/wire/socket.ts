/** One TCP connection as lean as Node.js has it: bytes come in one reused buffer, text goes out as Latin-1. */
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Params, Workload } from '../load/workload.ts';

/** `error` is null when every statement of the transaction succeeded. */
export type Done = (error: string | null) => void;

/** Room for one transaction in flight. */
export interface Lane {
  run(params: Params, done: Done): void;
}

/** One connection to a system under test. */
export interface Wire {
  readonly lanes: readonly Lane[];
  /** For setting up and checking. @returns the first value of the first row as text; null when there is none. @throws Error */
  query(sql: string): Promise<string | null>;
  close(): void;
}

/** Where a server listens. */
export interface Address {
  readonly host: string;
  readonly port: number;
  /** The authority (PEM) of the server's certificate, where the connection is to be encrypted. */
  readonly ca?: string;
}

export interface WireOptions extends Address {
  /** Null: for `query` only. */
  readonly workload: Workload | null;
  readonly streams: number;
}

export type Connect = (options: WireOptions) => Promise<Wire>;

const receiveBytes = 64 * 1024;
const connectMs = 10_000;

export interface Line {
  /** Each character is a byte. */
  write(latin1: string): void;
  close(): void;
}

/** Takes the message that begins at `start`. @returns its length, or 0 when it is not there in full yet. */
export type TakeMessage = (bytes: Buffer, start: number, end: number) => number;

/** @param onClosed runs once when the connection ends, unless `close` was called before. */
export function dial(
  { host, port, ca }: Address,
  take: TakeMessage,
  onClosed: (reason: string) => void,
): Promise<Line> {
  return new Promise((resolve, reject) => {
    let rest: Buffer | null = null;
    let over = false;
    const receive = (size: number, buffer: Uint8Array): boolean => {
      const chunk = Buffer.from(buffer.buffer, buffer.byteOffset, size);
      const bytes = rest === null ? chunk : Buffer.concat([rest, chunk]);
      let at = 0;
      while (at < bytes.length) {
        const length = take(bytes, at, bytes.length);
        if (length === 0) break;
        at += length;
      }
      rest = at === bytes.length ? null : Buffer.from(bytes.subarray(at));
      return true;
    };
    const buffer = new Uint8Array(receiveBytes);
    const socket: Socket =
      ca === undefined
        ? connect({ host, port, noDelay: true, onread: { buffer, callback: receive } })
        : connectTls({ host, port, ca }).setNoDelay();
    // Node.js reads into a buffer of the caller's for plain connections only.
    if (ca !== undefined) socket.on('data', (chunk: Buffer) => receive(chunk.length, chunk));
    const end = (reason: string): void => {
      if (over) return;
      over = true;
      socket.destroy();
      reject(new Error(reason));
      onClosed(reason);
    };
    socket.setTimeout(connectMs, () => {
      if (socket.connecting) end(`no connection to port ${port} within ${connectMs} ms`);
    });
    socket.once('error', (error) => end(error.message));
    socket.once('close', () => end('the server closed the connection'));
    socket.once(ca === undefined ? 'connect' : 'secureConnect', () => {
      resolve({
        write: (latin1) => void socket.write(latin1, 'latin1'),
        close: () => {
          over = true;
          socket.destroy();
        },
      });
    });
  });
}

/** Big-endian, each byte a character. */
export const u16 = (value: number): string => String.fromCharCode((value >>> 8) & 255, value & 255);
export const u32 = (value: number): string => u16(value >>> 16) + u16(value & 0xffff);

/** Remembers who waits for the next answer of a connection; everyone is told when it ends. */
export class Waiting<T> {
  private waiter: ((answer: T | Error) => void) | null = null;
  private ended: Error | null = null;

  expect(waiter: (answer: T | Error) => void): void {
    if (this.waiter !== null) throw new Error('a connection has one answer outstanding at a time');
    if (this.ended !== null) waiter(this.ended);
    else this.waiter = waiter;
  }

  answer(answer: T | Error): void {
    const { waiter } = this;
    this.waiter = null;
    waiter?.(answer);
  }

  end(reason: string): void {
    this.ended = new Error(reason);
    this.answer(this.ended);
  }

  /** The next answer as a promise. */
  next(): Promise<T> {
    return new Promise((resolve, reject) => {
      this.expect((answer) => (answer instanceof Error ? reject(answer) : resolve(answer)));
    });
  }
}
