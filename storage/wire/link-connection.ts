/**
 * One open WebSocket between two processes, the same at both ends: sends without copying, notices a peer that is dead
 * or frozen, and bounds what waits for a peer that does not read.
 */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { WebSocket } from 'ws';
import { every } from '../process/clock.ts';
import { messageFrame } from './core/message-frame.ts';
import type { LinkBounds, LinkClose } from './link-protocol.ts';

export interface LinkHandlers {
  /**
   * A message. The bytes never change and may be kept, but they may be a view of a 64 KiB receive buffer that stays
   * alive with them: copy a small part that is kept for long. Never called after `onClose`.
   */
  onMessage(bytes: Uint8Array): void;
  /** Runs once, after the last message, never inside a call into the link. */
  onClose(reason: LinkClose): void;
}

/** How long a closing handshake may take before the socket is simply destroyed. */
const closeMs = 500;

/** Longer messages are not copied behind their header. */
const wholeBytesMax = 2_048;

export class LinkConnection {
  private readonly socket: WebSocket;
  private readonly stream: Socket;
  private readonly masks: boolean;
  private readonly bounds: LinkBounds;
  private readonly stopListening: () => void;
  private closing: LinkClose | undefined;
  private corked: 'no' | 'yes' = 'no';
  private bytesSeen: number;
  private silences = 0;
  private listened = 0;

  /** Takes over an open socket; `stream` is the TCP connection below it, and `end` says who opened it. */
  constructor(
    socket: WebSocket,
    stream: Socket,
    end: 'client' | 'server',
    bounds: LinkBounds,
    handlers: LinkHandlers,
  ) {
    this.socket = socket;
    this.masks = end === 'client';
    this.stream = stream;
    this.bounds = bounds;
    this.bytesSeen = stream.bytesRead;
    this.stopListening = every(bounds.pingMs, () => this.listen());
    socket.on('message', (data, isBinary) => {
      if (this.closing !== undefined) return;
      if (isBinary && data instanceof Uint8Array) handlers.onMessage(data);
      else this.fail({ kind: 'protocol-error', message: 'the peer sent a text message' });
    });
    socket.on('error', (error) => {
      const isProtocol = 'code' in error && String(error.code).startsWith('WS_ERR_');
      this.closing ??= { kind: isProtocol ? 'protocol-error' : 'socket-error', message: error.message };
    });
    socket.on('close', (code, reason) => {
      this.stopListening();
      const message = `the peer closed the link: ${code} ${reason.toString()}`.trimEnd();
      handlers.onClose(this.closing ?? { kind: 'closed-by-peer', message });
    });
  }

  get isOpen(): boolean {
    return this.closing === undefined && this.socket.readyState === WebSocket.OPEN;
  }

  /** Bytes sent that the operating system has not taken yet. */
  get bufferedBytes(): number {
    return this.socket.bufferedAmount;
  }

  /** Whether the link has stood for at least one interval. */
  get isSettled(): boolean {
    return this.listened > 0;
  }

  /**
   * Sends a message; what is sent in one turn of the event loop leaves in one system call. The bytes must never change
   * afterwards: long messages are not copied. @returns whether the message was taken, which is no promise that it arrives: false
   * when the link is not open, or when the peer has left so much unread that the link is closed now.
   */
  send(bytes: Uint8Array): boolean {
    if (bytes.length > this.bounds.messageBytesMax) assert.fail(`a message of ${bytes.length} bytes`);
    if (!this.isOpen) return false;
    const waiting = this.bufferedBytes + bytes.length;
    if (waiting > this.bounds.bufferedBytesMax) {
      const message = `${waiting} bytes wait for a peer that does not read, the bound is ${this.bounds.bufferedBytesMax}`;
      this.fail({ kind: 'back-pressure', message });
      return false;
    }
    if (this.corked === 'no') {
      this.corked = 'yes';
      this.stream.cork();
      process.nextTick(() => {
        this.corked = 'no';
        this.stream.uncork();
      });
    }
    // A short one leaves as one piece, past `ws`, which would hand its header and its bytes to the stream one by one. Nothing of
    // this link waits inside `ws`, since it compresses nothing, so the order stays.
    if (bytes.length <= wholeBytesMax) this.stream.write(messageFrame(bytes, this.masks), ignoreSendError);
    else this.socket.send(bytes, binary, ignoreSendError);
    return true;
  }

  /** Closes after what was sent has left, or after half a second. */
  close(): void {
    if (this.closing !== undefined) return;
    this.closing = { kind: 'closed-here', message: 'closed by this process' };
    this.socket.close(1000);
    const deadline = setTimeout(() => this.socket.terminate(), closeMs);
    this.socket.once('close', () => clearTimeout(deadline));
  }

  private fail(reason: LinkClose): void {
    if (this.closing !== undefined) return;
    this.closing = reason;
    this.socket.terminate();
  }

  /**
   * Counts intervals, not time: when this process itself was frozen it finds one timer due and the peer's bytes waiting,
   * so it does not blame the peer. Any byte counts, so a long message on a slow link is a sign of life too, and so are
   * the peer's own pings: of two idle ends one asks, about once in two intervals.
   */
  private listen(): void {
    const bytesNow = this.stream.bytesRead;
    const silent = bytesNow === this.bytesSeen;
    this.silences = silent ? this.silences + 1 : 0;
    this.bytesSeen = bytesNow;
    this.listened += 1;
    if (this.silences >= this.bounds.silencesMax) {
      const message = `nothing came from the peer for ${this.silences * this.bounds.pingMs} ms`;
      this.fail({ kind: 'peer-silent', message });
    } else if (silent && this.isOpen) this.socket.ping(nothing, undefined, ignoreSendError);
  }
}

const binary = { binary: true, compress: false };
const nothing = Buffer.alloc(0);

/** A failed send also closes the socket, which is where it is dealt with. */
const ignoreSendError = (): void => undefined;
