/**
 * The manifest: which runs hold the images, in order. They form a chain, (0, a], (a, b], (b, c] …: the first is the base, with
 * every page there is at a. A page as of an LSN is in the newest run that ends at or below it and holds the page.
 *
 * S13: the runs of a manifest are on the disk before it names them, and a file is removed only when no manifest names it any more.
 */
import { z } from 'zod';
import { type Epoch, epoch, type Lsn, lsn, zeroLsn } from '../../redo/ids.ts';
import type { RunFacts } from './run-format.ts';

/** A place in a history. */
export interface FoldPoint {
  readonly head: Epoch;
  readonly lsn: Lsn;
}

/** A run and the number of its file. */
export interface RunEntry extends RunFacts {
  readonly file: number;
}

export interface Manifest {
  readonly runs: readonly RunEntry[];
}

export const manifestVersion = 1;

const runSchema = z
  .strictObject({
    file: z.int().min(1),
    epoch: z.int().min(1),
    from: z.int().min(0),
    to: z.int().min(1),
    isConsistent: z.boolean(),
    endsAt: z.int().min(0).nullable(),
    pages: z.int().min(1),
    fuzzyTo: z.int().min(1).optional(),
  })
  .transform(
    ({ fuzzyTo, ...raw }): RunEntry => ({
      ...raw,
      epoch: epoch(raw.epoch),
      from: lsn(raw.from),
      to: lsn(raw.to),
      ...(fuzzyTo !== undefined && { fuzzyTo: lsn(fuzzyTo) }),
    }),
  );

const manifestSchema = z.strictObject({ runs: z.array(runSchema) });

export type ManifestParsed =
  | { readonly kind: 'ok'; readonly value: Manifest }
  | { readonly kind: 'bad'; readonly reason: string };

/** Turns what a state file held into a manifest. */
export function parseManifest(body: unknown): ManifestParsed {
  const parsed = manifestSchema.safeParse(body);
  if (!parsed.success) return { kind: 'bad', reason: z.prettifyError(parsed.error) };
  const end = chainLength(parsed.data.runs);
  if (end === parsed.data.runs.length) return { kind: 'ok', value: parsed.data };
  return {
    kind: 'bad',
    reason: `run ${end} of ${parsed.data.runs.length} does not follow the one before it`,
  };
}

/** So many runs from the first on follow one another. */
export function chainLength(runs: readonly Pick<RunEntry, 'from' | 'to'>[]): number {
  let end = zeroLsn;
  for (const [at, { from, to }] of runs.entries()) {
    if (from !== end || to <= from) return at;
    end = to;
  }
  return runs.length;
}

/**
 * The chain that can be made of the runs found on a disk whose manifest is lost. Leftovers of merges and of forks lie among
 * them: the newest epoch counts, for epochs only rise, then the longest run, then the newest file.
 */
export function chainOf(found: readonly RunEntry[]): readonly RunEntry[] {
  const chain: RunEntry[] = [];
  for (let end: Lsn = zeroLsn; ; ) {
    const before = chain.at(-1)?.epoch ?? 0;
    const next = found
      .filter((run) => run.from === end && run.epoch >= before)
      .reduce<RunEntry | null>((best, run) => (best === null || isBetter(run, best) ? run : best), null);
    if (next === null) return chain;
    chain.push(next);
    end = next.to;
  }
}

function isBetter(one: RunEntry, other: RunEntry): boolean {
  if (one.epoch !== other.epoch) return one.epoch > other.epoch;
  if (one.to !== other.to) return one.to > other.to;
  return one.file > other.file;
}

/** How many runs, from the first on, end at or below `at`: those that tell pages as of `at`. */
export function runsThrough(runs: readonly Pick<RunEntry, 'to'>[], at: Lsn): number {
  let count = runs.length;
  while (count > 0 && (runs[count - 1]?.to ?? zeroLsn) > at) count -= 1;
  return count;
}
