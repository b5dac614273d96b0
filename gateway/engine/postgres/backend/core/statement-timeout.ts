/** `statement_timeout` as a session has set it: nothing in the backend looks at a clock. Pure. */

const unitMs: Readonly<Record<string, number>> = {
  us: 0.001,
  ms: 1,
  s: 1_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
const pattern = /^\s*(\d+(?:\.\d+)?)\s*(us|ms|s|min|h|d)?\s*$/;

/** Milliseconds, as PostgreSQL reads the setting; 0 (never) for what it would not take. */
export function timeoutMs(setting: string | undefined): number {
  const [, number = '0', unit = 'ms'] = pattern.exec(setting ?? '') ?? [];
  return Number(number) * (unitMs[unit] ?? 1);
}

/** Whether an operation may have changed it inside its transaction. @param tags of its statements, as they were answered */
export function mayChangeTimeout(statements: readonly string[], tags: readonly string[]): boolean {
  return (
    statements.some((sql) => /statement_timeout|^\s*reset\s+all\b/i.test(sql)) || tags.includes('ROLLBACK')
  );
}
