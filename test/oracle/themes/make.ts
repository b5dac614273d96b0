/** How statements are drawn: from texts, with arguments, over tables that come and go. Pure. */
import type { SqlValue } from '../../../gateway/sql/sql.ts';
import type { Prng } from '../../simulation/world/prng.ts';
import type { Statement } from '../script.ts';

export type Make = (chance: Prng) => Statement;

/** One of these texts. */
export const say =
  (...texts: readonly string[]): Make =>
  (chance) => ({ sql: chance.pick(texts), args: [] });

/** One text, with a value drawn for each of its parameters. */
export const bound =
  (sql: string, ...draw: readonly ((chance: Prng) => SqlValue)[]): Make =>
  (chance) => ({ sql, args: draw.map((one) => one(chance)) });

/** One of these texts; each part in braces becomes one of its choices: `{a|b}` is `a` or `b`. */
export const varied =
  (...texts: readonly string[]): Make =>
  (chance) => ({
    sql: chance
      .pick(texts)
      .replaceAll(/\{([^{}]*)\}/g, (_, choices: string) => chance.pick(choices.split('|'))),
    args: [],
  });

export const key = (chance: Prng): SqlValue => BigInt(chance.between(1, 6));
export const word = (chance: Prng): SqlValue => chance.pick(['one', 'two', 'red', 'blue', 'grün', '']);
export const amount = (chance: Prng): SqlValue => chance.pick<SqlValue>([0n, 5n, -1n, 2.5, null, 7n, 'text']);
/** Values at the edges of their types. */
export const odd = (chance: Prng): SqlValue =>
  chance.pick<SqlValue>([
    null,
    0n,
    9_007_199_254_740_993n,
    -(2n ** 63n),
    1e300,
    -0.5,
    2_251_799_813_685_249.5,
    5e-324,
    '',
    '12abc',
    ' 7 ',
    'a\u{1f600}b',
    "it's",
    new Uint8Array([0, 255, 7]),
    new Uint8Array(0),
  ]);
