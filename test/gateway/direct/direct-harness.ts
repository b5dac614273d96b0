/** Raw conversations with a gateway, and how many of their requests Node's parser has seen. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { connect, type Socket } from 'node:net';
import { afterEach } from 'vitest';

const sockets: Socket[] = [];
const channel = 'http.server.request.start';
let seenByNode = 0;
const count = (): void => {
  seenByNode += 1;
};
subscribe(channel, count);
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

/** Requests of this process's servers that Node's parser has read since it was asked last. */
export function readByNode(): number {
  const seen = seenByNode;
  seenByNode = 0;
  return seen;
}

export const stopCounting = (): boolean => unsubscribe(channel, count);

export const postOf = (
  body: string | Buffer,
  headers: Readonly<Record<string, string>> = {},
  path = '/v2/pipeline',
): Buffer => {
  const given = { host: '127.0.0.1', 'content-type': 'application/json', ...headers };
  const lines = Object.entries(given).map(([name, value]) => `${name}: ${value}\r\n`);
  const bytes = Buffer.from(body);
  return Buffer.concat([
    Buffer.from(`POST ${path} HTTP/1.1\r\n${lines.join('')}content-length: ${bytes.length}\r\n\r\n`),
    bytes,
  ]);
};

/** One connection of a client that is no library. */
export class RawClient {
  readonly socket: Socket;
  /** When the gateway has closed it. */
  readonly closed: Promise<void>;
  private text = '';
  private wake: () => void = () => undefined;
  private isOver = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      this.text += chunk.toString('latin1');
      this.wake();
    });
    this.closed = new Promise((resolve) =>
      socket.on('close', () => {
        this.isOver = true;
        this.wake();
        resolve();
      }),
    );
  }

  static open(port: number): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true }, () => {
        socket.off('error', reject);
        resolve(new RawClient(socket));
      });
      socket.once('error', reject);
    });
  }

  send(bytes: Buffer | string): void {
    this.socket.write(bytes);
  }

  /** In pieces that arrive apart. */
  async sendApart(...pieces: readonly (Buffer | string)[]): Promise<void> {
    for (const piece of pieces) {
      this.send(piece);
      await pause(20);
    }
  }

  /** The next whole answer, head and body; what there is when the connection ends before. */
  async answer(): Promise<string> {
    for (;;) {
      const end = this.wholeAnswer();
      if (end > 0 || this.isOver) {
        const answer = end > 0 ? this.text.slice(0, end) : this.text;
        this.text = this.text.slice(answer.length);
        return answer;
      }
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  private wholeAnswer(): number {
    const headEnd = this.text.indexOf('\r\n\r\n');
    const length = /^content-length: (\d+)\r$/im.exec(this.text.slice(0, headEnd + 2))?.[1];
    const end = headEnd < 0 || length === undefined ? 0 : headEnd + 4 + Number(length);
    return this.text.length >= end ? end : 0;
  }
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
