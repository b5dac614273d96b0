/** A request and its answer as the rest of the gateway knows them, whoever has read the one and writes the other: Node's or this folder's. */
import type { IncomingHttpHeaders } from 'node:http';
import type { Socket } from 'node:net';

export interface HttpRequest {
  readonly method?: string | undefined;
  /** As in the request line. */
  readonly url?: string | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly socket: Socket;
  /** Drops what of the body nobody has read. */
  resume(): unknown;
}

type Heard = 'close' | 'drain';

export interface HttpAnswer {
  readonly headersSent: boolean;
  /** `end` has been called. */
  readonly writableEnded: boolean;
  /** All of it has been handed to the system. */
  readonly writableFinished: boolean;
  /** Bytes that wait for the client to take them. */
  readonly writableLength: number;
  readonly destroyed: boolean;
  setHeader(name: string, value: string): unknown;
  writeHead(status: number, fields: Readonly<Record<string, string | number>>): unknown;
  /** False when it is time to wait for `drain`. */
  write(bytes: Uint8Array): boolean;
  end(body?: string | Uint8Array): unknown;
  /** Cuts the connection. */
  destroy(): unknown;
  /** `close` comes once: when the answer has left, or its connection is lost. */
  on(event: Heard, listener: () => void): unknown;
  once(event: Heard, listener: () => void): unknown;
  off(event: Heard, listener: () => void): unknown;
}
