import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { covers, scopeOf, scopes } from '../../../regions/tokens/core/scope.ts';

describe('the scope of a token', () => {
  it.each([
    [{}, 'write'],
    [{ a: 'rw' }, 'write'],
    [{ a: 'ro' }, 'read'],
    [{ scope: 'read' }, 'read'],
    [{ scope: 'write' }, 'write'],
    [{ scope: 'admin' }, 'admin'],
    [{ scope: 'openid read write' }, 'write'],
    [{ scope: 'admin', a: 'ro' }, 'read'],
    [{ scope: 'read', a: 'rw' }, 'read'],
  ] as const)('by the claims %j is %s', (claims, scope) =>
    expect(scopeOf(claims)).toEqual({ kind: 'scope', scope }),
  );

  it.each([
    { scope: '' },
    { scope: 'openid profile' },
    { scope: 'Admin' },
    { a: '' },
    { a: 'roa' },
    { a: 'constructor' },
  ])('is none by the claims %j', (claims) => expect(scopeOf(claims)).toMatchObject({ kind: 'unusable' }));

  it('is admin only where the claim scope says so', () => {
    const claims = fc.record(
      {
        scope: fc.string({ unit: fc.constantFrom('a', 'd', 'm', 'i', 'n', ' ', 'r', 'w') }),
        a: fc.constantFrom('rw', 'ro', 'x'),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(claims, (given) => {
        const read = scopeOf(given);
        if (read.kind === 'scope' && read.scope === 'admin')
          expect((given.scope ?? '').split(' ')).toContain('admin');
      }),
    );
  });

  it('covers itself and what is below it', () => {
    for (const [held, scope] of scopes.entries())
      for (const [needed, other] of scopes.entries()) expect(covers(scope, other)).toBe(held >= needed);
  });
});
