/** Drills: started, watched, and their reports opened. */
import type { Drill, DrillSummary, Drills } from '../core/api-types.ts';
import { drillKinds, drillWords, spaced } from '../core/drill-words.ts';
import { count, day, duration } from '../core/format.ts';
import { ask, drillStartMs } from '../link/ask.ts';
import { confirm } from '../view/dialog.ts';
import { attribute, chip, h, Keyed, panel, showChip, type Tone, text } from '../view/dom.ts';
import { happeningsLog } from '../view/happenings-log.ts';
import type { PageState, View } from '../view/page-state.ts';
import { drillReport } from './drill-report.ts';

const pollMs = 1_000;
const stateTone: Readonly<Record<Drill['state'], Tone>> = {
  running: 'warn',
  passed: 'good',
  failed: 'bad',
  abandoned: 'bad',
};
const columns = ['Begun', 'Kind', 'State', 'RTO', 'RPO', 'Lost', ''] as const;

export interface DrillsView extends View {
  /** The part of the page is open, with this drill's report; or it is not. */
  at(open: boolean, id: string | null): void;
}

/** A number out of a field; undefined where it is empty. */
const numberOf = (field: HTMLInputElement): number | undefined =>
  field.value.trim() === '' ? undefined : Number(field.value);

export function drills(): DrillsView {
  const kind = h(
    'select',
    { id: 'drill-kind' },
    ...drillKinds.map((name) => h('option', { value: name }, spaced(name))),
  );
  const region = h('select', { id: 'drill-region' }, h('option', { value: '' }, 'the usual one'));
  const rto = h('input', { type: 'number', id: 'drill-rto', min: 0, placeholder: 'no limit' });
  const rpo = h('input', { type: 'number', id: 'drill-rpo', min: 0, placeholder: 'no limit' });
  const seconds = h('input', { type: 'number', id: 'drill-seconds', min: 1, max: 3_600, value: 8 });
  const about = h('p', { class: 'note' }, drillWords[drillKinds[0] ?? 'switchover']);
  kind.addEventListener('change', () => text(about, drillWords[kind.value as Drill['kind']]));
  const row = (label: string, field: HTMLElement) =>
    h('div', { class: 'field' }, h('label', { for: field.id }, label), field);
  const form = h(
    'form',
    { class: 'form' },
    row('Kind', kind),
    about,
    row('Region', region),
    row('RTO at most (ms)', rto),
    row('RPO at most (commits)', rpo),
    row('Load for (s)', seconds),
    h('div', { class: 'actions' }, h('button', { type: 'submit', class: 'button main' }, 'Start a drill…')),
  );
  const said = h('p', { class: 'error', role: 'alert' });
  const rows = h('tbody');
  const none = h('p', { class: 'note' }, 'No drill was run yet.');
  const log = happeningsLog('What happens now');
  const list = panel(
    'Drills run',
    h(
      'table',
      { class: 'cards' },
      h('thead', {}, h('tr', {}, ...columns.map((name) => h('th', { scope: 'col' }, name)))),
      rows,
    ),
    none,
    said,
  );
  const report = h('div', { class: 'report', 'aria-live': 'polite' });
  const element = h(
    'div',
    { class: 'columns' },
    h('div', {}, panel('New drill', form), log.element),
    h('div', {}, list, report),
  );

  const table = new Keyed<DrillSummary, HTMLTableRowElement>(
    rows,
    ({ id }) => {
      const cells = columns.map((name) => h('td', { 'data-label': name }));
      cells[2]?.append(chip());
      cells[6]?.append(
        h('a', { href: `#/drills/${encodeURIComponent(id)}`, 'aria-label': `Report of ${id}` }, 'Report'),
      );
      return h('tr', {}, ...cells);
    },
    (row, drill) => {
      const [begun, name, state, rtoCell, rpoCell, lost] = row.children;
      if (begun !== undefined) text(begun, day(Date.parse(drill.startedAt)));
      if (name !== undefined) text(name, spaced(drill.kind));
      const mark = state?.firstElementChild;
      if (mark instanceof HTMLElement) showChip(mark, stateTone[drill.state], drill.state);
      if (rtoCell !== undefined) text(rtoCell, duration(drill.rtoMs));
      if (rpoCell !== undefined)
        text(rpoCell, drill.rpoCommits === null ? '–' : `${count(drill.rpoCommits)} commits`);
      if (lost !== undefined) text(lost, count(drill.lostWrites));
    },
  );

  let isOpen = false;
  let wanted: string | null = null;
  let shownKey = '';
  let page: PageState | null = null;
  let timer: number | undefined;

  const look = async (): Promise<void> => {
    window.clearTimeout(timer);
    if (!isOpen) return;
    const answer = await ask<Drills>('/v1/drills');
    text(said, answer.ok ? '' : answer.message);
    if (answer.ok) {
      attribute(none, 'hidden', answer.body.drills.length > 0);
      table.show(answer.body.drills, ({ id }) => id);
    }
    await lookAtReport();
    timer = window.setTimeout(() => void look(), pollMs);
  };
  const lookAtReport = async (): Promise<void> => {
    if (wanted === null) return;
    const key = shownKey;
    if (key === `${wanted} ended`) return;
    const answer = await ask<Drill>(`/v1/drills/${encodeURIComponent(wanted)}`);
    if (!answer.ok)
      return report.replaceChildren(panel('Report', h('p', { class: 'error' }, answer.message)));
    const { body: drill } = answer;
    const next = `${drill.id} ${drill.report === null ? drill.state : 'ended'}`;
    if (next === shownKey) return;
    shownKey = next;
    report.replaceChildren(drillReport(drill, page));
  };

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const request = {
      kind: kind.value,
      ...(region.value !== '' && { region: region.value }),
      ...(numberOf(rto) !== undefined && { rtoMs: numberOf(rto) }),
      ...(numberOf(rpo) !== undefined && { rpoCommits: numberOf(rpo) }),
      ...(numberOf(seconds) !== undefined && { seconds: numberOf(seconds) }),
    };
    confirm({
      title: `Drill: ${spaced(kind.value)}`,
      sentences: [
        drillWords[kind.value as Drill['kind']],
        'It writes under a load of its own, heals what it broke, moves everything back, and gives a verdict.',
      ],
      word: kind.value,
      act: 'Start the drill',
      run: async () => {
        const answer = await ask<Drill>('/v1/drills', { body: request, waitMs: drillStartMs });
        if (!answer.ok) return `${answer.message} (${answer.code})`;
        window.location.hash = `#/drills/${encodeURIComponent(answer.body.id)}`;
        void look();
        return null;
      },
    });
  });

  return {
    element,
    at(open, id) {
      const opens = open && !isOpen;
      isOpen = open;
      if (id !== wanted) {
        wanted = id;
        shownKey = '';
        report.replaceChildren();
      }
      if (opens || (open && id !== null)) void look();
      if (!open) window.clearTimeout(timer);
    },
    update(state) {
      page = state;
      log.update(state);
      const names = (state.event?.status.regions ?? []).map(({ name }) => name);
      while (region.options.length <= names.length) region.append(h('option', { value: '' }));
      names.forEach((name, at) => {
        const option = region.options[at + 1];
        if (option === undefined) return;
        attribute(option, 'value', name);
        text(option, name);
      });
    },
  };
}
