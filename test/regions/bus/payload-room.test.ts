import { describe, expect, it } from 'vitest';
import {
  bodyBytesFor,
  maxPayloadBytesMin,
  payloadLimits,
  payloadProblem,
} from '../../../regions/bus/core/payload-room.ts';
import { frameHeaderBytes } from '../../../storage/redo/frame.ts';
import { redoLimits } from '../../../storage/redo/limits.ts';

const MiB = 1024 * 1024;

describe('what fits a message of a NATS server', () => {
  it('leaves room for what says what the message carries, and takes a page whatever the server says', () => {
    const rows = [1, 100_000, maxPayloadBytesMin, MiB, 8 * MiB].map(bodyBytesFor);
    const { pageBytes } = redoLimits;
    expect(rows).toEqual([pageBytes, 34_464, maxPayloadBytesMin - 65_536, MiB - 65_536, 8 * MiB - 65_536]);
  });

  it('bounds nothing while no server has said how much it takes', () => {
    expect(bodyBytesFor(0)).toBeGreaterThan(1e15);
    expect(payloadProblem(0)).toBeNull();
  });

  it('the least that a server must take carries the largest frame', () => {
    expect(payloadLimits.frameHeaderBytes).toBe(frameHeaderBytes);
    expect(bodyBytesFor(maxPayloadBytesMin)).toBe(redoLimits.framePayloadBytesMax + frameHeaderBytes);
    expect(payloadProblem(maxPayloadBytesMin)).toBeNull();
  });

  it('a server that takes less is named with what it takes, what is needed and the way out', () => {
    const problem = payloadProblem(maxPayloadBytesMin - 1);
    expect(problem).toContain('takes messages of at most 327715 bytes');
    expect(problem).toContain('set its max_payload to 327716 or more');
  });
});
