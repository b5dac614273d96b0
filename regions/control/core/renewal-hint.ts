/**
 * What is said with the news of a change of the control record, so that most of them need not be read. The holder renews its lease
 * all the time, and a renewal changes nothing but `n`: whoever has the record before it makes the next one itself.
 *
 * A hint proves no more than a read does, and decides nothing (R5). One that is wrong costs a compare-and-set that is lost.
 */
import type { ControlView } from './control-port.ts';
import type { ControlRecord } from './control-record.ts';

/** The header of a hint that says which record was renewed. A version that does not know it reads the record, as it does at any hint. */
export const renewalHeader = 'Sextant-Renews';

/** Names a record: by its revision, and by what tells it from one of another bucket, whose revisions begin anew. */
const nameOf = ({ seq, record }: ControlView): string => `${seq}/${record.n}/${record.epoch}`;

/** @returns what to say of a change from `before` to `after`; null when it is more than a renewal, or `before` is not known. */
export function renewalOf(before: ControlView | null, after: ControlView): string | null {
  if (before === null || after.seq !== before.seq + 1 || after.record.n !== before.record.n + 1) return null;
  const contentOf = (record: ControlRecord): string => JSON.stringify({ ...record, n: 0 });
  return contentOf(before.record) === contentOf(after.record) ? nameOf(before) : null;
}

/** @returns the record after that renewal; null where another one is known, and the record has to be read. */
export function renewed(known: ControlView | null, renews: string | undefined): ControlView | null {
  if (known === null || renews !== nameOf(known)) return null;
  return { seq: known.seq + 1, record: { ...known.record, n: known.record.n + 1 } };
}
