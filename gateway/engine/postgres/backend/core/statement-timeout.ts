/** `statement_timeout` as a session has set it: nothing in the backend looks at a clock. Pure. */

/** Whether an operation may have changed it inside its transaction. @param tags of its statements, as they were answered */
export function mayChangeTimeout(statements: readonly string[], tags: readonly string[]): boolean {
  return (
    statements.some((sql) => /statement_timeout|^\s*reset\s+all\b/i.test(sql)) || tags.includes('ROLLBACK')
  );
}
