/** SQL values between gateways, in JSON: text and null stand for themselves, every other value says what it is. Pure. */
import type { SqlValue } from '../../sql/sql.ts';
import { decodeBase64, decodeInteger, encodeBase64 } from '../../sql/values.ts';

export type WireValue =
  | null
  | string
  | { readonly i: string }
  | { readonly f: number | string }
  | { readonly b: string };

export function toWire(value: SqlValue): WireValue {
  switch (typeof value) {
    case 'string':
      return value;
    case 'bigint':
      return { i: value.toString() };
    case 'number':
      return {
        f:
          Number.isFinite(value) && !Object.is(value, -0)
            ? value
            : Object.is(value, -0)
              ? '-0'
              : String(value),
      };
    default:
      return value === null ? null : { b: encodeBase64(value) };
  }
}

/** Undefined when it is no value. */
export function fromWire(wire: unknown): SqlValue | undefined {
  if (wire === null || typeof wire === 'string') return wire;
  if (typeof wire !== 'object') return undefined;
  if ('i' in wire) return typeof wire.i === 'string' ? (decodeInteger(wire.i) ?? undefined) : undefined;
  if ('f' in wire)
    return typeof wire.f === 'number' || typeof wire.f === 'string' ? Number(wire.f) : undefined;
  if ('b' in wire) return typeof wire.b === 'string' ? (decodeBase64(wire.b) ?? undefined) : undefined;
  return undefined;
}
