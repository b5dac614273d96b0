/** Objects as they lie in a store: compressed with zstd, and a CRC-32 of that in the name. */
import { promisify } from 'node:util';
import { constants, crc32, zstdCompress, zstdDecompress } from 'node:zlib';
import { type ObjectStore, StoreError } from './store-types.ts';

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);
const options = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };
/** Above what any object holds, so that a damaged length asks for no memory. */
const bodyBytesMax = 64 * 1024 * 1024;

export interface PackedObject {
  readonly bytes: Uint8Array;
  readonly crc: number;
}

export async function packObject(body: Uint8Array): Promise<PackedObject> {
  const bytes = await compress(body, options);
  return { bytes, crc: crc32(bytes) };
}

/** Reads an object and checks it. @throws StoreError that names the object when it is missing or is not what was written. */
export async function readObject(
  store: ObjectStore,
  { name, crc }: { readonly name: string; readonly crc: number },
): Promise<Uint8Array> {
  const bytes = await store.get(name);
  if (bytes === null) throw new StoreError(`${store.describe}: the object ${name} is missing`);
  if (crc32(bytes) !== crc)
    throw new StoreError(
      `${store.describe}: the object ${name} is damaged: its ${bytes.length} bytes do not match the checksum in its name`,
    );
  try {
    return await decompress(bytes, { maxOutputLength: bodyBytesMax });
  } catch {
    throw new StoreError(`${store.describe}: the object ${name} cannot be decompressed`);
  }
}
