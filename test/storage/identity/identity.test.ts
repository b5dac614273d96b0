import { describe, expect, it } from 'vitest';
import { type Door, mismatch, refusalAt } from '../../../storage/identity/core/admission.ts';
import { describeSpan, judgeExpiry } from '../../../storage/identity/core/expiry.ts';
import {
  describeIdentity,
  type Identity,
  identityIn,
  identityUri,
  parseIdentityUri,
  type Role,
  roles,
} from '../../../storage/identity/core/identity.ts';

const node: Identity = { cluster: 'shop', region: 'us-east-1', role: 'storage', name: 'n1' };

describe('an identity', () => {
  it('is a URI and back', () => {
    for (const role of roles) {
      const identity = { ...node, role };
      expect(parseIdentityUri(identityUri(identity))).toEqual(identity);
    }
  });

  it.each([
    'sextant://shop/us-east-1/storage',
    'sextant://shop/us-east-1/storage/n1/more',
    'sextant://shop/us-east-1/writer/n1',
    'sextant://Shop/us-east-1/storage/n1',
    'sextant://shop//storage/n1',
    'sextant://shop/us-east-1/storage/n1?x',
    'https://shop/us-east-1/storage/n1',
  ])('is not read out of %s', (uri) => {
    expect(parseIdentityUri(uri)).toBeNull();
  });

  it('is the one among the names of a certificate', () => {
    const uri = identityUri(node);
    expect(identityIn(`URI:${uri}, IP Address:10.0.0.1, DNS:n1.internal`)).toEqual({
      kind: 'identity',
      identity: node,
    });
    expect(identityIn(`DNS:a, URI:https://a.example, URI:${uri}`)).toEqual({
      kind: 'identity',
      identity: node,
    });
  });

  it('is none where there are two, or none, or one inside another name', () => {
    const uri = identityUri(node);
    expect(identityIn(`URI:${uri}, URI:${identityUri({ ...node, role: 'agent' })}`).kind).toBe('none');
    expect(identityIn('DNS:a')).toEqual({
      kind: 'none',
      reason: 'the certificate carries no sextant:// identity',
    });
    expect(identityIn(undefined).kind).toBe('none');
    expect(identityIn(`DNS:"a, URI:${uri}"`).kind).toBe('none');
    expect(identityIn('URI:sextant://x').kind).toBe('none');
  });
});

describe('who may connect to what (S60)', () => {
  const own: Readonly<Record<Door, Identity>> = {
    link: node,
    api: { ...node, role: 'agent', name: 'agent' },
    watch: node,
  };
  const admitted: Readonly<Record<Door, { readonly near: readonly Role[]; readonly far: readonly Role[] }>> =
    {
      link: { near: ['storage', 'agent', 'gateway'], far: [] },
      api: { near: ['agent', 'gateway', 'operator'], far: ['agent', 'gateway', 'operator'] },
      watch: { near: [...roles], far: [...roles] },
    };

  for (const door of ['link', 'api', 'watch'] as const) {
    for (const role of roles) {
      it(`a ${role} at the door ${door}`, () => {
        const peer = (change: Partial<Identity>): Identity => ({ ...node, role, name: 'p', ...change });
        const enters = (change: Partial<Identity>) => refusalAt(door, own[door], peer(change)) === null;
        expect(enters({})).toBe(admitted[door].near.includes(role));
        expect(enters({ region: 'eu-west-1' })).toBe(admitted[door].far.includes(role));
        expect(enters({ cluster: 'other' })).toBe(false);
      });
    }
  }

  it('a refusal names both ends', () => {
    const stranger: Identity = { cluster: 'other', region: 'eu-west-1', role: 'gateway', name: 'g9' };
    const sentence = refusalAt('link', node, stranger) ?? '';
    expect(sentence).toContain('storage node us-east-1/n1 of cluster shop');
    expect(sentence).toContain('gateway eu-west-1/g9 of cluster other');
  });
});

describe('whom a caller means to reach', () => {
  it('is judged by cluster, role, and region and name where they are given', () => {
    const expected = { cluster: 'shop', role: 'storage', region: 'us-east-1', name: 'n1' } as const;
    expect(mismatch(expected, node)).toBeNull();
    expect(mismatch({ cluster: 'shop', role: 'storage' }, node)).toBeNull();
    for (const change of [
      { name: 'n2' },
      { region: 'eu-west-1' },
      { role: 'agent' },
      { cluster: 'x' },
    ] as const) {
      const found = { ...node, ...change };
      const sentence = mismatch(expected, found) ?? '';
      expect(sentence).toContain(describeIdentity(node));
      expect(sentence).toContain(describeIdentity(found));
    }
  });
});

describe('expiry', () => {
  const dayMs = 24 * 3_600_000;
  it('is valid, soon, or past', () => {
    expect(judgeExpiry(100 * dayMs, 0)).toEqual({ kind: 'valid' });
    expect(judgeExpiry(14 * dayMs, 0)).toEqual({ kind: 'soon', leftMs: 14 * dayMs });
    expect(judgeExpiry(0, 0)).toEqual({ kind: 'expired', sinceMs: 0 });
    expect(judgeExpiry(0, dayMs)).toEqual({ kind: 'expired', sinceMs: dayMs });
  });

  it.each([
    [3 * dayMs + 5, '3 days'],
    [dayMs, '1 day'],
    [7_200_000, '2 hours'],
    [60_000, '1 minute'],
    [59_999, 'less than a minute'],
  ])('%i ms are %s', (ms, words) => {
    expect(describeSpan(ms)).toBe(words);
  });
});
