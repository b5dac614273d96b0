/**
 * The gateway's one listening socket: libSQL over HTTP and WebSocket, and whatever else is mounted (status, admin,
 * console, live feed).
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { getRequestListener } from '@hono/node-server';
import { Hono } from 'hono';
import { branchName, isLoopback } from '../../../storage/index.ts';
import type { Authenticator } from '../../access/auth.ts';
import type { CertificateFiles } from '../../access/certificate.ts';
import type { Bound } from '../../access/core/connection-slots.ts';
import { closingAnswer, endWith } from '../../access/last-words.ts';
import { corsHeaders, type OriginRules, originProblem, preflightHeaders } from '../../access/origins.ts';
import type { HttpAnswer, HttpRequest } from '../../direct/exchange.ts';
import { type HranaTarget, hranaTarget, readHeader } from '../../hrana/core/hrana-target.ts';
import { type GatewayLimits, limitsProblem } from '../../hrana/core/protocol-limits.ts';
import { refuseGrpc, refuseHttp2 } from '../../hrana/grpc-refusal.ts';
import { HranaHttp, isHranaPost, sendError } from '../../hrana/hrana-http.ts';
import { hranaRoutes } from '../../hrana/hrana-versions.ts';
import { chooseSubprotocol, HranaWs } from '../../hrana/hrana-ws.ts';
import { SlowReaders } from '../../hrana/slow-readers.ts';
import { bookmarkHeader } from '../../sql/bookmark.ts';
import { encodeErrorBody } from '../../sql/error-body.ts';
import { adviseError, describeError } from '../../sql/errors.ts';
import type { SqlError, SqlOutcome, SqlService } from '../../sql/sql.ts';
import { validTraceparent } from '../../sql/trace-context.ts';
import { type Listener, makeListener } from './listener.ts';

/** The part of a pino logger that is used here. */
export interface ServerLogger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface HttpServerOptions {
  readonly service: SqlService;
  readonly listen: { readonly host: string; readonly port: number };
  readonly auth: Authenticator;
  /** Certificate and key; null or left out: plain text. */
  readonly tls?: CertificateFiles | null;
  /** What `Host` says where clients mean the gateway as it is advertised, such as `db.example`; null or left out: nothing known. */
  readonly ownHost?: string | null;
  /** Origins of web pages that may use it. */
  readonly origins?: readonly string[];
  readonly limits: GatewayLimits;
  readonly logger: ServerLogger;
  /** Shown at `/version`. */
  readonly version: string;
  /** More routes, served for every path that the protocol does not take. They guard themselves. */
  readonly app?: Hono;
  /** Told of requests for other routes that were refused because a foreign page may have sent them. */
  readonly onForeign?: (request: HttpRequest, error: SqlError) => void;
  /** Takes over an upgrade on a path other than `/` and returns true, or returns false. It guards itself. */
  readonly onUpgrade?: (request: IncomingMessage, socket: Duplex, head: Buffer) => boolean;
  /** The caller's W3C trace context; the default reads `traceparent`. */
  readonly traceFromHeaders?: (headers: IncomingMessage['headers']) => string | null;
}

export interface HttpCounts {
  /** Open HTTP streams. */
  readonly httpStreams: number;
  readonly websockets: number;
  /** Requests on WebSockets not yet answered. */
  readonly websocketRequests: number;
  /** Answers that their clients have not taken. */
  readonly answerBytesWaiting: number;
  /** Slow readers ended since the start, because of a limit on those. */
  readonly readersEnded: number;
}

export interface HttpServer {
  /** The port listened on, also when 0 was asked for. */
  readonly port: number;
  counts(): HttpCounts;
  /** Stops taking work, lets what runs finish for up to `shutdownMs`, rolls back and closes everything. */
  close(): Promise<void>;
}

export type StartOutcome =
  | { readonly ok: true; readonly value: HttpServer }
  | { readonly ok: false; readonly message: string };

function headerTrace(headers: IncomingMessage['headers']): string | null {
  const value = headers.traceparent;
  return typeof value === 'string' ? validTraceparent(value) : null;
}

/** Answers an upgrade request that is not taken, with a JSON error, and closes the socket. */
function refuseUpgrade(socket: Duplex, error: SqlError): void {
  const { httpStatus } = describeError(error.code);
  endWith(socket, closingAnswer(`${httpStatus} Refused`, encodeErrorBody(error)));
}

