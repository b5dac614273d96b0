/**
 * The requests nearly all messages are, executes and batches of plain statements, decoded without the schemas: those
 * cost a fifth of all memory the gateway allocates for a statement. What is taken here is exactly what the schemas would
 * give; whatever is unusual, or wrong, is left to them and to their messages.
 */

import type { SqlValue } from '../../sql/sql.ts';
import { decodeBase64, decodeInteger } from '../../sql/values.ts';
import type {
  Pipeline,
  PipelineRequest,
  SocketRequest,
  StreamRequest,
  WireStatement,
  WireStep,
} from './hrana-messages.ts';
import type { GatewayLimits } from './protocol-limits.ts';

type Wire = Readonly<Record<string, unknown>>;

const noNames: WireStatement['namedArgs'] = [];

function isWire(value: unknown): value is Wire {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The id and the request of a message; null when the schemas have to look at it. */
export function plainMessage(
  wire: unknown,
): { readonly requestId: number; readonly request: unknown } | null {
  if (!isWire(wire) || wire.type !== 'request') return null;
  const { request_id: requestId, request } = wire;
  return isId(requestId) && request !== undefined ? { requestId, request } : null;
}

/** A request on a stream of a WebSocket; null when the schemas have to look at it. */
export function plainSocketRequest(wire: unknown, limits: GatewayLimits): SocketRequest | null {
  if (!isWire(wire) || !isId(wire.stream_id)) return null;
  const request = plainStreamRequest(wire, limits);
  return request === null ? null : { kind: 'stream', streamId: wire.stream_id, request };
}

/** The body of an HTTP pipeline; null when the schemas have to look at it. */
export function plainPipeline(wire: unknown, limits: GatewayLimits): Pipeline | null {
  if (!isWire(wire)) return null;
  const { baton = null, requests } = wire;
  if (baton !== null && typeof baton !== 'string') return null;
  if (!Array.isArray(requests) || requests.length > limits.pipelineRequests) return null;
  const plain: PipelineRequest[] = [];
  for (const request of requests) {
    if (!isWire(request)) return null;
    const found = request.type === 'close' ? closing : plainStreamRequest(request, limits);
    if (found === null) return null;
    plain.push(found);
  }
  return { baton, requests: plain };
}

const closing: PipelineRequest = { kind: 'close' };

function plainStreamRequest(wire: Wire, limits: GatewayLimits): StreamRequest | null {
  if (wire.type === 'execute') {
    const statement = plainStatement(wire.stmt, limits);
    return statement === null ? null : { kind: 'execute', statement };
  }
  if (wire.type !== 'batch' || !isWire(wire.batch)) return null;
  const steps = plainSteps(wire.batch.steps, limits);
  return steps === null ? null : { kind: 'batch', steps };
}

function plainSteps(wire: unknown, limits: GatewayLimits): readonly WireStep[] | null {
  if (!Array.isArray(wire) || wire.length > limits.batchSteps) return null;
  const steps: WireStep[] = [];
  for (const step of wire) {
    if (!isWire(step)) return null;
    const condition = plainCondition(step.condition);
    const statement = plainStatement(step.stmt, limits);
    if (condition === undefined || statement === null) return null;
    steps.push({ condition, statement });
  }
  return steps;
}

/** No condition, or the one clients put on every step: that the one before succeeded. */
function plainCondition(wire: unknown): WireStep['condition'] | undefined {
  if (wire === undefined || wire === null) return null;
  if (!isWire(wire) || wire.type !== 'ok' || !isId(wire.step) || wire.step < 0) return undefined;
  return { kind: 'ok', step: wire.step };
}

function plainStatement(wire: unknown, limits: GatewayLimits): WireStatement | null {
  if (!isWire(wire)) return null;
  const { sql, sql_id: sqlId, named_args: namedArgs, want_rows: wantRows = true } = wire;
  if (typeof wantRows !== 'boolean') return null;
  if (namedArgs !== undefined && !(Array.isArray(namedArgs) && namedArgs.length === 0)) return null;
  const args = plainArgs(wire.args, limits);
  if (args === null) return null;
  if (typeof sql === 'string' && sqlId === undefined)
    return { text: { kind: 'text', sql }, args, namedArgs: noNames, wantRows };
  if (isId(sqlId) && sql === undefined)
    return { text: { kind: 'stored', sqlId }, args, namedArgs: noNames, wantRows };
  return null;
}

function plainArgs(wire: unknown, limits: GatewayLimits): readonly SqlValue[] | null {
  if (wire === undefined) return [];
  if (!Array.isArray(wire) || wire.length > limits.statementArgs) return null;
  const values: SqlValue[] = [];
  for (const given of wire) {
    const value = plainValue(given);
    if (value === undefined) return null;
    values.push(value);
  }
  return values;
}

function plainValue(wire: unknown): SqlValue | undefined {
  if (!isWire(wire)) return undefined;
  const { type, value } = wire;
  switch (type) {
    case 'null':
      return null;
    case 'integer':
      return typeof value === 'string' ? (decodeInteger(value) ?? undefined) : undefined;
    case 'float':
      return typeof value === 'number' ? value : undefined;
    case 'text':
      return typeof value === 'string' ? value : undefined;
    case 'blob':
      return typeof wire.base64 === 'string' ? (decodeBase64(wire.base64) ?? undefined) : undefined;
    default:
      return undefined;
  }
}

function isId(value: unknown): value is number {
  return Number.isSafeInteger(value);
}
