/** Which region could take over, at what price, and the buttons that begin it. */
import type { LiveEvent, RegionReadiness } from '../core/api-types.ts';
import { duration, loss } from '../core/format.ts';
import type { MoveKind } from '../core/moves.ts';
import { attribute, button, chip, h, Keyed, panel, showChip, text } from '../view/dom.ts';
import type { PageState, View } from '../view/page-state.ts';

const columns = ['Region', 'Ready', 'Switchover', 'Failover', 'Lost if now', 'Move there'] as const;

const about = ({ possible, aboutMs }: RegionReadiness['switchover']): string =>
  possible ? `about ${duration(aboutMs)}` : 'refused';

/** @param begin somebody wants to move to a region, as of an event. */
export function readinessTable(begin: (kind: MoveKind, target: string, event: LiveEvent) => void): View {
  const body = h('tbody');
  const head = h('tr', {}, ...columns.map((name) => h('th', { scope: 'col' }, name)));
  const state = h('p', { class: 'note' });
  const element = panel('Readiness', h('table', { class: 'cards' }, h('thead', {}, head), body), state);
  let event: LiveEvent | null = null;
  const start = (kind: MoveKind, target: string) => () => {
    if (event !== null) begin(kind, target, event);
  };
  const rows = new Keyed<RegionReadiness, HTMLTableRowElement>(
    body,
    ({ region }) => {
      const buttons = h(
        'td',
        { class: 'buttons', 'data-label': columns[5] },
        button('Switch over…', start('switchover', region), 'main'),
        button('Fail over…', start('failover', region), 'danger'),
      );
      const [switchover, failover] = buttons.children;
      if (switchover !== undefined) attribute(switchover, 'aria-label', `Switch over to ${region}`);
      if (failover !== undefined) attribute(failover, 'aria-label', `Fail over to ${region}`);
      const cells = columns.slice(1, 5).map((name) => h('td', { 'data-label': name }));
      cells[0]?.append(chip(), h('span', { class: 'reasons' }));
      return h('tr', {}, h('th', { scope: 'row' }, region), ...cells, buttons);
    },
    (row, readiness) => {
      const [, ready, switchover, failover, lose] = row.children;
      const [mark, reasons] = ready?.children ?? [];
      if (mark instanceof HTMLElement)
        showChip(mark, readiness.ready ? 'good' : 'warn', readiness.ready ? 'yes' : 'no');
      if (reasons !== undefined) text(reasons, readiness.reasons.join(' · '));
      if (switchover instanceof HTMLElement) {
        text(switchover, about(readiness.switchover));
        attribute(switchover, 'title', readiness.switchover.reason ?? readiness.switchover.madeOf);
      }
      if (failover instanceof HTMLElement) {
        text(failover, about(readiness.failover));
        attribute(failover, 'title', readiness.failover.reason ?? readiness.failover.madeOf);
      }
      if (lose !== undefined) text(lose, loss(readiness.failover.wouldLose));
    },
  );
  return {
    element,
    update(page: PageState) {
      event = page.event;
      if (event === null) return;
      rows.show(event.readiness.regions, ({ region }) => region);
      const { failover, primary } = event.status;
      const automatic = failover.automatic
        ? 'A failover begins by itself when the primary is lost'
        : 'No failover begins by itself';
      const why = failover.reason === null ? '' : `: ${failover.reason}`;
      const suspected =
        failover.suspectedBy.length === 0
          ? ''
          : ` ${failover.suspectedBy.join(', ')} hold ${primary ?? 'the primary'} for lost.`;
      text(state, `${automatic}${why}.${suspected}`);
    },
  };
}
