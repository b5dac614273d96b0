import { expect, test } from 'vitest';
import { EngineTrouble } from '../../../gateway/engine/core/engine-trouble.ts';

const failed = { kind: 'notStarted', reason: 'no page' } as const;
const started = { kind: 'started', why: 'fault', tookMs: 1 } as const;

test('an engine that cannot start is in trouble until a start works', () => {
  const trouble = new EngineTrouble();
  expect(trouble.reason(0)).toBeNull();
  trouble.heard('writer', failed, 1_000);
  expect(trouble.reason(2_000)).toBe('the PostgreSQL engine that writes cannot start: no page');
  trouble.heard('reader', started, 2_000);
  expect(trouble.reason(2_000)).not.toBeNull();
  trouble.heard('writer', started, 3_000);
  expect(trouble.reason(3_000)).toBeNull();
});

test('a start that nobody has tried again for ten seconds counts no more', () => {
  const trouble = new EngineTrouble();
  trouble.heard('reader', failed, 1_000);
  expect(trouble.reason(10_999)).toContain('engine that reads');
  expect(trouble.reason(11_000)).toBeNull();
});
