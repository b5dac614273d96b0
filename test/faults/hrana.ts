/** A client as rude as need be: raw Hrana streams that hang up, stay open, and say how long an answer took. */
import { z } from 'zod';

const value = z.object({ type: z.string(), value: z.union([z.string(), z.number()]).optional() });
const pipeline = z.object({
  baton: z.string().nullable(),
  results: z.array(
    z.object({
      type: z.string(),
      error: z.object({ code: z.string().nullish(), message: z.string() }).optional(),
      response: z.object({ result: z.object({ rows: z.array(z.array(value)) }).optional() }).optional(),
    }),
  ),
});

export type Answer =
  | { readonly ok: true; readonly rows: readonly (readonly (string | number | null)[])[] }
  /** `code` is `HTTP` for what is no answer of the protocol: a refused connection, a timeout, a hang-up. */
  | { readonly ok: false; readonly code: string; readonly message: string };

export interface Argument {
  readonly type: 'integer' | 'text' | 'blob';
  readonly value?: string;
  readonly base64?: string;
}

export class RawStream {
  private readonly url: string;
  private baton: string | null = null;

  constructor(address: string) {
    this.url = `http://${address}`;
  }

  /** Never rejects. @param signal hangs up. */
  async sql(
    sql: string,
    options: {
      readonly args?: readonly Argument[];
      readonly signal?: AbortSignal;
      readonly limitMs?: number;
    } = {},
  ): Promise<Answer> {
    const limit = AbortSignal.timeout(options.limitMs ?? 60_000);
    const signal = options.signal === undefined ? limit : AbortSignal.any([limit, options.signal]);
    try {
      const answer = await fetch(`${this.url}/v3/pipeline`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          baton: this.baton,
          requests: [{ type: 'execute', stmt: { sql, args: options.args ?? [], want_rows: true } }],
        }),
        signal,
      });
      const text = await answer.text();
      if (!answer.ok) return { ok: false, code: 'HTTP', message: `${answer.status} ${text.slice(0, 200)}` };
      const { baton, results } = pipeline.parse(JSON.parse(text));
      this.baton = baton;
      const [result] = results;
      if (result?.error !== undefined)
        return { ok: false, code: result.error.code ?? 'none', message: result.error.message };
      const rows = result?.response?.result?.rows ?? [];
      return { ok: true, rows: rows.map((row) => row.map((one) => one.value ?? null)) };
    } catch (error) {
      return { ok: false, code: 'HTTP', message: error instanceof Error ? error.message : String(error) };
    }
  }

  /** Ends the stream as a client does that says so. */
  async close(): Promise<void> {
    if (this.baton === null) return;
    await fetch(`${this.url}/v3/pipeline`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ baton: this.baton, requests: [{ type: 'close' }] }),
      signal: AbortSignal.timeout(5_000),
    }).catch(() => null);
    this.baton = null;
  }
}

/** One statement on a stream of its own. */
export async function once(address: string, sql: string, limitMs?: number): Promise<Answer> {
  const stream = new RawStream(address);
  const answer = await stream.sql(sql, limitMs === undefined ? {} : { limitMs });
  await stream.close();
  return answer;
}

/** The error of an answer in a few words, or `ok`. */
export const shortly = (answer: Answer): string =>
  answer.ok ? 'ok' : `${answer.code}: ${answer.message.slice(0, 120)}`;
