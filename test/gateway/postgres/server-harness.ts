/** A front end on a port of its own, and what it writes to its log. */
import type { Socket } from 'node:net';
import { connect } from 'node:net';
import {
  type PostgresServer,
  type PostgresServerOptions,
  startPostgresServer,
} from '../../../gateway/postgres/postgres-server.ts';
import { FrameReader } from '../../../gateway/postgres/protocol/core/frame-reader.ts';
import { BodyReader, type Field, message } from '../../../gateway/postgres/protocol/core/message-bytes.ts';
import type { WireService } from '../../../gateway/postgres/wire-service.ts';
import { messagesIn, type SeenMessage } from './pglite-service.ts';

export interface Harness extends PostgresServer {
  readonly port: number;
  readonly lines: readonly string[];
}

export async function serve(
  service: WireService,
  options: Partial<PostgresServerOptions> = {},
): Promise<Harness> {
  const lines: string[] = [];
  const log = {
    info: (fields: object, text: string): void => void lines.push(`${text} ${JSON.stringify(fields)}`),
    warn: (fields: object, text: string): void => void lines.push(`${text} ${JSON.stringify(fields)}`),
  };
  const server = await startPostgresServer({
    service,
    listen: { host: '127.0.0.1', port: 0 },
    tls: null,
    users: null,
    version: '18.7 (Sextant)',
    log,
    ...options,
  });
  return { ...server, port: server.address.port, lines };
}

/** Fields of an ErrorResponse by their letters. */
export function fieldsOf(body: Uint8Array): Readonly<Record<string, string>> {
  const from = new BodyReader(body);
  const fields: Record<string, string> = {};
  for (let type = from.byte(); type !== 0; type = from.byte())
    fields[String.fromCharCode(type)] = from.text();
  return fields;
}

/** A socket that sends what no driver would, and keeps all that comes. */
export class RawClient {
  readonly socket: Socket;
  #chunks: Buffer[] = [];
  #wake: (() => void) | null = null;
  closed = false;

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1');
    this.socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#wake?.();
    });
    this.socket.on('error', () => undefined);
    this.socket.on('close', () => {
      this.closed = true;
      this.#wake?.();
    });
  }

  get received(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  get messages(): readonly SeenMessage[] {
    return messagesIn(this.received);
  }

  get types(): string {
    return this.messages.map(({ type }) => type).join('');
  }

  send(...parts: readonly Uint8Array[]): void {
    this.socket.write(Buffer.concat(parts));
  }

  /** Waits until what has come looks right, or the connection is over. @throws Error after ten seconds */
  async until(look: (client: RawClient) => boolean): Promise<void> {
    const deadline = Date.now() + 10_000;
    while (!look(this) && !this.closed) {
      if (Date.now() > deadline) throw new Error(`nothing more came after ${JSON.stringify(this.types)}`);
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      const timer = setTimeout(resolve, 200);
      await promise;
      clearTimeout(timer);
    }
  }

  async ended(): Promise<void> {
    await this.until(({ closed }) => closed);
  }

  /** The first error that came, by its letters. */
  get error(): Readonly<Record<string, string>> | null {
    const found = this.messages.find(({ type }) => type === 'E');
    return found === undefined ? null : fieldsOf(found.body);
  }

  /** Throws away what has come. */
  forget(): void {
    this.#chunks = [];
  }
}

/** A packet without a type. */
export function packet(...fields: readonly Field[]): Uint8Array {
  return message('?', ...fields).subarray(1);
}

export function startupPacket(parameters: Readonly<Record<string, string>>, minor = 0): Uint8Array {
  const pairs = Object.entries(parameters).flatMap(([name, value]) => [{ text: name }, { text: value }]);
  return packet({ int32: (3 << 16) | minor }, ...pairs, { byte: 0 });
}

/** A client that has been let in without a password. */
export async function rawClient(
  port: number,
  parameters: Readonly<Record<string, string>> = {},
): Promise<RawClient> {
  const client = new RawClient(port);
  client.send(startupPacket({ user: 'raw', database: 'main', ...parameters }));
  await client.until(({ types }) => types.endsWith('Z'));
  return client;
}

/** Whether bytes are whole messages, so that nothing of another answer got between. */
export function areWhole(bytes: Uint8Array): boolean {
  const reader = new FrameReader();
  reader.push(bytes);
  while (reader.next('messages', 2 ** 30).kind === 'frame');
  return reader.bufferedBytes === 0;
}
