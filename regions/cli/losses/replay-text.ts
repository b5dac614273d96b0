/** What a replay has come to, for people and as JSON. */

import { plainOf } from '../../compare/core/literal.ts';
import type { KeyedRow, RowChange } from '../../compare/core/row-merge.ts';
import type { Conflict } from '../../replay/core/judgement.ts';
import { isAbout, kindOf, type LostRow } from '../../replay/core/lost-row.ts';
import { isSettled, type ReplayResult, tableCounts } from '../../replay/core/replay-summary.ts';
import { table } from '../ask/output.ts';
import { changeText, keyPairs, pairsText, plural, rowJson, wholeRow } from './difference-text.ts';

export interface ReplayAbout {
  readonly region: string;
  readonly before: string;
  readonly after: string;
  readonly writes: number;
  readonly primary: string;
  readonly dryRun: boolean;
}

const withKey = ({ key }: LostRow, values: KeyedRow['values']): KeyedRow => ({ key, values });

function changeOf(row: LostRow): RowChange | null {
  const { before, after } = row;
  if (before === null)
    return after === null ? null : { kind: 'inserted', before: null, after: withKey(row, after) };
  if (after === null) return { kind: 'deleted', before: withKey(row, before), after: null };
  return { kind: 'changed', before: withKey(row, before), after: withKey(row, after) };
}

function lostText(row: LostRow): string {
  const change = changeOf(row);
  return change === null ? '' : changeText(row.shape, change);
}

/** Of what is in its place now, what matters: what the lost change was about, or all of the row. */
function nowText({ row, now }: Conflict): string {
  if (now === null) return '';
  if (kindOf(row) !== 'changed') return `; now ${wholeRow(row.shape, { key: row.key, values: now })}`;
  const pairs = row.shape.columns.flatMap((name, at): [string, string][] =>
    isAbout(row, at) ? [[name, now[at] ?? 'NULL']] : [],
  );
  return `; now ${pairsText(pairs)}`;
}

function conflictLines(conflicts: readonly Conflict[]): readonly string[] {
  const names = [...new Set(conflicts.map(({ row }) => row.shape.name))].sort();
  return names.flatMap((name) => [
    `conflicts in ${name}:`,
    ...conflicts
      .filter(({ row }) => row.shape.name === name)
      .flatMap((conflict) => [lostText(conflict.row), `      ${conflict.detail}${nowText(conflict)}`]),
  ]);
}

/** Lines for people: by table what came of it, then what is left to be settled, and in the end all of it in one line. */
export function replayLines(result: ReplayResult, about: ReplayAbout): readonly string[] {
  const { applied, alreadyThere, conflicts, schema, notCompared, suspended } = result;
  const { region, before, after, writes, primary, dryRun } = about;
  const counts = tableCounts(result);
  const left = schema.filter(({ isThere }) => !isThere);
  const done = dryRun ? 'would come back' : 'brought back';
  return [
    `${plural(writes, 'lost write')} of ${region}, between ${before} and ${after}, to ${primary}${dryRun ? ' (dry run: nothing is changed)' : ''}`,
    ...(counts.length === 0
      ? []
      : [
          table(
            ['TABLE', done.toUpperCase(), 'ALREADY THERE', 'CONFLICTS'],
            counts.map((each) => [each.name, `${each.applied}`, `${each.alreadyThere}`, `${each.conflicts}`]),
          ),
        ]),
    ...conflictLines(conflicts),
    ...left.map(
      ({ type, name, change, wayOut }) =>
        `${type} ${name} was ${change}, which is not made by itself: ${wayOut}`,
    ),
    ...notCompared.map(({ name, reason }) => `table ${name}: not compared, ${reason}`),
    ...(suspended.length === 0
      ? []
      : [`triggers that did not run, since what they did is among the rows: ${suspended.join(', ')}`]),
    `${plural(applied.length, 'row')} ${done}, ${alreadyThere.length} already there, ${plural(conflicts.length, 'conflict')}` +
      (left.length === 0 ? '' : `, ${plural(left.length, 'change')} of the schema left`),
  ];
}

const keyJson = (row: LostRow): object =>
  Object.fromEntries(
    keyPairs(row.shape, { key: row.key, values: row.after ?? row.before ?? [] }).map(([name, literal]) => [
      name,
      plainOf(literal),
    ]),
  );

const rowOf = (row: LostRow): object => ({ table: row.shape.name, change: kindOf(row), key: keyJson(row) });

const valuesJson = (row: LostRow, values: KeyedRow['values'] | null): object | null =>
  rowJson(row.shape, values === null ? null : withKey(row, values));

/** Values as `sextant sql --json` has them. */
export function replayJson(result: ReplayResult): object {
  const { applied, alreadyThere, conflicts, schema, notCompared, suspended, transactions } = result;
  return {
    settled: isSettled(result),
    counts: { applied: applied.length, alreadyThere: alreadyThere.length, conflicts: conflicts.length },
    transactions,
    tables: tableCounts(result),
    applied: applied.map(rowOf),
    alreadyThere: alreadyThere.map(rowOf),
    conflicts: conflicts.map(({ row, reason, detail, now }) => ({
      ...rowOf(row),
      reason,
      detail,
      before: valuesJson(row, row.before),
      after: valuesJson(row, row.after),
      now: valuesJson(row, now),
    })),
    schema: schema.map(({ type, name, change, sql, isThere, wayOut }) => ({
      type,
      name,
      change,
      sql,
      isThere,
      wayOut,
    })),
    notCompared: notCompared.map(({ name, reason }) => ({ name, reason })),
    suspendedTriggers: suspended,
  };
}
