/**
 * Requests of Hrana 3 in Protocol Buffers, as another dress of their JSON: they become what `JSON.parse` would give, and pass
 * the same decoder and the same bounds. So there is one meaning, and only the few clients who ask for it pay for two dresses. Pure.
 */
import { adviseFailure } from '../../sql/errors.ts';
import type { SqlOutcome } from '../../sql/sql.ts';
import { encodeBase64 } from '../../sql/values.ts';
import { ProtobufError, ProtobufReader } from './protobuf.ts';

type Json = Record<string, unknown>;
type Read = (reader: ProtobufReader) => unknown;

/** Fields of one request with all that is inside it. */
const requestFields = 2_000_000;

/** The messages a client sends. */
export type RequestMessage = 'pipeline' | 'cursor' | 'socket';

/** A request as its JSON would be parsed; never throws. @param conditionDepth how deep conditions may nest. */
export function readRequest(
  kind: RequestMessage,
  bytes: Uint8Array,
  conditionDepth: number,
): SqlOutcome<unknown> {
  // Two messages a level, below the six around the outermost condition.
  const depthMax = 2 * conditionDepth + 8;
  try {
    return { ok: true, value: requests[kind](ProtobufReader.of(bytes, requestFields, depthMax)) };
  } catch (error) {
    if (!(error instanceof ProtobufError)) throw error;
    return adviseFailure('SEXTANT_PROTOCOL_ERROR', `The request is not valid protobuf: ${error.message}`);
  }
}

/** A message of plain fields: what each of them is called and how it is read; `start` has what proto3 leaves out. */
function record(start: () => Json, shape: Readonly<Record<number, readonly [string, Read]>>): Read {
  return (reader) => {
    const json = start();
    reader.fields((field) => {
      const known = shape[field];
      if (known === undefined) return;
      const [name, read] = known;
      const value = read(reader);
      const list = json[name];
      if (Array.isArray(list)) list.push(value);
      else json[name] = value;
    });
    return json;
  };
}

/** A message of which one field is set; its last one counts, as protobuf wants it. */
function oneOf(shape: Readonly<Record<number, (reader: ProtobufReader) => Json>>): Read {
  return (reader) => {
    let json: Json | undefined;
    reader.fields((field) => {
      const read = shape[field];
      if (read !== undefined) json = read(reader);
    });
    return json;
  };
}

const string: Read = (reader) => reader.string();
const int32: Read = (reader) => reader.int32();
const uint32: Read = (reader) => reader.uint32();
const bool: Read = (reader) => reader.bool();
const inside =
  (read: Read): Read =>
  (reader) =>
    reader.message(read);
const nothing = record(() => ({}), {});

/** A request in a field of a `oneof`, under its JSON `type`. */
function typed(type: string, read: Read): (reader: ProtobufReader) => Json {
  return (reader) => ({ ...Object(reader.message(read)), type });
}

const value = oneOf({
  1: typed('null', nothing),
  2: (reader) => ({ type: 'integer', value: String(reader.sint64()) }),
  3: (reader) => ({ type: 'float', value: reader.double() }),
  4: (reader) => ({ type: 'text', value: reader.string() }),
  5: (reader) => ({ type: 'blob', base64: encodeBase64(reader.blob()) }),
});

const namedArg = record(() => ({ name: '' }), { 1: ['name', string], 2: ['value', inside(value)] });

const statement = record(() => ({ args: [], named_args: [] }), {
  1: ['sql', string],
  2: ['sql_id', int32],
  3: ['args', inside(value)],
  4: ['named_args', inside(namedArg)],
  5: ['want_rows', bool],
});

const conditions: Read = record(() => ({ conds: [] }), {
  1: ['conds', (reader) => reader.message(condition)],
});

