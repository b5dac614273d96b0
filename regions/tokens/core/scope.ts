/**
 * What a token allows, by its claims. Three scopes, each with what is below it: `read` reads, `write` writes data and schema too,
 * `admin` moves the primary, changes the policy and runs drills as well. Pure.
 */

export type Scope = 'read' | 'write' | 'admin';

/** From little to much. */
export const scopes: readonly Scope[] = ['read', 'write', 'admin'];

const rank = (scope: Scope): number => scopes.indexOf(scope);

/** Whether a grant of `held` is enough for what asks for `needed`. */
export function covers(held: Scope, needed: Scope): boolean {
  return rank(held) >= rank(needed);
}

/** The claims that scopes are told by. */
export interface ScopeClaims {
  /** OAuth's: names with blanks between them. Those that mean nothing here are passed over. */
  readonly scope?: string | undefined;
  /** libSQL's: `rw` or `ro`. */
  readonly a?: string | undefined;
}

export type ScopeReading =
  | { readonly kind: 'scope'; readonly scope: Scope }
  /** The claims ask for less than nothing, or for something unknown: nobody is let in by a misunderstanding. */
  | { readonly kind: 'unusable'; readonly reason: string };

const fromLibsql: Readonly<Record<string, Scope>> = { ro: 'read', rw: 'write' };

/**
 * The scope that a token grants. One without any such claim is one that libSQL's server would take: it reads and writes, and is never
 * admin. One that says both `scope` and `a` grants the lesser.
 */
export function scopeOf({ scope, a }: ScopeClaims): ScopeReading {
  const granted: Scope[] = [];
  if (a !== undefined) {
    const known = Object.hasOwn(fromLibsql, a) ? fromLibsql[a] : undefined;
    if (known === undefined) return { kind: 'unusable', reason: 'its claim a is neither "rw" nor "ro"' };
    granted.push(known);
  }
  if (scope !== undefined) {
    const names = new Set(scope.split(' '));
    const most = scopes.findLast((name) => names.has(name));
    if (most === undefined)
      return { kind: 'unusable', reason: `its claim scope names none of ${scopes.join(', ')}` };
    granted.push(most);
  }
  const least = scopes.find((name) => granted.includes(name));
  return { kind: 'scope', scope: least ?? 'write' };
}
