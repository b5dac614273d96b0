/**
 * The shape of a volume: how long its pages are, and how many bytes of pages lie in one protection group. It is decided once, when
 * the first epoch is forked from genesis, and stands in that fork; forks are on every path, in every state file and in every
 * message that tells a path, so writers, nodes and regions have the same one by construction (S44).
 */
import { z } from 'zod';
import { type Epoch, genesisEpoch } from '../redo/ids.ts';
import { redoLimits } from '../redo/limits.ts';

export interface Geometry {
  readonly pageBytes: number;
  /** Span of one protection group. */
  readonly pgBytes: number;
}

/** Of a volume whose first fork says nothing, as all did before there was a choice. */
export const defaultGeometry: Geometry = {
  pageBytes: redoLimits.pageBytes,
  pgBytes: redoLimits.pgBytesDefault,
};

/** Span of a protection group as an operator may choose it for a new volume. */
export const pgBytesSchema = z
  .int()
  .min(redoLimits.pgBytesMin, 'at least 1048576 bytes (1 MiB)')
  .multipleOf(redoLimits.pageBytes, 'a multiple of the page size, 4096');

/** As it crosses a wire or a disk. A length of pages that this version cannot read is for a recovery to refuse, in words. */
export const geometrySchema = z.strictObject({
  pageBytes: z.int().min(512).max(65_536),
  pgBytes: pgBytesSchema,
});

/** @param forks the path from genesis on. */
export function geometryOf(
  forks: readonly { readonly parent: Epoch; readonly geometry?: Geometry }[],
): Geometry {
  return forks.find(({ parent }) => parent === genesisEpoch)?.geometry ?? defaultGeometry;
}

/** What the first fork of a volume says; undefined for the default, which older versions read, too. */
export function saidGeometry(geometry: Geometry): Geometry | undefined {
  return sameGeometry(geometry, defaultGeometry) ? undefined : geometry;
}

export const sameGeometry = (one: Geometry, other: Geometry): boolean =>
  one.pageBytes === other.pageBytes && one.pgBytes === other.pgBytes;

/** Why this version cannot work on such a volume, in words; null when it can. */
export function geometryProblem({ pageBytes }: Geometry): string | null {
  if (pageBytes === redoLimits.pageBytes) return null;
  return `the volume has pages of ${pageBytes} bytes, and this version of Sextant works on pages of ${redoLimits.pageBytes}`;
}
