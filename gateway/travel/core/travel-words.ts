/** What `PRAGMA sextant_at` says: that a stream reads the past from now on, reads the present again, or asks where it reads. Pure. */
import { type Place, parsePlace, placeForms } from '../../../regions/core.ts';
import { adviseError, sqlError } from '../../sql/errors.ts';
import { type SqlOperation, statementsOf } from '../../sql/operation.ts';
import type { BatchStep, SqlError, SqlStatement } from '../../sql/sql.ts';
import { factsOf, firstWord } from '../../sql/statement-facts.ts';

export type TravelWish =
  | { readonly kind: 'to'; readonly place: Place }
  /** Back to the present. */
  | { readonly kind: 'now' }
  | { readonly kind: 'ask' }
  | { readonly kind: 'bad'; readonly error: SqlError };

const pragma =
  /^\s*PRAGMA\s+sextant_at\s*(?:=\s*(?<set>'[^']*'|"[^"]*"|[\w:.+-]+)|\(\s*(?<call>'[^']*'|"[^"]*"|[\w:.+-]+)\s*\))?\s*;?\s*$/i;

const bad = (text: string): TravelWish => ({ kind: 'bad', error: sqlError('SQLITE_ERROR', text) });

/** Whether any statement of an operation names the PRAGMA. Costs a look at what is remembered of each text. */
export function travels(operation: SqlOperation): boolean {
  if (operation.kind === 'execute') return factsOf(operation.statement.sql).travels;
  if (operation.kind === 'wire') return false;
  return statementsOf(operation).some((sql) => factsOf(sql).travels);
}

/** What a statement that names the PRAGMA asks for. @returns null when it only mentions it, as a text or a name. */
export function travelWish(sql: string): TravelWish | null {
  if (firstWord(sql) !== 'PRAGMA') return null;
  const found = pragma.exec(sql.replace(/\/\*[\s\S]*?\*\/|--[^\n]*/g, ' '));
  if (found === null)
    return /^\s*PRAGMA\s+sextant_at\b/i.test(sql)
      ? bad(`PRAGMA sextant_at takes ${placeForms}, or 'now'`)
      : null;
  const given = found.groups?.set ?? found.groups?.call;
  if (given === undefined) return { kind: 'ask' };
  const text = given.replace(/^['"]|['"]$/g, '').trim();
  if (text.toLowerCase() === 'now') return { kind: 'now' };
  const place = parsePlace(text);
  return place === null
    ? bad(`PRAGMA sextant_at takes ${placeForms}, or 'now', not '${text}'`)
    : { kind: 'to', place };
}

export type TravelReading =
  /** Nothing of it travels: it runs where the stream is. */
  | { readonly kind: 'stay' }
  | { readonly kind: 'refused'; readonly error: SqlError }
  /**
   * The stream travels first. `rest` is what runs there: the operation with the PRAGMA's place taken by a statement that answers
   * as it does; null when there is nothing else.
   */
  | {
      readonly kind: 'travel';
      readonly wish: Exclude<TravelWish, { kind: 'bad' }>;
      readonly rest: ((answer: string) => SqlOperation) | null;
    };

const refused = (text: string): TravelReading => ({
  kind: 'refused',
  error: adviseError('SEXTANT_POINT_UNAVAILABLE', text),
});

/** Answers like the PRAGMA: one row of one column. */
const answering = (answer: string, { wantRows }: SqlStatement): SqlStatement => ({
  sql: 'SELECT ? AS sextant_at',
  args: [answer],
  namedArgs: [],
  wantRows,
});

/**
 * What an operation asks of where its stream reads. In a batch the PRAGMA stands alone or before whatever reads, behind a BEGIN
 * at most: a batch reads at one place.
 */
export function readTravel(operation: SqlOperation): TravelReading {
  switch (operation.kind) {
    case 'execute': {
      const wish = travelWish(operation.statement.sql);
      if (wish === null) return { kind: 'stay' };
      return wish.kind === 'bad'
        ? { kind: 'refused', error: wish.error }
        : { kind: 'travel', wish, rest: null };
    }
    case 'batch':
      return readBatch(operation.steps);
    case 'sequence':
      return /(?:^|;)\s*PRAGMA\s+sextant_at\b/i.test(operation.sql)
        ? refused(
            'PRAGMA sextant_at cannot be one of several statements in a text: send it by itself, or first in a batch',
          )
        : { kind: 'stay' };
    case 'describe':
    case 'wire':
      return { kind: 'stay' };
  }
}

function readBatch(steps: readonly BatchStep[]): TravelReading {
  const wishes = steps.map(({ statement }) =>
    factsOf(statement.sql).travels ? travelWish(statement.sql) : null,
  );
  const at = wishes.findIndex((wish) => wish !== null);
  const wish = wishes[at];
  if (wish === undefined || wish === null) return { kind: 'stay' };
  if (wish.kind === 'bad') return { kind: 'refused', error: wish.error };
  if (wishes.some((other, index) => index > at && other !== null))
    return refused('A batch reads at one place: PRAGMA sextant_at stands in it once');
  if (wish.kind !== 'ask' && steps.slice(0, at).some(({ statement }) => firstWord(statement.sql) !== 'BEGIN'))
    return refused(
      'PRAGMA sextant_at stands first in a batch, behind a BEGIN at most: all of a batch reads at one place',
    );
  return {
    kind: 'travel',
    wish,
    rest: (answer) => ({
      kind: 'batch',
      steps: steps.map((step, index) =>
        index === at ? { ...step, statement: answering(answer, step.statement) } : step,
      ),
    }),
  };
}
