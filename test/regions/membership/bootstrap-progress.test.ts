import { expect, test } from 'vitest';
import { BootstrapWatch } from '../../../regions/membership/core/bootstrap-progress.ts';

const sight = { vdl: null, primaryVdl: 1_000, ready: false, reasons: ['not yet'] } as const;

test('a region that has said nothing yet has received nothing, at no known rate', () => {
  const watch = new BootstrapWatch();
  expect(watch.look({ ...sight, primaryVdl: null }, 0)).toEqual({
    receivedBytes: 0,
    totalBytes: null,
    bytesPerSecond: null,
    remainingMs: null,
    ready: false,
    stuck: null,
  });
});

test('rate is that of the last ten seconds, and time left is told once it has run steadily for three', () => {
  const watch = new BootstrapWatch();
  watch.look({ ...sight, vdl: 0 }, 0);
  const early = watch.look({ ...sight, vdl: 100 }, 1_000);
  expect(early).toMatchObject({ bytesPerSecond: 100, remainingMs: null });
  const steady = watch.look({ ...sight, vdl: 300 }, 3_000);
  expect(steady).toMatchObject({ bytesPerSecond: 100, remainingMs: 7_000 });
  watch.look({ ...sight, vdl: 300 }, 12_000);
  const later = watch.look({ ...sight, vdl: 800 }, 17_000);
  expect(later).toMatchObject({ bytesPerSecond: 100, remainingMs: 2_000 });
});

test('what stands still has no time left to tell, and says why after ten seconds', () => {
  const watch = new BootstrapWatch();
  watch.look({ ...sight, vdl: 50 }, 0);
  expect(watch.look({ ...sight, vdl: 50 }, 9_999)).toMatchObject({ remainingMs: null, stuck: null });
  expect(watch.look({ ...sight, vdl: 50 }, 10_000)).toMatchObject({ stuck: 'not yet' });
  expect(watch.look({ ...sight, vdl: 60 }, 10_500)).toMatchObject({ stuck: null });
});

test('a region that joins anew keeps what it had, and one that is level has nothing left', () => {
  const watch = new BootstrapWatch();
  watch.look({ ...sight, vdl: 400 }, 0);
  expect(watch.look(sight, 500)).toMatchObject({ receivedBytes: 400 });
  expect(watch.look({ ...sight, vdl: 1_000, ready: true, reasons: [] }, 1_000)).toMatchObject({
    remainingMs: 0,
    ready: true,
    stuck: null,
  });
});
