/** Drops what earlier smoke programs left, by requests that no client under test takes part in. */
import { z } from 'zod';

const limitMs = 30_000;

const answerSchema = z.object({
  results: z.array(
    z.discriminatedUnion('type', [
      z.object({
        type: z.literal('ok'),
        response: z.object({
          result: z.object({ rows: z.array(z.array(z.object({ value: z.string() }))) }).optional(),
        }),
      }),
      z.object({ type: z.literal('error'), error: z.object({ message: z.string() }) }),
    ]),
  ),
});

async function pipeline(gateway: string, request: object): Promise<readonly string[]> {
  const response = await fetch(`${gateway}/v2/pipeline`, {
    method: 'POST',
    body: JSON.stringify({ requests: [request, { type: 'close' }] }),
    signal: AbortSignal.timeout(limitMs),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${gateway} answered ${response.status}: ${text}`);
  const [first] = answerSchema.parse(JSON.parse(text)).results;
  if (first?.type !== 'ok') throw new Error(`${gateway}: ${first?.error.message ?? 'no result'}`);
  return (first.response.result?.rows ?? []).flatMap(([name]) => (name === undefined ? [] : [name.value]));
}

/**
 * Drops every table whose name begins with `smoke_`. Through the gateway that is tried next, which therefore never reads
 * behind it. Books first: they refer to authors.
 *
 * @throws when the gateway does not answer within 30 s, or refuses
 */
export async function sweep(gateway: string): Promise<void> {
  const sql = String.raw`SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'smoke\_%' ESCAPE '\'`;
  const names = await pipeline(gateway, { type: 'execute', stmt: { sql } });
  if (names.length === 0) return;
  const ordered = [...names].sort((a, b) => Number(b === 'smoke_book') - Number(a === 'smoke_book'));
  const drops = ordered.map((name) => `DROP TABLE "${name.replaceAll('"', '""')}";`).join('\n');
  await pipeline(gateway, { type: 'sequence', sql: drops });
}
