/** The log of what has happened while the page was open. */
import { clock } from '../core/format.ts';
import { attribute, chip, h, panel, showChip } from './dom.ts';
import type { PageState, View } from './page-state.ts';

/** @param title what it is called where it stands. */
export function happeningsLog(title: string): View {
  const list = h('ol', { class: 'log', 'aria-live': 'polite' });
  const none = h('p', { class: 'note' }, 'Nothing has changed since this page was opened.');
  const element = panel(title, list, none);
  return {
    element,
    update({ happenings }: PageState) {
      attribute(none, 'hidden', happenings.length > 0);
      const key = JSON.stringify(happenings[0] ?? null);
      if (list.dataset.newest === key) return;
      list.dataset.newest = key;
      list.replaceChildren(
        ...happenings.map(({ atMs, tone, words }) => {
          const mark = chip();
          showChip(mark, tone, words);
          return h('li', {}, h('time', {}, clock(atMs)), mark);
        }),
      );
    },
  };
}
