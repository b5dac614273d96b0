/** A statement's rows out of the lines of a Hrana cursor, as many as are wanted, as text. Pure. */

export interface Cell {
  readonly text: string;
  readonly kind: 'null' | 'number' | 'text' | 'blob';
}

export type SqlProgress = {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
  /** More rows came than are kept. */
  readonly hasMore: boolean;
  readonly affected: number | null;
  readonly error: { readonly code: string; readonly message: string } | null;
};

export const noRows: SqlProgress = { columns: [], rows: [], hasMore: false, affected: null, error: null };

/** The body of `POST /v3/cursor` for one statement. */
export function cursorBody(sql: string): string {
  return JSON.stringify({ batch: { steps: [{ stmt: { sql, want_rows: true } }] } });
}

/** Longer text of one cell is cut. */
const cellCharactersMax = 2_000;

interface Wire {
  readonly type?: string;
  readonly cols?: readonly { readonly name?: string | null }[];
  readonly row?: readonly unknown[];
  readonly affected_row_count?: number;
  readonly error?: { readonly message?: string; readonly code?: string | null };
}

/** Takes one line in. @param limit rows that are kept. @throws when it is no JSON. */
export function takeLine(progress: SqlProgress, line: string, limit: number): SqlProgress {
  if (line.trim() === '') return progress;
  const entry = JSON.parse(line) as Wire;
  switch (entry.type) {
    case 'step_begin':
      return { ...progress, columns: (entry.cols ?? []).map(({ name }) => name ?? '') };
    case 'row': {
      if (progress.rows.length >= limit) return { ...progress, hasMore: true };
      return { ...progress, rows: [...progress.rows, (entry.row ?? []).map(cellOf)] };
    }
    case 'step_end':
      return { ...progress, affected: entry.affected_row_count ?? null };
    case 'step_error':
    case 'error':
      return { ...progress, error: errorOf(entry.error) };
    default:
      return progress;
  }
}

function errorOf(error: Wire['error']): { readonly code: string; readonly message: string } {
  return {
    code: error?.code ?? 'UNKNOWN',
    message: error?.message ?? 'The gateway did not say what is wrong.',
  };
}

function cut(text: string): string {
  return text.length > cellCharactersMax
    ? `${text.slice(0, cellCharactersMax)}… (${text.length} characters)`
    : text;
}

/** A value as the protocol writes it. */
export function cellOf(value: unknown): Cell {
  const {
    type,
    value: inner,
    base64,
  } = (value ?? {}) as {
    readonly type?: string;
    readonly value?: unknown;
    readonly base64?: string;
  };
  switch (type) {
    case 'integer':
    case 'float':
      return { text: String(inner), kind: 'number' };
    case 'text':
      return { text: cut(String(inner)), kind: 'text' };
    case 'blob': {
      const length = Math.floor(((base64 ?? '').replace(/=+$/, '').length * 3) / 4);
      return { text: `blob of ${length} bytes`, kind: 'blob' };
    }
    default:
      return { text: 'NULL', kind: 'null' };
  }
}
