/** One script on stock SQLite and on a target, and where they part; a script that shows it is made as small as it gets. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type Answer, answerText } from './answer.ts';
import { agreement } from './differences.ts';
import { GatewayStream } from './gateway-stream.ts';
import { asShell, asText, type Operation, operationText, type Script, setUp, tearDown } from './script.ts';
import { StockStream } from './stock-stream.ts';

/** What runs scripts: a gateway, or a stand-in. Every run begins with the tables of `setUp` and a stream that is new. */
export interface Target {
  readonly name: string;
  run(script: Script): Promise<readonly Answer[]>;
}

export interface Divergence {
  readonly target: string;
  readonly script: Script;
  /** The first operation whose answers differ, and the two answers. */
  readonly at: number;
  readonly stock: Answer;
  readonly sextant: Answer;
}

/** Stock SQLite in a directory of its own until `close`. */
export class StockSqlite {
  private readonly directory = mkdtempSync(join(tmpdir(), 'sextant-oracle-'));
  private readonly foreignKeys: boolean;
  private runs = 0;

  /** @param foreignKeys whether a stream begins with them on. */
  constructor(foreignKeys = true) {
    this.foreignKeys = foreignKeys;
  }

  run(script: Script): readonly Answer[] {
    const path = join(this.directory, `${this.runs++}.db`);
    const db = new DatabaseSync(path);
    db.exec(`PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY; ${asText(setUp)}`);
    db.close();
    const stream = new StockStream(path, this.foreignKeys);
    try {
      return script.operations.map((operation) => stream.run(operation));
    } finally {
      stream.close();
      rmSync(path);
    }
  }