/** What is answered as long as anything is. */
const healthPaths: ReadonlySet<string> = new Set(['/healthz', '/readyz', '/metrics']);
const isAboutHealth = ({ method, url }: HttpRequest): boolean =>
  method === 'GET' && healthPaths.has((url ?? '').split('?')[0] ?? '');

const beyond = (bound: Bound, limits: GatewayLimits): SqlError =>
  adviseError('SEXTANT_LIMIT', `The limit ${bound} = ${limits[bound]} is reached`);

function listenProblem(error: NodeJS.ErrnoException, host: string, port: number): string {
  const address = `${host}:${port}`;
  switch (error.code) {
    case 'EADDRINUSE':
      return `${address} is already in use. Stop the process that listens there, or choose another port with \`listen\` (locally: --base-port).`;
    case 'EACCES':
      return `this user may not listen on ${address}. Choose a port from 1024 upwards with \`listen\`.`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `${address} is not an address of this machine. Correct \`listen\`.`;
    default:
      return `cannot listen on ${address}: ${error.message}`;
  }
}

/**
 * Starts listening. Expected failures (a busy port, limits that do not fit together, a certificate that cannot be used)
 * come back as a message that says what to do. Whether so much may be left open is the configuration's to say.
 */
export async function startHttpServer(options: HttpServerOptions): Promise<StartOutcome> {
  const { auth, limits, listen, logger, onUpgrade } = options;
  const problem = limitsProblem(limits);
  if (problem !== null) return { ok: false, message: problem };
  const traceFromHeaders = options.traceFromHeaders ?? headerTrace;
  const readers = new SlowReaders(limits, logger);
  const rules: OriginRules = {
    open: auth.open,
    loopback: isLoopback(listen.host),
    origins: new Set(options.origins),
  };
  const isBranch = (name: string): boolean => options.service.branchProblem?.(branchName(name)) === null;
  const seats: { listener: Listener | null } = { listener: null };
  const proven = (socket: Duplex): void => seats.listener?.prove(socket);
  const hrana = { service: options.service, auth, limits, readers, traceFromHeaders, proven };
  const http = new HranaHttp(hrana);
  const websockets = new HranaWs(hrana);

  const app = new Hono();
  app.route('/', hranaRoutes(options.version));
  if (options.app !== undefined) app.route('/', options.app);
  app.notFound((context) => {
    const error = adviseError(
      'SEXTANT_NOT_FOUND',
      `There is nothing at ${context.req.method} ${context.req.path}`,
    );
    return new Response(encodeErrorBody(error), {
      status: 404,
      headers: { 'content-type': 'application/json' },
    });
  });
  app.onError((error) => {
    logger.error({ err: error }, 'request failed');
    const body = encodeErrorBody({
      code: 'INTERNAL_ERROR',
      message: 'The gateway failed to answer; its log says why.',
    });
    return new Response(body, { status: 500, headers: { 'content-type': 'application/json' } });
  });
  const listener = getRequestListener(app.fetch, { overrideGlobalObjects: false });

  /** A name of this gateway itself is no branch's, whatever branches there are. */
  const targetOf = ({ url = '/', headers }: HttpRequest): SqlOutcome<HranaTarget> => {
    const host = headers.host === options.ownHost ? undefined : headers.host;
    const [read, mark] = [headers[readHeader], headers[bookmarkHeader]];
    return hranaTarget({ url, read, mark, host }, isBranch);
  };

  let closing = false;
  /** Why a request is not even looked at; null when it is. */
  const refusal = (request: HttpRequest): SqlError | null => {
    if (closing) return adviseError('SEXTANT_SHUTTING_DOWN', 'This gateway is stopping');
    const bound = seats.listener?.boundOf(request.socket) ?? null;
    if (bound !== null && !isAboutHealth(request)) return beyond(bound, limits);
    const foreign = originProblem(request, rules);
    if (foreign !== null) options.onForeign?.(request, foreign);
    return foreign;
  };
  /** What every request has to pass, whoever has read it. @returns null when it is answered. */
  const admit = (request: HttpRequest, response: HttpAnswer): HranaTarget | null => {
    const refuse = (error: SqlError): null => {
      request.resume();
      sendError(response, error);
      return null;
    };
    const refused = refusal(request);
    if (refused !== null) {
      if (refused.code === 'SEXTANT_LIMIT') response.setHeader('connection', 'close');
      return refuse(refused);
    }
    const preflight = preflightHeaders(request, rules);
    if (preflight !== null) {
      response.writeHead(204, preflight);
      response.end();
      return null;
    }
    for (const [name, value] of Object.entries(corsHeaders(request, rules) ?? {}))
      response.setHeader(name, value);
    if (refuseGrpc(request, response)) return null;
    const target = targetOf(request);
    return target.ok ? target.value : refuse(target.error);
  };
  /** Nothing expected rejects: the client is cut loose, and the defect is seen by the process. */
  const whenAnswered = (answered: Promise<void>, response: HttpAnswer): void => {
    answered.catch((error: unknown) => {
      logger.error({ err: error }, 'request failed');
      response.destroy();
      throw error;
    });
  };
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    const target = admit(request, response);
    if (target === null) return;
    if (request.method === 'POST' && isHranaPost(target.path)) {
      whenAnswered(http.handle(request, response, target), response);
      return;
    }
    // The other routes are the same whatever the consistency of reads is.
    if (request.url?.startsWith(target.path) !== true) request.url = target.path;
    void listener(request, response);
  };
  const takeDirect = (request: HttpRequest, response: HttpAnswer, body: Buffer): boolean => {
    const target = admit(request, response);
    if (target === null) return true;
    if (!isHranaPost(target.path)) return false;
    whenAnswered(http.handleWhole(request, response, target, body), response);
    return true;
  };
  const made = makeListener({ tls: options.tls ?? null, limits, logger }, onRequest, takeDirect);
  if (made.kind === 'unusable') {
    await http.close();
    return { ok: false, message: made.reason };
  }
  const { listener: seated } = made;
  const { server } = seated;
  seats.listener = seated;
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => refuseHttp2(error, socket, logger));
  server.on('upgrade', (request, socket, head) => {
    const refused = refusal(request);
    if (refused !== null) return refuseUpgrade(socket, refused);
    const target = targetOf(request);
    if (!target.ok) return refuseUpgrade(socket, target.error);
    const { path } = target.value;
    if (path !== '/') {
      if (onUpgrade?.(request, socket, head) === true) return;
      return refuseUpgrade(socket, adviseError('SEXTANT_NOT_FOUND', `There is no WebSocket at ${path}`));
    }
    const subprotocol = chooseSubprotocol(request.headers['sec-websocket-protocol']);
    if (!subprotocol.ok) return refuseUpgrade(socket, subprotocol.error);
    websockets.upgrade(request, socket, head, target.value);
  });

  const { promise, resolve } = Promise.withResolvers<string | null>();
  server.once('error', (error: NodeJS.ErrnoException) =>
    resolve(listenProblem(error, listen.host, listen.port)),
  );
  server.listen({ host: listen.host, port: listen.port }, () => resolve(null));
  const failed = await promise;
  if (failed !== null) {
    seated.close();
    await http.close();
    return { ok: false, message: failed };
  }
  server.on('error', (error) => logger.error({ err: error }, 'listening socket failed'));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : listen.port;

  let closed: Promise<void> | null = null;
  const shutDown = async () => {
    closing = true;
    const stopped = new Promise<void>((done) => {
      server.close(() => done());
    });
    // Connections fall idle one by one as their last responses leave; node closes them only when asked again.
    seated.closeIdle();
    const sweep = setInterval(() => seated.closeIdle(), 20);
    const timer = setTimeout(() => seated.closeAll(), limits.shutdownMs);
    await websockets.close();
    await stopped;
    clearTimeout(timer);
    clearInterval(sweep);
    await http.close();
    readers.close();
    seated.close();
  };
  return {
    ok: true,
    value: {
      port,
      counts: () => ({
        httpStreams: http.openStreams,
        websockets: websockets.openSockets,
        websocketRequests: websockets.requestsInFlight,
        answerBytesWaiting: readers.waitingBytes,
        readersEnded: readers.ended,
      }),
      close: () => {
        closed ??= shutDown();
        return closed;
      },
    },
  };
}
