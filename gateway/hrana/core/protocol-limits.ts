/** Every bound of the gateway's protocol layer, with its unit in its name, and how the bounds relate. */
import assert from 'node:assert';
import { gatewayStop } from '../../../regions/core.ts';
import { defaultSlotLimits, type SlotLimits } from '../../access/core/connection-slots.ts';
import { defaultTokenLimits, type TokenLimits } from '../../access/core/token-limits.ts';

/** `connections` counts HTTP and WebSocket together. */
export interface GatewayLimits extends TokenLimits, SlotLimits {
  /** Open HTTP streams (batons). At the bound the longest idle stream without a transaction is closed first. */
  readonly httpStreams: number;
  /** Streams open at once on one WebSocket. */
  readonly websocketStreamsPerConnection: number;
  /** An HTTP stream unused for this long is closed and its transaction rolled back. */
  readonly streamIdleMs: number;
  /** For this long afterwards its baton is answered with the reason instead of "unknown". */
  readonly streamTombstoneMs: number;
  /** Closed streams remembered at most. */
  readonly streamTombstones: number;
  /** Body of one HTTP request. */
  readonly bodyBytes: number;
  /** Bodies of all HTTP requests being read or run. */
  readonly bodyBytesInFlight: number;
  /** One WebSocket message. */
  readonly websocketMessageBytes: number;
  /** Requests in one HTTP pipeline. */
  readonly pipelineRequests: number;
  /** Steps in one batch. */
  readonly batchSteps: number;
  /** Positional or named arguments of one statement; SQLite itself takes 32766. */
  readonly statementArgs: number;
  /** Nesting of one batch condition. */
  readonly conditionDepth: number;
  /** SQL texts stored by one HTTP stream. */
  readonly storedSqlPerHttpStream: number;
  /** SQL texts stored by one WebSocket. */
  readonly storedSqlPerWebsocket: number;
  /** One stored SQL text, in UTF-8. */
  readonly storedSqlBytes: number;
  /** One HTTP pipeline response, or one WebSocket message to a client. */
  readonly responseBytes: number;
  /** Cursor entries are sent in pieces of about this size. */
  readonly cursorChunkBytes: number;
  /** Requests received and not yet answered on one WebSocket; at the bound its socket is not read. */
  readonly requestsInFlightPerConnection: number;
  /** Size of those requests; at the bound the socket is not read. */
  readonly requestBytesInFlightPerConnection: number;
  /** Answers not yet taken by the peer of one WebSocket; at the bound its socket is not read. */
  readonly bufferedBytesPerConnection: number;
  /** Answers of all clients that their sockets have not taken; at the bound the slowest readers are ended. */
  readonly answerBytesWaiting: number;
  /** The same of one client, which is one address. */
  readonly answerBytesWaitingPerClient: number;
  /** A WebSocket whose peer answers no ping for twice this long is cut. */
  readonly websocketPingMs: number;
  /** Reading one HTTP request, headers and body; and a client that takes nothing of a large answer for so long is cut. */
  readonly requestReadMs: number;
  /** A connection that has sent no whole request header by then, or on a WebSocket no hello, is closed. */
  readonly firstRequestMs: number;
  /** An HTTP connection without a further request is closed after this long. */
  readonly keepAliveMs: number;
  /** How long `close` waits for work in flight before it cuts the sockets; for clients of every protocol (`gatewayStop`). */
  readonly shutdownMs: number;
}

const mebibyte = 1024 * 1024;

export const defaultLimits: GatewayLimits = {
  ...defaultSlotLimits,
  httpStreams: 4_096,
  websocketStreamsPerConnection: 1_024,
  streamIdleMs: 60_000,
  streamTombstoneMs: 300_000,
  streamTombstones: 10_000,
  bodyBytes: 32 * mebibyte,
  bodyBytesInFlight: 512 * mebibyte,
  websocketMessageBytes: 32 * mebibyte,
  pipelineRequests: 10_000,
  batchSteps: 10_000,
  statementArgs: 32_766,
  conditionDepth: 64,
  storedSqlPerHttpStream: 64,
  storedSqlPerWebsocket: 256,
  storedSqlBytes: 32 * 1024,
  responseBytes: 64 * mebibyte,
  cursorChunkBytes: 256 * 1024,
  requestsInFlightPerConnection: 4_096,
  requestBytesInFlightPerConnection: 64 * mebibyte,
  bufferedBytesPerConnection: 16 * mebibyte,
  answerBytesWaiting: 512 * mebibyte,
  answerBytesWaitingPerClient: 256 * mebibyte,
  websocketPingMs: 30_000,
  requestReadMs: 120_000,
  firstRequestMs: 10_000,
  keepAliveMs: 65_000,
  shutdownMs: gatewayStop.clientsMs,
  ...defaultTokenLimits,
};

/**
 * What is wrong with a set of limits, in one sentence, or null. The smallest values accepted are those below
 * which stock clients fail (they store 30 texts per stream, 100 per connection, of up to 5000 UTF-16 units).
 */
export function limitsProblem(limits: GatewayLimits): string | null {
  for (const [name, value] of Object.entries(limits)) {
    if (!Number.isSafeInteger(value) || value < 1)
      return `limit ${name} must be a positive integer, is ${value}`;
  }
  const relations: readonly (readonly [boolean, string])[] = [
    [limits.storedSqlPerHttpStream >= 30, 'storedSqlPerHttpStream must be at least 30'],
    [limits.storedSqlPerWebsocket >= 100, 'storedSqlPerWebsocket must be at least 100'],
    [limits.storedSqlBytes >= 20_000, 'storedSqlBytes must be at least 20000'],
    [limits.storedSqlBytes <= limits.bodyBytes, 'storedSqlBytes must not exceed bodyBytes'],
    [
      limits.storedSqlBytes <= limits.websocketMessageBytes,
      'storedSqlBytes must not exceed websocketMessageBytes',
    ],
    [limits.bodyBytes <= limits.bodyBytesInFlight, 'bodyBytes must not exceed bodyBytesInFlight'],
    [
      limits.websocketMessageBytes <= limits.requestBytesInFlightPerConnection,
      'websocketMessageBytes must not exceed requestBytesInFlightPerConnection',
    ],
    [limits.cursorChunkBytes <= limits.responseBytes, 'cursorChunkBytes must not exceed responseBytes'],
    [limits.responseBytes <= 256 * mebibyte, 'responseBytes must not exceed 256 MiB'],
    [
      limits.responseBytes <= limits.answerBytesWaitingPerClient,
      'responseBytes must not exceed answerBytesWaitingPerClient',
    ],
    [
      limits.answerBytesWaitingPerClient <= limits.answerBytesWaiting,
      'answerBytesWaitingPerClient must not exceed answerBytesWaiting',
    ],
    [limits.conditionDepth <= 1_000, 'conditionDepth must not exceed 1000'],
    // Each stream may have its three opening requests (open, execute, close) in flight without stopping the socket.
    [
      limits.requestsInFlightPerConnection >= 3 * limits.websocketStreamsPerConnection,
      'requestsInFlightPerConnection must be at least three times websocketStreamsPerConnection',
    ],
    [limits.streamTombstoneMs >= limits.streamIdleMs, 'streamTombstoneMs must not be below streamIdleMs'],
  ];
  return relations.find(([holds]) => !holds)?.[1] ?? null;
}

assert.equal(limitsProblem(defaultLimits), null, 'the default limits fit together');
