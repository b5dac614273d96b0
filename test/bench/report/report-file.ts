/** A run's results as they were written, to make RESULTS.md of them again without measuring anything. */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import type { Page } from './report.ts';

const table = z.object({ title: z.string(), head: z.array(z.string()), rows: z.array(z.array(z.string())) });
const panel = z.object({
  title: z.string(),
  unit: z.string(),
  series: z.array(z.string()),
  groups: z.array(z.object({ label: z.string(), values: z.array(z.number().nullable()) })),
});
const page = z.object({
  provenance: z.object({
    date: z.string(),
    commit: z.string(),
    command: z.string(),
    machine: z.string(),
    node: z.string(),
  }),
  systems: z.array(z.object({ title: z.string(), version: z.string(), durability: z.string() })),
  missing: z.array(z.string()),
  ratios: z.record(z.string(), z.number()),
  goals: z.array(
    z.object({
      text: z.string(),
      value: z.number().nullable(),
      bound: z.number(),
      better: z.enum(['atLeast', 'atMost']),
    }),
  ),
  sections: z.array(
    z.object({
      name: z.string(),
      title: z.string(),
      notes: z.array(z.string()),
      tables: z.array(table),
      answers: z.array(table).exactOptional(),
      panels: z.array(panel),
    }),
  ),
});

/** @param file a `results.json`, or what `--json` printed. @throws Error that names the file and what is wrong with it */
export function readPage(file: string): Page {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new Error(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  return parsePage(text, file);
}

/** @throws Error as for `readPage` */
export function parsePage(text: string, file: string): Page {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new Error(`${file} is no JSON: give it the results.json of a run (--out DIR)`);
  }
  const parsed = z.looseObject({ page }).safeParse(json);
  if (!parsed.success)
    throw new Error(
      `${file} is not the results.json of a run of this version: ${z.prettifyError(parsed.error)}`,
    );
  return parsed.data.page;
}