  close(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** The streams of one gateway. Tables are put in place through the primary, whose gateway may be the same. */
export class GatewayTarget implements Target {
  readonly name: string;
  private readonly url: string;
  private readonly primaryUrl: string;
  private readonly own: string;

  /** @param own a prefix nobody else uses for names on this deployment, until `close`. */
  constructor(options: { name: string; url: string; primaryUrl: string; own: string }) {
    this.name = options.name;
    this.url = options.url;
    this.primaryUrl = options.primaryUrl;
    this.own = options.own;
  }

  async run(script: Script): Promise<readonly Answer[]> {
    await this.primary(setUp);
    if (this.url !== this.primaryUrl) await this.level();
    const stream = new GatewayStream(this.url, this.own, script.way);
    try {
      return await stream.run(script.operations, script.pipeline);
    } finally {
      await stream.close();
    }
  }

  /** Leaves nothing of the scripts behind. */
  close(): Promise<void> {
    return this.primary(tearDown);
  }

  /** Runs a list through the primary; again when another stream's transaction was in the way. */
  private async primary(statements: readonly string[]): Promise<void> {
    const operation: Operation = { kind: 'sequence', statements };
    let last: Answer | undefined;
    for (let attempt = 0; attempt < 5; attempt++) {
      const stream = new GatewayStream(this.primaryUrl, this.own);
      [last] = await stream.run([operation], 1);
      await stream.close();
      if (last?.outcome.kind === 'done') return;
    }
    throw new Error(
      `the tables of the oracle cannot be set up: ${last === undefined ? '' : answerText(last)}`,
    );
  }

  /** A read behind everything acknowledged anywhere: from here on this gateway's reads see it, too. */
  private async level(): Promise<void> {
    const stream = new GatewayStream(this.url, this.own);
    const statement = (sql: string): Operation => ({ kind: 'execute', statement: { sql, args: [] } });
    await stream.run(
      [statement("PRAGMA sextant_read = 'global'"), statement('SELECT count(*) FROM zz_a')],
      1,
    );
    await stream.close();
  }
}

/** Where a target parts from stock SQLite in a script, or null. */
export async function diverges(
  stock: StockSqlite,
  target: Target,
  script: Script,
): Promise<Divergence | null> {
  const expected = stock.run(script);
  const got = await target.run(script);
  for (const [at, operation] of script.operations.entries()) {
    const [one, other] = [expected[at], got[at]];
    if (one === undefined || other === undefined) throw new Error(`operation ${at} has no answer`);
    const agreed = agreement(operation, one, other);
    if (agreed === 'parted') return null;
    if (agreed === 'differs') return { target: target.name, script, at, stock: one, sextant: other };
  }
  return null;
}

/** The operations without the ones from `from` to before `to`. */
const without = <T>(list: readonly T[], from: number, to: number): T[] => [
  ...list.slice(0, from),
  ...list.slice(to),
];

/** Smaller forms of one operation. */
function smaller(operation: Operation): readonly Operation[] {
  const { kind } = operation;
  if (kind === 'sequence') {
    const { statements } = operation;
    if (statements.length === 1)
      return [{ kind: 'execute', statement: { sql: statements[0] ?? '', args: [] } }];
    return statements.map((_, at) => ({ kind, statements: without(statements, at, at + 1) }));
  }
  if (kind === 'batch') {
    const { steps } = operation;
    const alone = steps.map((statement): Operation => ({ kind: 'execute', statement }));
    const last = steps.at(-1);
    return [
      ...alone,
      { kind, steps: steps.slice(0, -1) },
      // The first step goes only if no condition counts from it.
      ...(steps.length > 1 && steps.every(({ condition }) => condition === null)
        ? [{ kind, steps: steps.slice(1) }]
        : []),
      ...(last === undefined ? [] : [{ kind, steps: steps.map((one) => ({ ...one, condition: null })) }]),
    ].filter((one) => one.kind !== 'batch' || one.steps.length > 0);
  }
  return [];
}

/**
 * The smallest script found that still parts the two, within `runsMax` runs and `limitMs`. A difference that does not come
 * again is returned as it was.
 */
export async function shrink(
  stock: StockSqlite,
  target: Target,
  found: Divergence,
  runsMax = 200,
  limitMs = 60_000,
): Promise<Divergence> {
  const deadlineMs = performance.now() + limitMs;
  let best = found;
  let runs = 0;
  const attempt = async (script: Script): Promise<boolean> => {
    if (runs >= runsMax || performance.now() > deadlineMs) return false;
    runs++;
    const again = await diverges(stock, target, script);
    if (again !== null)
      best = { ...again, script: { ...script, operations: script.operations.slice(0, again.at + 1) } };
    return again !== null;
  };
  const { operations } = found.script;
  await attempt({ ...found.script, operations: operations.slice(0, found.at + 1) });
  if (best.script.pipeline > 1) await attempt({ ...best.script, pipeline: 1 });
  if (best.script.way !== 'pipeline') await attempt({ ...best.script, way: 'pipeline' });
  for (let size = best.script.operations.length >> 1; size >= 1; size >>= 1) {
    // From the end, since what is in front is what made it so.
    for (let to = best.script.operations.length; to > 0; to -= size) {
      const from = Math.max(0, to - size);
      if (from >= best.script.operations.length) continue;
      await attempt({ ...best.script, operations: without(best.script.operations, from, to) });
    }
  }
  for (let at = 0; at < best.script.operations.length; at++) {
    for (let again = true; again; ) {
      again = false;
      const operation = best.script.operations[at];
      if (operation === undefined) break;
      for (const form of smaller(operation)) {
        const changed = best.script.operations.with(at, form);
        if (!(await attempt({ ...best.script, operations: changed }))) continue;
        again = true;
        break;
      }
    }
  }
  return best;
}

/** What a person needs to see a divergence, and to see it again. */
export function report({ target, script, at, stock, sextant }: Divergence): string {
  const lines = script.operations.map(
    (operation, index) => `${index === at ? '→' : ' '} ${operationText(operation)}`,
  );
  return [
    `seed ${script.seed}, ${target}${script.way === 'pipeline' ? '' : ` by ${script.way}`}: differs from stock SQLite`,
    ...lines,
    `  stock SQLite: ${answerText(stock)}`,
    `  ${target}: ${answerText(sextant)}`,
    'To see it again, once the tables are made:',
    asShell(script),
  ].join('\n');
}

/** One line that is the same for divergences of one kind, near enough to count them by. */
export function kindOf({ target, script, at, stock, sextant }: Divergence): string {
  const operation = script.operations[at];
  const [kind = '', ...words] = (operation === undefined ? '' : operationText(operation)).split(/\s+/);
  const text = kind === 'execute' ? words.join(' ').replace(/\d+/g, 'N').slice(0, 40) : '';
  return `${target}: ${kind} ${text} ⇒ ${shortly(stock)}, not ${shortly(sextant)}`;
}

function shortly({ outcome, autocommit }: Answer): string {
  const what = outcome.kind === 'error' ? `${outcome.code} ${outcome.message.slice(0, 30)}` : outcome.kind;
  return autocommit ? what : `${what} in a transaction`;
}
