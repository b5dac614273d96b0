/** The body of a part of an image set, before compression: `n u32 | page number u32 × n | page × n`, little-endian, ascending. */

const pageBytes = 4096;

export interface PagePart {
  readonly pages: readonly number[];
  readonly images: readonly Uint8Array[];
}

export function encodePart({ pages, images }: PagePart): Uint8Array {
  const bytes = new Uint8Array(4 + pages.length * (4 + pageBytes));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, pages.length, true);
  for (const [at, page] of pages.entries()) view.setUint32(4 + at * 4, page, true);
  for (const [at, image] of images.entries()) bytes.set(image, 4 + pages.length * 4 + at * pageBytes);
  return bytes;
}

/** @returns null for what is no part. */
export function decodePart(bytes: Uint8Array): PagePart | null {
  if (bytes.length < 4) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const count = view.getUint32(0, true);
  if (bytes.length !== 4 + count * (4 + pageBytes)) return null;
  const pages: number[] = [];
  const images: Uint8Array[] = [];
  for (let at = 0, before = 0; at < count; at += 1) {
    const page = view.getUint32(4 + at * 4, true);
    if (page <= before) return null;
    before = page;
    pages.push(page);
    const from = 4 + count * 4 + at * pageBytes;
    images.push(bytes.subarray(from, from + pageBytes));
  }
  return { pages, images };
}