const condition: Read = oneOf({
  1: (reader) => ({ type: 'ok', step: reader.uint32() }),
  2: (reader) => ({ type: 'error', step: reader.uint32() }),
  3: (reader) => ({ type: 'not', cond: reader.message(condition) }),
  4: typed('and', conditions),
  5: typed('or', conditions),
  6: typed('is_autocommit', nothing),
});

const step = record(() => ({}), { 1: ['condition', inside(condition)], 2: ['stmt', inside(statement)] });
const batch = record(() => ({ steps: [] }), { 1: ['steps', inside(step)] });

const pipelineRequest = oneOf({
  1: typed('close', nothing),
  2: typed(
    'execute',
    record(() => ({}), { 1: ['stmt', inside(statement)] }),
  ),
  3: typed(
    'batch',
    record(() => ({}), { 1: ['batch', inside(batch)] }),
  ),
  4: typed(
    'sequence',
    record(() => ({}), { 1: ['sql', string], 2: ['sql_id', int32] }),
  ),
  5: typed(
    'describe',
    record(() => ({}), { 1: ['sql', string], 2: ['sql_id', int32] }),
  ),
  6: typed(
    'store_sql',
    record(() => ({ sql_id: 0, sql: '' }), { 1: ['sql_id', int32], 2: ['sql', string] }),
  ),
  7: typed(
    'close_sql',
    record(() => ({ sql_id: 0 }), { 1: ['sql_id', int32] }),
  ),
  8: typed('get_autocommit', nothing),
});

const onStream = () => ({ stream_id: 0 });
const streamId = ['stream_id', int32] as const;
const onlyStream = record(onStream, { 1: streamId });
const onCursor = () => ({ cursor_id: 0 });
const textOnStream = record(onStream, { 1: streamId, 2: ['sql', string], 3: ['sql_id', int32] });

/** The fields of a request on a WebSocket, beside its id, which is field 1. */
const socketRequests: Readonly<Record<number, (reader: ProtobufReader) => Json>> = {
  2: typed('open_stream', onlyStream),
  3: typed('close_stream', onlyStream),
  4: typed('execute', record(onStream, { 1: streamId, 2: ['stmt', inside(statement)] })),
  5: typed('batch', record(onStream, { 1: streamId, 2: ['batch', inside(batch)] })),
  6: typed(
    'open_cursor',
    record(() => ({ ...onStream(), ...onCursor() }), {
      1: streamId,
      2: ['cursor_id', int32],
      3: ['batch', inside(batch)],
    }),
  ),
  7: typed('close_cursor', record(onCursor, { 1: ['cursor_id', int32] })),
  8: typed(
    'fetch_cursor',
    record(() => ({ ...onCursor(), max_count: 0 }), { 1: ['cursor_id', int32], 2: ['max_count', uint32] }),
  ),
  9: typed('sequence', textOnStream),
  10: typed('describe', textOnStream),
  11: typed(
    'store_sql',
    record(() => ({ sql_id: 0, sql: '' }), { 1: ['sql_id', int32], 2: ['sql', string] }),
  ),
  12: typed(
    'close_sql',
    record(() => ({ sql_id: 0 }), { 1: ['sql_id', int32] }),
  ),
  13: typed('get_autocommit', onlyStream),
};

const socketRequest: Read = (reader) => {
  const message: Json = { request_id: 0 };
  reader.fields((field) => {
    if (field === 1) message.request_id = reader.int32();
    else if (socketRequests[field] !== undefined) message.request = socketRequests[field](reader);
  });
  return message;
};

const requests: Readonly<Record<RequestMessage, Read>> = {
  pipeline: record(() => ({ requests: [] }), {
    1: ['baton', string],
    2: ['requests', inside(pipelineRequest)],
  }),
  cursor: record(() => ({}), { 1: ['baton', string], 2: ['batch', inside(batch)] }),
  socket: oneOf({
    1: typed(
      'hello',
      record(() => ({}), { 1: ['jwt', string] }),
    ),
    2: typed('request', socketRequest),
  }),
};
