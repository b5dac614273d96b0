/** The production compression at once, on the thread of the simulation: how long it takes must not depend on the machine. */
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { type Codec, zstdParams } from '../../../regions/replication/packing.ts';

export const codecTwin: Codec = {
  compress: async (bytes) => zstdCompressSync(bytes, zstdParams),
  decompress: async (bytes, bytesMax) => zstdDecompressSync(bytes, { maxOutputLength: bytesMax }),
};
