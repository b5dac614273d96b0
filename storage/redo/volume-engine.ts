/** Which engine keeps its database in a volume, by the first bytes of page 1. */

export type VolumeEngine = 'sqlite' | 'postgres';

const text = new TextEncoder();
/** The first 16 bytes of page 1 of a volume that PostgreSQL keeps its files in. */
export const postgresMagic: Uint8Array = text.encode('Sextant PG files');
const sqliteMagic = text.encode('SQLite format 3\0');

const beginsWith = (bytes: Uint8Array, magic: Uint8Array): boolean =>
  magic.every((byte, at) => bytes[at] === byte);

/** @param page1 null when the volume has no pages yet. @returns null when nobody's magic is there. */
export function engineOf(page1: Uint8Array | null): VolumeEngine | 'empty' | null {
  if (page1 === null) return 'empty';
  if (beginsWith(page1, postgresMagic)) return 'postgres';
  return beginsWith(page1, sqliteMagic) ? 'sqlite' : null;
}

/** Continues "the volume …" for people. */
export function describeEngine(engine: VolumeEngine | 'empty' | null): string {
  switch (engine) {
    case 'sqlite':
      return 'holds an SQLite database';
    case 'postgres':
      return 'holds a PostgreSQL database';
    case 'empty':
      return 'is empty';
    default:
      return 'holds neither an SQLite nor a PostgreSQL database';
  }
}
