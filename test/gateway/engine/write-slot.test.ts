import { describe, expect, test } from 'vitest';
import { WriteSlot } from '../../../gateway/engine/core/write-slot.ts';

const limits = { queueTimeoutMs: 100, idleTimeoutMs: 50, ageTimeoutMs: 5_000, queueMax: 3 };

describe('the write slot', () => {
  test('grants owners in the order in which they asked', () => {
    const slot = new WriteSlot(limits);
    expect(slot.request(1, 0)).toBe('granted');
    expect(slot.request(2, 1)).toBe('queued');
    expect(slot.request(3, 2)).toBe('queued');
    expect(slot.request(1, 3)).toBe('granted');
    expect(slot.release(1, 4)).toBe(2);
    expect(slot.holds(2)).toBe(true);
    expect(slot.release(2, 5)).toBe(3);
    expect(slot.release(3, 6)).toBe(null);
    expect(slot.request(9, 7)).toBe('granted');
  });

  test('refuses more than queueMax waiters', () => {
    const slot = new WriteSlot(limits);
    for (const owner of [1, 2, 3, 4]) slot.request(owner, 0);
    expect(slot.request(5, 0)).toBe('full');
  });

  test('gives up a waiter after the queue timeout and says how old the holder is', () => {
    const slot = new WriteSlot(limits);
    slot.request(1, 0);
    slot.request(2, 20);
    expect(slot.nextDeadline()).toBe(120);
    expect(slot.expire(119)).toEqual({ timedOut: [], evict: null });
    expect(slot.expire(120)).toEqual({ timedOut: [{ owner: 2, holderAgeMs: 120 }], evict: null });
    expect(slot.release(1, 130)).toBe(null);
  });

  test('counts a wait from where it began', () => {
    const slot = new WriteSlot(limits);
    slot.request(1, 50);
    slot.request(2, 60, 10);
    expect(slot.nextDeadline()).toBe(110);
    expect(slot.expire(110).timedOut).toEqual([{ owner: 2, holderAgeMs: 60 }]);
  });

  test('evicts a holder that idles while another waits, never one that runs or is alone', () => {
    const slot = new WriteSlot(limits);
    slot.request(1, 0);
    slot.idle(1, 10);
    expect(slot.expire(1_000).evict).toBe(null);
    slot.request(2, 1_000);
    expect(slot.expire(1_001).evict).toEqual({ owner: 1, why: 'idle' });
    slot.busy(1);
    expect(slot.expire(1_002).evict).toBe(null);
    slot.idle(1, 1_010);
    expect(slot.nextDeadline()).toBe(1_060);
    expect(slot.expire(1_060).evict).toEqual({ owner: 1, why: 'idle' });
  });

  test('evicts a holder that has grown old between two of its statements, however busy, while another waits', () => {
    const slot = new WriteSlot({ ...limits, queueTimeoutMs: 10_000 });
    slot.request(1, 0);
    for (let now = 40; now <= 5_000; now += 40) {
      slot.idle(1, now);
      expect(slot.expire(now + 39).evict).toBe(null);
      slot.busy(1);
    }
    slot.request(2, 5_001);
    expect(slot.expire(5_001).evict).toBe(null);
    slot.idle(1, 5_002);
    expect(slot.nextDeadline()).toBe(5_000);
    expect(slot.expire(5_002).evict).toEqual({ owner: 1, why: 'age' });
  });

  test('grants no one while blocked, and the first in the queue afterwards', () => {
    const slot = new WriteSlot(limits);
    slot.setBlocked(true, 0);
    expect(slot.request(1, 0)).toBe('queued');
    expect(slot.expire(100).timedOut).toEqual([{ owner: 1, holderAgeMs: null }]);
    slot.request(2, 100);
    slot.request(3, 100);
    expect(slot.setBlocked(false, 110)).toBe(2);
    slot.cancel(3);
    expect(slot.release(2, 120)).toBe(null);
  });
});
