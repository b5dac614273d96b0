/** Values of PostgreSQL in its own text form, as JSON has them. Pure. */

/** Types by their object ids, which are the same in every database. */
const oid = {
  bool: 16,
  bytea: 17,
  int8: 20,
  int2: 21,
  int4: 23,
  json: 114,
  float4: 700,
  float8: 701,
  jsonb: 3802,
};
const integers: readonly number[] = [oid.int2, oid.int4, oid.int8];
const floats: readonly number[] = [oid.float4, oid.float8];
const documents: readonly number[] = [oid.json, oid.jsonb];

/**
 * @param text as the server sends it; null for NULL. @param typeId of its column.
 * @returns numbers where JSON has the same number, and booleans; bytes as base64; documents as they are; all else as its text.
 */
export function jsonValueOf(text: string | null, typeId: number): unknown {
  if (text === null) return null;
  if (typeId === oid.bool) return text === 't';
  if (integers.includes(typeId)) return Number.isSafeInteger(Number(text)) ? Number(text) : text;
  if (floats.includes(typeId)) return Number.isFinite(Number(text)) ? Number(text) : text;
  if (typeId === oid.bytea && text.startsWith('\\x'))
    return Buffer.from(text.slice(2), 'hex').toString('base64');
  if (documents.includes(typeId)) return JSON.parse(text);
  return text;
}
