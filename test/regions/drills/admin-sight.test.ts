import { describe, expect, it } from 'vitest';
import { AdminSight, type Ask } from '../../../regions/drills/run/admin-sight.ts';
import { remoteSchema, remoteTarget } from '../../../regions/drills/run/remote-target.ts';

const address = (region: string) => ({
  region,
  gateway: `http://${region}`,
  agent: `http://${region}-agent`,
  token: null,
  headers: { authorization: region },
});
const addresses = ['a', 'b', 'c'].map(address);
type Answer = Awaited<ReturnType<Ask>>;
const away: Answer = { kind: 'unreachable', message: 'does not answer (connect ECONNREFUSED)' };
const slow: Answer = { kind: 'unreachable', message: 'does not answer (timed out)' };
const ok = (body: unknown): Answer => ({ kind: 'ok', body });
const operation = { id: 'b.1', kind: 'switchover', target: 'b', from: 'a', state: 'running', phases: [] };

/** A sight whose addresses answer what `answers` has for them, and what they were asked. */
function sight(answers: (base: string, path: string) => Answer) {
  const asked: string[] = [];
  const admin = new AdminSight(addresses, async (base, path) => {
    asked.push(`${base}${path}`);
    return answers(base, path);
  });
  return { admin, asked };
}

describe('a drill asks', () => {
  it('the gateway of the target to begin a move, and another one only when that cannot have been reached', async () => {
    const first = sight(() => ok(operation));
    expect(await first.admin.begin('switchover', 'b')).toMatchObject({
      kind: 'begun',
      operation: { id: 'b.1' },
    });
    expect(first.asked).toEqual(['http://b/v1/switchover']);
    const second = sight((base) => (base === 'http://b' ? away : ok(operation)));
    expect(await second.admin.begin('failover', 'b')).toMatchObject({ kind: 'begun' });
    expect(second.asked).toEqual(['http://b/v1/failover', 'http://a/v1/failover']);
    const third = sight(() => slow);
    expect(await third.admin.begin('failover', 'b')).toEqual({
      kind: 'unheard',
      message: slow.kind === 'unreachable' ? slow.message : '',
    });
    expect(third.asked).toHaveLength(1);
    const fourth = sight(() => ({ kind: 'refused', status: 409, code: 'TARGET_BEHIND', message: 'no' }));
    expect(await fourth.admin.begin('failover', 'b')).toEqual({
      kind: 'refused',
      code: 'TARGET_BEHIND',
      message: 'no',
    });
  });

  it('the gateways of whole regions first, and takes the first answer that it can read', async () => {
    const status = { cluster: 'x', epoch: 1, primary: 'a', state: 'stable', regions: [] };
    const { admin, asked } = sight((base) => (base === 'http://b' ? ok({ what: 'else' }) : ok(status)));
    expect(await admin.status('a')).toMatchObject({ cluster: 'x' });
    expect(asked).toEqual(['http://b/v1/status', 'http://c/v1/status']);
  });

  it('each address whether it answers, and calls a region dumb after three times without any', async () => {
    const dead = new Set(['http://a', 'http://a-agent', 'http://b']);
    const { admin } = sight((base) => (dead.has(base) ? slow : ok('ok')));
    expect(await admin.dumb()).toEqual([]);
    expect(await admin.dumb()).toEqual([]);
    expect(await admin.dumb()).toEqual(['a']);
    dead.clear();
    expect(await admin.dumb()).toEqual([]);
  });

  it('whether a policy fails over, which a deployment that knows of none does not', async () => {
    const none = sight(() => ({ kind: 'refused', status: 404, code: 'SEXTANT_NOT_FOUND', message: 'no' }));
    expect(await none.admin.failsOverByItself()).toBe(false);
    const off = sight(() => ok({ automatic: false, rpoMs: null }));
    expect(await off.admin.failsOverByItself()).toBe(false);
    const on = sight(() => ok({ automatic: true }));
    expect(await on.admin.failsOverByItself()).toBe(true);
  });

  it('for every loss report, and has no answer while one is missing', async () => {
    const summary = {
      v: 1,
      epoch: 4,
      orphanEpoch: 3,
      region: 'a',
      fromLsn: 0,
      toLsn: 9,
      lostBytes: 9,
      count: 1,
      firstCommitTimeUs: 1,
      lastCommitTimeUs: 1,
      truncated: false,
      foundAtMs: 1,
    };
    const list = { losses: [summary], unreachable: ['c'], unanswered: [] };
    const whole = sight((_, path) =>
      ok(
        path === '/v1/losses' ? list : { ...summary, commits: [{ lsn: 9, commitTimeUs: 1, traceId: null }] },
      ),
    );
    expect(await whole.admin.losses()).toMatchObject({ reports: [{ count: 1 }], unreachable: ['c'] });
    const torn = sight((_, path) => (path === '/v1/losses' ? ok(list) : away));
    expect(await torn.admin.losses()).toBeNull();
  });
});

describe('a deployment that a file names', () => {
  it('is asked with the region’s token, or else the one for all, and cannot be broken', async () => {
    const remote = remoteSchema.parse({
      token: 'all',
      regions: { a: { gateway: 'https://a.example/' }, b: { gateway: 'https://b.example', token: 'own' } },
    });
    const headers: unknown[] = [];
    const target = remoteTarget(remote, async (base, _path, given) => {
      headers.push([base, given]);
      return away;
    });
    expect(await target.status()).toBeNull();
    expect(headers).toEqual([
      ['https://a.example', { authorization: 'Bearer all' }],
      ['https://b.example', { authorization: 'Bearer own' }],
    ]);
    expect(target.canBreak).toBe(false);
    await expect(target.perform({ action: 'kill', target: 'a' })).rejects.toThrow(
      'supervisor of a local deployment',
    );
  });
});
