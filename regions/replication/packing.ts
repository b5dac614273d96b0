/** How frames are packed for their way to another region: whole messages, zstd level 1, where it is worth it. */
import { promisify } from 'node:util';
import { constants, zstdCompress, zstdDecompress } from 'node:zlib';
import { shippingLimits } from './core/shipping-limits.ts';

export interface Codec {
  compress(bytes: Uint8Array): Promise<Uint8Array>;
  /** Rejects with an Error for bytes that were not compressed, or are more than `bytesMax` when they are not. */
  decompress(bytes: Uint8Array, bytesMax: number): Promise<Uint8Array>;
}

export interface Packed {
  readonly bytes: Uint8Array;
  readonly compressed: boolean;
}

export const zstdParams = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };
/** More than any shipped message unpacks to. */
const unpackedBytesMax = 4 * shippingLimits.messageBytes;

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

/** On Node's own threads. */
export const zstd: Codec = {
  compress: (bytes) => compress(bytes, zstdParams),
  decompress: (bytes, bytesMax) => decompress(bytes, { maxOutputLength: bytesMax }),
};

/** Compresses what is worth it; a single small commit travels as it is. */
export async function packed(frames: Uint8Array, codec: Codec): Promise<Packed> {
  if (frames.length < shippingLimits.compressFromBytes) return { bytes: frames, compressed: false };
  const bytes = await codec.compress(frames);
  return bytes.length < frames.length ? { bytes, compressed: true } : { bytes: frames, compressed: false };
}

/** Rejects with an Error for bytes that `packed` did not compress. */
export function unpacked(bytes: Uint8Array, codec: Codec): Promise<Uint8Array> {
  return codec.decompress(bytes, unpackedBytesMax);
}
