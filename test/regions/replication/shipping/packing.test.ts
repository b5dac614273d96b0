import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { shippingLimits } from '../../../../regions/replication/core/shipping-limits.ts';
import { packed, unpacked, zstd } from '../../../../regions/replication/packing.ts';
import { codecTwin } from '../../../simulation/ports/codec.ts';

const { compressFromBytes, messageBytes } = shippingLimits;

for (const [name, codec] of Object.entries({ 'this machine': zstd, 'the simulator': codecTwin })) {
  test(`on ${name} what is packed unpacks to what it was, and is smaller`, async () => {
    const frames = new Uint8Array(messageBytes).fill(7);
    const { bytes, compressed } = await packed(frames, codec);
    expect(compressed).toBe(true);
    expect(bytes.length).toBeLessThan(frames.length / 10);
    expect(Buffer.from(await unpacked(bytes, codec)).equals(frames)).toBe(true);
  });

  test(`on ${name} what is small, or would not get smaller, travels as it is`, async () => {
    const small = new Uint8Array(compressFromBytes - 1);
    expect(await packed(small, codec)).toEqual({ bytes: small, compressed: false });
    const random = randomBytes(messageBytes);
    expect((await packed(random, codec)).compressed).toBe(false);
  });

  test(`on ${name} bytes that were not packed, and those that would fill the memory, are refused`, async () => {
    await expect(unpacked(randomBytes(100), codec)).rejects.toThrow();
    const bomb = await codec.compress(new Uint8Array(5 * messageBytes));
    await expect(unpacked(bomb, codec)).rejects.toThrow();
  });
}
