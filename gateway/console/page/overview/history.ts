/** The history tree, the newest epoch first. */
import { bytes, count, some } from '../core/format.ts';
import { type HistoryRow, historyOf } from '../core/history.ts';
import { attribute, h, Keyed, panel, s, text } from '../view/dom.ts';
import type { PageState, View } from '../view/page-state.ts';

/** The branch that a row's line has, as a drawing beside its words. */
function gutter(): SVGSVGElement {
  return s(
    'svg',
    { class: 'gutter', viewBox: '0 0 36 44', width: 36, height: 44, 'aria-hidden': 'true' },
    s('path', { class: 'trunk above', d: 'M10 0V22' }),
    s('path', { class: 'trunk below', d: 'M10 22V44' }),
    s('path', { class: 'orphan', d: 'M10 22C22 22 26 18 26 6' }),
    s('path', { class: 'orphan-end', d: 'M22.5 2.5l7 7M29.5 2.5l-7 7' }),
    s('circle', { class: 'epoch', cx: 10, cy: 22, r: 5 }),
  );
}

function wordsOf(row: HistoryRow): string {
  if (row.forkLsn === null || row.parent === null) return 'known by what it lost alone';
  const from =
    row.parent === 0 ? 'the beginning of history' : `continues epoch ${row.parent} at ${count(row.forkLsn)}`;
  if (row.kind === 'aside') return `${from}; left whole`;
  return row.untilLsn === null ? from : `${from}, up to ${count(row.untilLsn)}`;
}

export function historyTree(): View {
  const list = h('ol', { class: 'history' });
  const older = h('p', { class: 'note', hidden: true }, 'Older epochs are not shown.');
  const element = panel('History', list, older);
  const rows = new Keyed<HistoryRow & { readonly isFirst: boolean; readonly isLast: boolean }, HTMLElement>(
    list,
    () =>
      h(
        'li',
        {},
        gutter(),
        h(
          'div',
          {},
          h('b'),
          h('span', { class: 'under' }),
          h('a', { class: 'lost', href: '#/losses', hidden: true }),
        ),
      ),
    (item, row) => {
      attribute(item, 'data-kind', row.kind);
      attribute(item, 'data-first', row.isFirst);
      attribute(item, 'data-last', row.isLast);
      const hasLoss = row.loss !== null || row.hasUnreadLoss;
      attribute(item, 'data-lost', hasLoss);
      const [name, under, lost] = item.lastElementChild?.children ?? [];
      if (name === undefined || under === undefined || lost === undefined) return;
      text(name, `epoch ${row.epoch}${row.kind === 'head' ? ' · now' : ''}`);
      text(under, wordsOf(row));
      attribute(lost, 'hidden', !hasLoss);
      if (row.loss !== null)
        text(
          lost,
          `${some(row.loss.count, 'write')} lost in ${row.loss.region} (${bytes(row.loss.lostBytes)})`,
        );
      else text(lost, 'lost writes are known');
    },
  );
  return {
    element,
    update({ event, losses }: PageState) {
      if (event === null) return;
      const { rows: found, hasOlder } = historyOf(event.forks, losses?.losses ?? [], event.lossEpochs);
      attribute(older, 'hidden', !hasOlder);
      rows.show(
        found.map((row, at) => ({ ...row, isFirst: at === 0, isLast: at === found.length - 1 })),
        ({ epoch }) => String(epoch),
      );
    },
  };
}
