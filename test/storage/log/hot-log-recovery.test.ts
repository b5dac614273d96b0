import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { buffers, directory, firstFile, frame, header, open, persist, scan } from './hot-log-bench.ts';
import { MemoryDisk } from './hot-log-memory-disk.ts';

describe('recovery', () => {
  const frames = [frame(0, 30), frame(30, 300), frame(330, 50)];
  const lengths = frames.map(({ length }) => length);
  const whole = Buffer.concat(frames);
  const lastStart = whole.length - (lengths[2] ?? 0);

  it('cuts a torn last frame away, wherever it was torn, and appends behind what is left', async () => {
    for (let cut = lastStart; cut < whole.length; cut += 1) {
      const { log, found, recovery, disk } = await scan(whole.subarray(0, cut));
      expect(buffers(found)).toEqual(frames.slice(0, 2).map((bytes) => Buffer.from(bytes)));
      expect(recovery.damage).toEqual([]);
      if (cut === lastStart) expect(recovery.tornTail).toBeUndefined();
      else {
        // Zeros at the end look like space that is not used yet, and go with the rest.
        let used = cut;
        while (whole[used - 1] === 0) used -= 1;
        expect(recovery.tornTail).toMatchObject({ file: 1, offset: lastStart, length: used - lastStart });
      }
      expect(disk.contents(firstFile).length).toBe(lastStart);
      expect(await persist(log, [frame(330, 7)])).toEqual([
        { file: 1, offset: lastStart, length: 7 + header },
      ]);
    }
  });

  it('reports rot between frames, keeps the bytes, and finds the frames behind it', async () => {
    const rotten = Buffer.from(whole);
    const at = (lengths[0] ?? 0) + 100;
    rotten.writeUInt8(rotten.readUInt8(at) ^ 1, at);
    const { found, recovery, disk } = await scan(rotten);
    expect(found.map(({ position }) => position.offset)).toEqual([0, lastStart]);
    expect(recovery.damage).toEqual([
      { file: 1, offset: lengths[0], length: lengths[1], reason: 'frame checksum mismatch' },
    ]);
    expect(recovery.tornTail).toBeUndefined();
    expect(disk.contents(firstFile)).toEqual(rotten);
  });

  it('finds the next frame also when the length of the rotten one cannot be believed', async () => {
    for (const wrongLength of [0, 1, 5, 299, 301, 200_000, 0xffff_ffff]) {
      const rotten = Buffer.from(whole);
      rotten.writeUInt32LE(wrongLength, (lengths[0] ?? 0) + 4);
      const { found, recovery } = await scan(rotten);
      expect(found.map(({ position }) => position.offset)).toEqual([0, lastStart]);
      expect(recovery.damagedBytes).toBe(lengths[1]);
    }
  });

  it('does not take a frame that a client stored inside a payload for one of its own', async () => {
    const forged = frame(7777, 40);
    const carrier = frame(30, Buffer.concat([Buffer.alloc(10, 1), forged, forged, Buffer.alloc(10, 1)]));
    const rotten = Buffer.concat([frame(0, 30), carrier, frame(400, 50)]);
    const carrierStart = 30 + header;
    rotten.writeUInt8(2, carrierStart + header);
    const afterRot = await scan(rotten);
    expect(afterRot.found.map(({ position }) => position.offset)).toEqual([0, carrierStart + carrier.length]);
    for (let cut = 1; cut < carrier.length; cut += 1) {
      const torn = await scan(Buffer.concat([frame(0, 30), carrier.subarray(0, cut)]));
      // Cut exactly behind the stored frame nothing can tell the two apart; anywhere else the doubtful bytes stay out.
      const ambiguous = cut === header + 10 + forged.length || cut === header + 10 + 2 * forged.length;
      if (!ambiguous) expect(torn.found).toHaveLength(1);
    }
  });

  it('keeps a doubtful or overlong tail and goes on in a new file', async () => {
    const overlong = Buffer.concat([frame(0, 30), Buffer.alloc(2 * 1024 * 1024, 7)]);
    const { log, recovery, disk } = await scan(overlong, { batchBytesMax: 1024 * 1024 });
    expect(recovery).toMatchObject({ damagedBytes: 2 * 1024 * 1024, frames: 1 });
    expect(recovery.tornTail).toBeUndefined();
    expect((await persist(log, [frame(30, 1)]))[0]?.file).toBe(2);
    expect(disk.contents(firstFile)).toEqual(overlong);
  });

  it('reads around a sector the disk refuses, and does not cut a tail it could not read', async () => {
    const many = Array.from({ length: 60 }, (_, index) => frame(index * 1000, 1000));
    const bytes = Buffer.concat(many);
    const disk = new MemoryDisk();
    disk.put(firstFile, bytes);
    disk.badRanges.push({ path: firstFile, from: 20_500, to: 20_501 });
    const middle = await open(disk);
    expect(middle.found.length).toBeGreaterThanOrEqual(54);
    expect(middle.recovery.damage).toHaveLength(1);
    expect(middle.recovery.damage[0]?.reason).toContain('EIO');
    disk.badRanges.splice(0, 1, { path: firstFile, from: bytes.length - 1, to: bytes.length });
    const end = await open(disk);
    expect(end.recovery.tornTail).toBeUndefined();
    expect(end.recovery.damage).toHaveLength(1);
    expect(disk.contents(firstFile)).toEqual(bytes);
  });

  it('treats a broken end of any file but the last as damage', async () => {
    const disk = new MemoryDisk();
    disk.put(firstFile, whole.subarray(0, whole.length - 1));
    disk.put(`${directory}/0000000003.log`, frame(1000, 10));
    disk.put(`${directory}/notes.txt`, Buffer.from('not a log file'));
    const { found, recovery, log } = await open(disk);
    expect(found.map(({ position }) => position.file)).toEqual([1, 1, 3]);
    expect(recovery.damage).toMatchObject([{ file: 1, offset: lastStart, length: (lengths[2] ?? 0) - 1 }]);
    expect(disk.contents(firstFile).length).toBe(whole.length - 1);
    expect(await persist(log, [frame(1010, 1)])).toEqual([
      { file: 3, offset: 10 + header, length: 1 + header },
    ]);
  });

  it('streams a file larger than its window, rot and all', async () => {
    const many = Array.from({ length: 40 }, (_, index) => frame(index * 200_000, 200_000));
    const bytes = Buffer.concat(many);
    const at = 20 * (200_000 + header);
    bytes.fill(0, at, at + 500_000);
    const { found, recovery } = await scan(bytes);
    expect(found.map(({ position }) => position.offset / (200_000 + header))).toEqual(
      Array.from({ length: 40 }, (_, index) => index).filter((index) => index < 20 || index > 22),
    );
    expect(recovery.damagedBytes).toBe(3 * (200_000 + header));
  });

  it('keeps every frame before a cut or a flipped bit, and invents none', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 200 }), { minLength: 1, maxLength: 15 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        fc.nat(7),
        async (payloads, cutAt, flipAt, bit) => {
          const written = payloads.map((payload, index) => Buffer.from(frame(index * 1000, payload)));
          const starts = written.map((_, index) =>
            written.slice(0, index).reduce((sum, { length }) => sum + length, 0),
          );
          const all = Buffer.concat(written);
          const cut = Math.floor(all.length * cutAt);
          const flip = Math.floor(cut * flipAt);
          const bytes = Buffer.from(all.subarray(0, cut));
          if (cut > 0) bytes.writeUInt8(bytes.readUInt8(flip) ^ (1 << bit), flip);
          const { found, log, disk } = await scan(bytes);
          const intact = written.filter(
            (frameBytes, index) => (starts[index] ?? 0) + frameBytes.length <= flip,
          );
          expect(buffers(found).slice(0, intact.length)).toEqual(intact);
          for (const { position, bytes: foundBytes } of found) {
            expect(foundBytes).toEqual(written[starts.indexOf(position.offset)]);
          }
          const next = Buffer.from(frame(999_000, 33));
          await persist(log, [next]);
          expect(buffers((await open(disk)).found)).toEqual([...buffers(found), next]);
        },
      ),
      { numRuns: 300 },
    );
  });
});
