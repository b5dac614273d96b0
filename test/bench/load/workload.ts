/** The same rows and the same statements for every system. */
export type WorkloadName = 'update' | 'insert' | 'select' | 'tpcb' | 'tpcb-interactive';

/** Values of one transaction: for each statement, its parameters in order. All are integers. */
export type Params = readonly (readonly number[])[];
export type Random = () => number;

export interface Workload {
  readonly name: WorkloadName;
  readonly title: string;
  /** Parameters are written `?`. */
  readonly statements: readonly string[];
  /**
   * `single`: one statement, committed by itself. `batch`: one transaction sent at once, one wait for the client.
   * `interactive`: one transaction, the client waits for every statement, BEGIN and COMMIT included.
   */
  readonly kind: 'single' | 'batch' | 'interactive';
  readonly writes: boolean;
  next(random: Random): Params;
}

export const rowCount = 10_000;
/** As many branches as there are clients at most, so that nobody queues for a row lock more than in pgbench's own advice. */
export const branchCount = 128;
const tellersPerBranch = 10;

const below = (random: Random, bound: number): number => 1 + Math.floor(random() * bound);

const tpcbStatements = [
  'UPDATE accounts SET balance = balance + ? WHERE id = ?',
  'SELECT balance FROM accounts WHERE id = ?',
  'UPDATE tellers SET balance = balance + ? WHERE id = ?',
  'UPDATE branches SET balance = balance + ? WHERE id = ?',
  'INSERT INTO history (teller, branch, account, delta) VALUES (?, ?, ?, ?)',
] as const;

function tpcbParams(random: Random): Params {
  const account = below(random, rowCount);
  const teller = below(random, branchCount * tellersPerBranch);
  const branch = Math.ceil(teller / tellersPerBranch);
  const delta = below(random, 10_000) - 5_000;
  return [[delta, account], [account], [delta, teller], [delta, branch], [teller, branch, account, delta]];
}

export const workloads: Readonly<Record<WorkloadName, Workload>> = {
  update: {
    name: 'update',
    title: 'single-row UPDATE',
    statements: ['UPDATE bench SET v = v + 1 WHERE id = ?'],
    kind: 'single',
    writes: true,
    next: (random) => [[below(random, rowCount)]],
  },
  insert: {
    name: 'insert',
    title: 'INSERT',
    statements: [
      "INSERT INTO journal (account, delta, note) VALUES (?, ?, 'forty characters of text in every new row')",
    ],
    kind: 'single',
    writes: true,
    next: (random) => [[below(random, rowCount), below(random, 10_000)]],
  },
  select: {
    name: 'select',
    title: 'point SELECT',
    statements: ['SELECT v, pad FROM bench WHERE id = ?'],
    kind: 'single',
    writes: false,
    next: (random) => [[below(random, rowCount)]],
  },
  tpcb: {
    name: 'tpcb',
    title: 'TPC-B-like, one round trip',
    statements: tpcbStatements,
    kind: 'batch',
    writes: true,
    next: tpcbParams,
  },
  'tpcb-interactive': {
    name: 'tpcb-interactive',
    title: 'TPC-B-like, a round trip for each statement',
    statements: tpcbStatements,
    kind: 'interactive',
    writes: true,
    next: tpcbParams,
  },
};

export const workloadNames = Object.keys(workloads).filter((name): name is WorkloadName => name in workloads);

/** What differs between the SQL systems, in the definition of tables only. */
export interface Dialect {
  /** Type of a primary key the system numbers itself. */
  readonly serial: string;
  readonly text: string;
}

/**
 * What `v` begins at: SQLite keeps 0 and 1 without a byte of their own, so that the first UPDATEs of a row would be smaller, and
 * the second larger, than all that follow.
 */
export const initialValue = 1_000;
const rowsPerInsert = 500;

/** Statements that make the tables and fill them. */
export function schema(dialect: Dialect): readonly string[] {
  const { serial, text } = dialect;
  const statements = [
    `CREATE TABLE bench (id INTEGER PRIMARY KEY, v BIGINT NOT NULL, pad ${text} NOT NULL)`,
    `CREATE TABLE journal (id ${serial}, account INTEGER NOT NULL, delta BIGINT NOT NULL, note ${text} NOT NULL)`,
    `CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance BIGINT NOT NULL, pad ${text} NOT NULL)`,
    `CREATE TABLE tellers (id INTEGER PRIMARY KEY, balance BIGINT NOT NULL, pad ${text} NOT NULL)`,
    `CREATE TABLE branches (id INTEGER PRIMARY KEY, balance BIGINT NOT NULL, pad ${text} NOT NULL)`,
    `CREATE TABLE history (id ${serial}, teller INTEGER NOT NULL, branch INTEGER NOT NULL, account INTEGER NOT NULL, delta BIGINT NOT NULL)`,
  ];
  const pad = 'x'.repeat(84);
  const fill = (table: string, count: number, value: number): void => {
    for (let first = 1; first <= count; first += rowsPerInsert) {
      const ids = Array.from({ length: Math.min(rowsPerInsert, count - first + 1) }, (_, at) => first + at);
      statements.push(
        `INSERT INTO ${table} VALUES ${ids.map((id) => `(${id}, ${value}, '${pad}')`).join(', ')}`,
      );
    }
  };
  fill('bench', rowCount, initialValue);
  fill('accounts', rowCount, 0);
  fill('tellers', branchCount * tellersPerBranch, 0);
  fill('branches', branchCount, 0);
  return statements;
}

/** Small and fast chance, the same in every run of a seed (xorshift32). */
export function seeded(seed: number): Random {
  let state = (seed | 0) === 0 ? 1 : seed | 0;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
