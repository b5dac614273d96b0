/** Why answers wait for other regions, in words for an operator. */
import { formatAge } from '../../../regions/core.ts';

/** @param forMs how long the oldest redo that is durable in this region alone has been so. */
export function holdText({ forMs, rpoMs }: { readonly forMs: number; readonly rpoMs: number }): string {
  return (
    `what this region has had for ${formatAge(forMs)} is in no other one, and answers wait for that (policy --rpo-ms ${rpoMs}): ` +
    'bring a secondary back, or let them go with `sextant policy --rpo-ms off`'
  );
}
