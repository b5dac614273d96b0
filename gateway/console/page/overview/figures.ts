/** The few figures that say whether all is well. */
import { bytes, duration, figure, loss } from '../core/format.ts';
import { attribute, h, text } from '../view/dom.ts';
import type { PageState, View } from '../view/page-state.ts';

export function figures(): View {
  const make = (label: string) => {
    const value = h('dd', { class: 'value' });
    const more = h('dd', { class: 'more' });
    return { value, more, element: h('div', { class: 'figure' }, h('dt', {}, label), value, more) };
  };
  const writes = make('Committed writes');
  const latency = make('Write latency');
  const lag = make('Furthest behind');
  const lose = make('Lost if the primary were lost now');
  const ready = make('Ready to take over');
  const all = [writes, latency, lag, lose, ready];
  const element = h('dl', { class: 'figures' }, ...all.map(({ element }) => element));
  return {
    element,
    update({ event, curves }: PageState) {
      const rates = curves.rates;
      const isWriting = event !== null && event.writes !== null;
      text(writes.value, isWriting && rates !== null ? `${figure(rates.commits)}/s` : '–');
      text(
        writes.more,
        isWriting && rates !== null ? `${bytes(rates.redoBytes)}/s of redo` : 'nobody writes',
      );
      text(latency.value, duration(rates?.p50Ms ?? null));
      text(
        latency.more,
        rates?.p99Ms == null ? 'median; no commits lately' : `median · p99 ${duration(rates.p99Ms)}`,
      );
      const behind = (event?.status.regions ?? [])
        .filter(({ name }) => name !== event?.status.primary)
        .sort((a, b) => (b.lagMs ?? Infinity) - (a.lagMs ?? Infinity))[0];
      text(lag.value, duration(behind?.lagMs ?? null));
      text(lag.more, behind === undefined ? '' : `${behind.name} · ${bytes(behind.lagBytes)}`);
      const secondaries = event?.readiness.regions ?? [];
      const isReady = secondaries.filter(({ ready }) => ready);
      const best = [...secondaries].sort(
        (a, b) => (a.failover.wouldLose.bytes ?? Infinity) - (b.failover.wouldLose.bytes ?? Infinity),
      )[0];
      text(lose.value, best === undefined ? '–' : (loss(best.failover.wouldLose).split(' (')[0] ?? '–'));
      text(lose.more, best === undefined ? '' : `by a failover to ${best.region}`);
      text(ready.value, secondaries.length === 0 ? '–' : `${isReady.length} of ${secondaries.length}`);
      const unready = secondaries.find((region) => !region.ready);
      text(ready.more, unready === undefined ? 'secondary regions' : `not ${unready.region}`);
      attribute(ready.element, 'data-tone', unready === undefined ? null : 'warn');
    },
  };
}
