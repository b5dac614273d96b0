/** What failovers left behind, by epoch, and each write of it. */
import type { Losses, LossReport } from '../core/api-types.ts';
import { bytes, count, day, some } from '../core/format.ts';
import { ask } from '../link/ask.ts';
import { attribute, button, h, Keyed, panel, text } from '../view/dom.ts';
import type { PageState, View } from '../view/page-state.ts';
import { trace } from './drill-report.ts';

const commitsShown = 500;
const columns = ['Epoch', 'Branch', 'Region', 'Writes', 'Redo', 'First', 'Last', ''] as const;
type Summary = Losses['losses'][number];
const at = (us: number | null): string => (us === null ? '–' : day(us / 1_000));

export function lossesView(): View {
  const rows = h('tbody');
  const state = h('p', { class: 'note' });
  const head = h('tr', {}, ...columns.map((name) => h('th', { scope: 'col' }, name)));
  const list = panel(
    'Lost writes by epoch',
    h('table', { class: 'cards' }, h('thead', {}, head), rows),
    state,
  );
  const detail = h('div', { 'aria-live': 'polite' });
  const element = h('div', {}, list, detail);
  let page: PageState | null = null;

  const open = async (epoch: number): Promise<void> => {
    const answer = await ask<LossReport>(`/v1/losses/${epoch}`);
    const title = `Lost writes of epoch ${epoch}`;
    detail.replaceChildren(
      answer.ok
        ? commits(title, answer.body, page)
        : panel(title, h('p', { class: 'error' }, answer.message)),
    );
  };
  const table = new Keyed<Summary, HTMLTableRowElement>(
    rows,
    ({ orphanEpoch }) => {
      const cells = columns.map((name) => h('td', { 'data-label': name }));
      const show = button('Show', () => void open(orphanEpoch));
      attribute(show, 'aria-label', `Show the lost writes of epoch ${orphanEpoch}`);
      cells[7]?.append(show);
      return h('tr', {}, ...cells);
    },
    (row, loss) => {
      const words = [
        String(loss.orphanEpoch),
        loss.branch ?? 'main',
        loss.region,
        count(loss.count),
        bytes(loss.lostBytes),
        at(loss.firstCommitTimeUs),
        at(loss.lastCommitTimeUs),
      ];
      words.forEach((word, column) => {
        const cell = row.children[column];
        if (cell !== undefined) text(cell, word);
      });
    },
  );
  return {
    element,
    update(pageState) {
      page = pageState;
      const { losses } = pageState;
      if (losses === null) return text(state, 'The regions are being asked.');
      table.show(losses.losses, ({ orphanEpoch }) => String(orphanEpoch));
      const found = losses.losses.length === 0 ? 'No lost writes are known.' : '';
      const silent = losses.unreachable.map((name) => `${name} did not answer and may know of more.`);
      const later = losses.unanswered.map(
        ({ region, epoch, branches }) =>
          `${region} has not looked ${branches === undefined ? `under epoch ${epoch}` : `at branch ${branches.join(', ')}`} yet.`,
      );
      text(state, [found, ...silent, ...later].filter((words) => words !== '').join(' '));
    },
  };
}

function commits(title: string, report: LossReport, page: PageState | null): HTMLElement {
  const shown = report.commits.slice(0, commitsShown);
  const rest = report.count - shown.length;
  const more =
    rest > 0 ? `${some(rest, 'more write')} not shown here: sextant losses ${report.orphanEpoch}` : '';
  return panel(
    title,
    h(
      'p',
      { class: 'note' },
      `Written on ${report.branch ?? 'main'}, found by ${report.region} in epoch ${report.epoch}: LSNs ${count(report.fromLsn)} to ${count(report.toLsn)}. They stay on its disks.`,
    ),
    h(
      'table',
      {},
      h(
        'thead',
        {},
        h('tr', {}, ...['LSN', 'Committed', 'Trace'].map((name) => h('th', { scope: 'col' }, name))),
      ),
      h(
        'tbody',
        {},
        ...shown.map(({ lsn, commitTimeUs, traceId }) =>
          h(
            'tr',
            {},
            h('td', {}, count(lsn)),
            h('td', {}, at(commitTimeUs)),
            h('td', {}, trace(page, traceId)),
          ),
        ),
      ),
    ),
    h('p', { class: 'note' }, more),
  );
}
