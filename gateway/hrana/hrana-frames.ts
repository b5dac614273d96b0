/** Messages of a WebSocket in the encoding its client chose. */
import type { RawData } from 'ws';
import type { SqlOutcome } from '../sql/sql.ts';
import { type AnswerText, releaseText, sendable, wholeText } from './core/answer-text.ts';
import type { HranaDecoder, SocketMessage } from './core/hrana-messages.ts';
import { readRequest } from './core/hrana-protobuf-read.ts';
import { writeSocketMessage } from './core/hrana-protobuf-write.ts';
import type { GatewayLimits } from './core/protocol-limits.ts';

export type FrameEncoding = 'json' | 'protobuf';

/** What a client sent. */
export function readFrame(
  data: RawData,
  encoding: FrameEncoding,
  decoder: HranaDecoder,
  limits: GatewayLimits,
): SqlOutcome<SocketMessage> {
  if (encoding === 'json') return decoder.socketMessage(data.toString());
  const bytes = Array.isArray(data) ? Buffer.concat(data) : new Uint8Array(data);
  const request = readRequest('socket', bytes, limits.conditionDepth);
  return request.ok ? decoder.socketMessage(Object(request.value)) : request;
}

/** What is sent to a client. @param json as the encoder writes it; memory of its parts is given back. */
export function writeFrame(json: AnswerText, encoding: FrameEncoding): string | Buffer {
  if (encoding === 'protobuf') return writeSocketMessage(wholeText(json));
  if (typeof json === 'string') return json;
  const frame = Buffer.concat(sendable(json));
  releaseText(json);
  return frame;
}

export function frameBytes(data: RawData): number {
  if (!Array.isArray(data)) return data.byteLength;
  return data.reduce((sum, part) => sum + part.length, 0);
}
