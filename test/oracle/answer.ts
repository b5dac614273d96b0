/** What a stream answered, in one form for stock SQLite and for a gateway, and whether two answers are the same. */

export interface Column {
  readonly name: string | null;
  readonly decltype: string | null;
}

/**
 * The columns without those of statements that SQLite runs within ALTER TABLE: they never have a row, and which of them can be
 * seen differs from version to version.
 */
export const ownColumns = (columns: readonly Column[]): readonly Column[] =>
  columns.filter(({ name }) => name === null || !/^(?:CASE WHEN quick_check|sqlite_fail\()/.test(name));

export type StatementAnswer =
  | {
      readonly kind: 'result';
      readonly columns: readonly Column[];
      /** Values as text that begins with their type. */
      readonly rows: readonly (readonly string[])[];
      readonly affected: number;
      readonly rowid: string | null;
    }
  /** `code` is SQLite's primary code, or one of the gateway's own. */
  | { readonly kind: 'error'; readonly code: string; readonly message: string }
  | { readonly kind: 'skipped' };

export type Outcome =
  | StatementAnswer
  | { readonly kind: 'batch'; readonly steps: readonly StatementAnswer[] }
  | { readonly kind: 'done' }
  | {
      readonly kind: 'description';
      readonly columns: readonly Column[];
      readonly params: number;
      /** Null where the words alone do not say it. */
      readonly isReadonly: boolean | null;
    };

/** The description of a statement as it is compared. */
export function description(
  sql: string,
  columns: readonly Column[],
  params: number,
  isReadonly: boolean,
): Outcome {
  const isPlain = /^(?:SELECT|VALUES|INSERT|UPDATE|DELETE|REPLACE)\b/i.test(sql);
  return {
    kind: 'description',
    columns: ownColumns(columns),
    params,
    isReadonly: isPlain ? isReadonly : null,
  };
}

export interface Answer {
  readonly outcome: Outcome;
  /** Whether no transaction was open afterwards. */
  readonly autocommit: boolean;
}

function statementText(answer: StatementAnswer): string {
  switch (answer.kind) {
    case 'error':
      return `${answer.code}: ${answer.message}`;
    case 'skipped':
      return 'skipped';
    case 'result': {
      const names = answer.columns.map(
        ({ name, decltype }) => `${name}${decltype === null ? '' : ` ${decltype}`}`,
      );
      const rows = answer.rows.map((row) => `(${row.join(', ')})`).join(' ');
      const counted = answer.rowid === null ? '' : `, ${answer.affected} affected, rowid ${answer.rowid}`;
      return names.length === 0 ? `ok${counted}` : `[${names.join(', ')}] ${rows}${counted}`;
    }
  }
}

/** An answer as a person reads it, on one line. */
export function answerText({ outcome, autocommit }: Answer): string {
  const open = autocommit ? '' : '   (transaction open)';
  switch (outcome.kind) {
    case 'batch':
      return outcome.steps.map((step, at) => `${at}: ${statementText(step)}`).join(' | ') + open;
    case 'done':
      return `ok${open}`;
    case 'description':
      return `${outcome.params} parameters, [${outcome.columns.map(({ name, decltype }) => `${name} ${decltype}`).join(', ')}]${outcome.isReadonly ? ', only reads' : ''}${open}`;
    default:
      return statementText(outcome) + open;
  }
}
