/** OTLP requests as Protocol Buffers, read into the JSON form of the same request: what the tests' collector understands. */

type Field = { readonly field: number; readonly value: bigint | Uint8Array };

/** The fields of one message. @throws Error when the bytes are no message. */
function fieldsOf(bytes: Uint8Array): readonly Field[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: Field[] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = view.getUint8(at++);
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const field = tag >> 3;
    if ((tag & 7) === 0) found.push({ field, value: varint() });
    else if ((tag & 7) === 1) {
      found.push({ field, value: view.getBigUint64(at, true) });
      at += 8;
    } else if ((tag & 7) === 5) {
      found.push({ field, value: BigInt(view.getUint32(at, true)) });
      at += 4;
    } else if ((tag & 7) === 2) {
      const length = Number(varint());
      if (length > bytes.length - at) throw new Error(`field ${field} is cut off`);
      found.push({ field, value: bytes.subarray(at, at + length) });
      at += length;
    } else throw new Error(`field ${field} has the wire type ${tag & 7}`);
  }
  return found;
}

function all(fields: readonly Field[], wanted: number): readonly Uint8Array[] {
  return fields.flatMap(({ field, value }) => (field === wanted && typeof value !== 'bigint' ? [value] : []));
}

const bytesOf = (fields: readonly Field[], wanted: number): Uint8Array | undefined =>
  all(fields, wanted).at(-1);
const text = (fields: readonly Field[], wanted: number): string =>
  Buffer.from(bytesOf(fields, wanted) ?? []).toString();
const hex = (fields: readonly Field[], wanted: number): string =>
  Buffer.from(bytesOf(fields, wanted) ?? []).toString('hex');
const integer = (fields: readonly Field[], wanted: number): bigint => {
  const value = fields.findLast(({ field }) => field === wanted)?.value;
  return typeof value === 'bigint' ? value : 0n;
};

function anyValue(bytes: Uint8Array): Record<string, unknown> {
  const fields = fieldsOf(bytes);
  const [first] = fields;
  if (first === undefined) return {};
  const { field, value } = first;
  if (field === 1) return { stringValue: text(fields, 1) };
  if (field === 2) return { boolValue: value !== 0n };
  if (field === 3) return { intValue: Number(integer(fields, 3)) };
  if (field === 4) {
    const double = new DataView(new ArrayBuffer(8));
    double.setBigUint64(0, integer(fields, 4));
    return { doubleValue: double.getFloat64(0) };
  }
  if (field === 5)
    return { arrayValue: { values: all(fieldsOf(bytesOf(fields, 5) ?? new Uint8Array()), 1).map(anyValue) } };
  throw new Error(`an attribute is of the unknown kind ${field}`);
}

const attributes = (fields: readonly Field[], wanted: number) =>
  all(fields, wanted).map((bytes) => {
    const own = fieldsOf(bytes);
    return { key: text(own, 1), value: anyValue(bytesOf(own, 2) ?? new Uint8Array()) };
  });

function span(bytes: Uint8Array) {
  const fields = fieldsOf(bytes);
  const parent = hex(fields, 4);
  const status = bytesOf(fields, 15);
  const told = status === undefined ? null : fieldsOf(status);
  return {
    traceId: hex(fields, 1),
    spanId: hex(fields, 2),
    ...(parent !== '' && { parentSpanId: parent }),
    name: text(fields, 5),
    kind: Number(integer(fields, 6)),
    startTimeUnixNano: String(integer(fields, 7)),
    endTimeUnixNano: String(integer(fields, 8)),
    attributes: attributes(fields, 9),
    flags: Number(integer(fields, 16)),
    ...(told !== null && { status: { code: Number(integer(told, 3)), message: text(told, 2) } }),
  };
}

/** `ExportTraceServiceRequest` in the form its JSON has. @throws Error when the bytes are none. */
export function requestOf(bytes: Uint8Array): unknown {
  return {
    resourceSpans: all(fieldsOf(bytes), 1).map((one) => {
      const fields = fieldsOf(one);
      return {
        resource: { attributes: attributes(fieldsOf(bytesOf(fields, 1) ?? new Uint8Array()), 1) },
        scopeSpans: all(fields, 2).map((scope) => ({ spans: all(fieldsOf(scope), 2).map(span) })),
      };
    }),
  };
}
