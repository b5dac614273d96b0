/** The control store as promises, for code that does one thing after another. */
import type { ControlReading, ControlStore, ControlView, ControlWrite } from '../core/control-port.ts';
import type { Transition } from '../core/control-record.ts';

export const readControl = (store: ControlStore): Promise<ControlReading> => new Promise((resolve) => store.read(resolve));

export const writeControl = (
  store: ControlStore,
  expectedSeq: number,
  record: ControlView['record'],
): Promise<ControlWrite> => new Promise((resolve) => store.compareAndSet(expectedSeq, record, resolve));

export type Changed =
  | { readonly kind: 'changed'; readonly view: ControlView }
  | { readonly kind: 'refused'; readonly code: string; readonly reason: string }
  | { readonly kind: 'unavailable'; readonly reason: string };

/** A renewal may win the race for a revision any number of times; more tries than this mean something else is wrong. */
const triesMax = 20;

/** Reads, applies a transition, writes; again when somebody else was first. */
export async function changeControl(store: ControlStore, transition: (view: ControlView) => Transition): Promise<Changed> {
  let reason = 'the control record keeps changing';
  for (let tries = 0; tries < triesMax; tries++) {
    const reading = await readControl(store);
    if (reading.kind === 'absent') return { kind: 'unavailable', reason: 'there is no control record: the cluster was never set up, or its bucket is lost' };
    if (reading.kind !== 'record') {
      reason = reading.reason;
      continue;
    }
    const next = transition(reading.view);
    if (next.kind === 'refused') return next;
    const write = await writeControl(store, reading.view.seq, next.record);
    if (write.kind === 'won') return { kind: 'changed', view: { seq: write.seq, record: next.record } };
    if (write.kind === 'unknown') reason = write.reason;
  }
  return { kind: 'unavailable', reason };
}
