/** A protocol server over the SQL twin, and raw requests to it. */
import { afterEach } from 'vitest';
import { WebSocket } from 'ws';
import { type Authenticator, type AuthOptions, createAuthenticator } from '../../../gateway/access/auth.ts';
import { KeyRing, parsePublicKey } from '../../../gateway/access/keys.ts';
import { defaultLimits, type GatewayLimits } from '../../../gateway/hrana/core/protocol-limits.ts';
import {
  type HttpServer,
  type HttpServerOptions,
  startHttpServer,
} from '../../../gateway/process/http/http-server.ts';
import { createSqlTwin, type SqlTwin } from '../sql/sql-twin.ts';

export interface Harness {
  readonly twin: SqlTwin;
  readonly server: HttpServer;
  readonly http: string;
  readonly ws: string;
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Answer>;
}

export interface Answer {
  readonly status: number;
  readonly contentType: string | null;
  /** The parsed body; of a cursor, the array of its parsed lines. */
  readonly json: unknown;
}

const open: Harness[] = [];

afterEach(async () => {
  for (const harness of open.splice(0)) {
    await harness.server.close();
    harness.twin.close();
  }
});

/** Checks tokens by one key, also tokens that never expire; null is open. */
export function authenticator(
  jwtPublicKey: string | null,
  options: Partial<Omit<AuthOptions, 'keys'>> = {},
): Authenticator {
  if (jwtPublicKey === null) return createAuthenticator({ keys: null });
  const key = parsePublicKey(jwtPublicKey);
  if (key === null) throw new Error('no public key');
  return createAuthenticator({
    keys: new KeyRing([key]),
    ...options,
    rules: { expiry: 'optional', ...options.rules },
  });
}

export interface HarnessOptions
  extends Partial<
    Pick<HttpServerOptions, 'auth' | 'app' | 'onUpgrade' | 'onForeign' | 'logger' | 'tls' | 'origins'>
  > {
  readonly limits?: Partial<GatewayLimits>;
}

/** Starts a gateway on a free port; it is stopped after the test. */
export async function startHarness(options: HarnessOptions = {}): Promise<Harness> {
  const { limits, auth, ...rest } = options;
  const twin = createSqlTwin();
  const started = await startHttpServer({
    service: twin.service,
    listen: { host: '127.0.0.1', port: 0 },
    auth: auth ?? authenticator(null),
    limits: { ...defaultLimits, shutdownMs: 500, ...limits },
    logger: { info: () => {}, warn: () => {}, error: (fields) => console.error(fields) },
    version: '0.0.0-test',
    ...rest,
  });
  if (!started.ok) throw new Error(started.message);
  const http = `${rest.tls == null ? 'http' : 'https'}://127.0.0.1:${started.value.port}`;
  const harness: Harness = {
    twin,
    server: started.value,
    http,
    ws: http.replace('http', 'ws'),
    post: async (path, body, headers = {}) => {
      const response = await fetch(http + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: typeof body === 'string' ? body : JSON.stringify(body),
      });
      const text = await response.text();
      return {
        status: response.status,
        contentType: response.headers.get('content-type'),
        json:
          path.endsWith('cursor') && response.ok
            ? text
                .trim()
                .split('\n')
                .map((line) => JSON.parse(line))
            : JSON.parse(text),
      };
    },
  };
  open.push(harness);
  return harness;
}

/** An `execute` request. */
export function execute(sql: string, args: unknown[] = []) {
  return { type: 'execute', stmt: { sql, args, want_rows: true } };
}

/** What a test needs of a pipeline's answer. */
export function pipelineOf(answer: Answer): {
  readonly baton: string | null;
  readonly results: readonly unknown[];
} {
  const { baton, results } = Object(answer.json) as { baton: string | null; results: unknown[] };
  return { baton, results };
}

/** A raw WebSocket: messages in order, and how it closed. */
export class RawSocket {
  readonly #ws: WebSocket;
  readonly #messages: unknown[] = [];
  readonly #waiters: ((message: unknown) => void)[] = [];
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;

  private constructor(ws: WebSocket) {
    this.#ws = ws;
    ws.on('error', () => {});
    ws.on('message', (data) => {
      const message: unknown = JSON.parse(data.toString());
      const waiter = this.#waiters.shift();
      if (waiter === undefined) this.#messages.push(message);
      else waiter(message);
    });
    this.closed = new Promise((resolve) => {
      ws.on('close', (code, reason) => resolve({ code, reason: reason.toString() }));
    });
  }

  static async open(url: string, protocols: string[] = ['hrana3']): Promise<RawSocket> {
    const ws = new WebSocket(url, protocols);
    const socket = new RawSocket(ws);
    await new Promise((resolve, reject) => ws.once('open', resolve).once('error', reject));
    return socket;
  }

  /** Opens and says hello. */
  static async greeted(url: string, jwt?: string): Promise<RawSocket> {
    const socket = await RawSocket.open(url);
    socket.send({ type: 'hello', jwt });
    await socket.next();
    return socket;
  }

  get protocol(): string {
    return this.#ws.protocol;
  }

  get ws(): WebSocket {
    return this.#ws;
  }

  send(message: unknown): void {
    this.#ws.send(typeof message === 'string' ? message : JSON.stringify(message));
  }

  ask(requestId: number, request: object): void {
    this.send({ type: 'request', request_id: requestId, request });
  }

  next(): Promise<unknown> {
    const message = this.#messages.shift();
    return message === undefined
      ? new Promise((resolve) => this.#waiters.push(resolve))
      : Promise.resolve(message);
  }

  /** The next `count` messages. */
  async take(count: number): Promise<unknown[]> {
    const messages: unknown[] = [];
    for (let i = 0; i < count; i++) messages.push(await this.next());
    return messages;
  }
}
