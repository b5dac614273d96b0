/** The control store as promises, for code that does one thing after another. */
import { machine, type Runtime } from '../../storage/index.ts';
import type { ControlReading, ControlStore, ControlView, ControlWrite } from './core/control-port.ts';
import type { Transition } from './core/control-record.ts';

export const readControl = (store: ControlStore): Promise<ControlReading> =>
  new Promise((resolve) => store.read(resolve));

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
/** The holder renews more often than this, so that news of a change that was lost to comes within it. */
const newsMs = 1_000;

/**
 * Reads, applies a transition, writes; again when somebody else was first. Whoever was first is heard of by the watch: a change
 * that leaves at that moment has the whole time until the next renewal for its way, also from far. A write whose outcome is
 * unknown is sent again as it was, so that a change that did take place is not taken for somebody else's.
 */
export async function changeControl(
  store: ControlStore,
  transition: (
    view: ControlView,
  ) => Transition | { readonly kind: 'refused'; readonly code: string; readonly reason: string },
  runtime: Runtime = machine,
): Promise<Changed> {
  let reason = 'the control record keeps changing';
  let unsettled: ControlView | null = null;
  let news: ControlView | null = null;
  for (let tries = 0; tries < triesMax; tries++) {
    let next: ControlView;
    if (unsettled !== null) {
      next = unsettled;
    } else {
      const reading: ControlReading =
        news === null ? await readControl(store) : { kind: 'record', view: news };
      if (reading.kind === 'absent')
        return {
          kind: 'unavailable',
          reason: 'there is no control record: the cluster was never set up, or its bucket is lost',
        };
      if (reading.kind === 'unusable') return { kind: 'unavailable', reason: reading.reason };
      if (reading.kind === 'unavailable') {
        reason = reading.reason;
        continue;
      }
      const outcome = transition(reading.view);
      if (outcome.kind === 'refused') return outcome;
      next = { seq: reading.view.seq, record: outcome.record };
    }
    const write = await writeControl(store, next.seq, next.record);
    if (write.kind === 'won') return { kind: 'changed', view: { seq: write.seq, record: next.record } };
    unsettled = write.kind === 'unknown' ? next : null;
    if (write.kind === 'unknown') reason = write.reason;
    else news = await newerThan(store, next.seq, runtime);
  }
  return { kind: 'unavailable', reason };
}

/** The first record above `seq` that the watch brings; null when it brings none in time. */
function newerThan(store: ControlStore, seq: number, runtime: Runtime): Promise<ControlView | null> {
  let ends = (): void => undefined;
  return new Promise<ControlView | null>((resolve) => {
    const timer = runtime.after(newsMs, () => resolve(null));
    const stop = store.watch((reading) => {
      if (reading.kind === 'record' && reading.view.seq > seq) resolve(reading.view);
    });
    ends = () => {
      timer.stop();
      stop();
    };
  }).finally(() => ends());
}
