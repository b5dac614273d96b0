/** One drill's report, as its page of its own has it: the verdict, what it is made of, and what happened when. */
import type { Drill, DrillReport } from '../core/api-types.ts';
import { spaced } from '../core/drill-words.ts';
import { bytes, count, day, duration, some } from '../core/format.ts';
import { chip, h, panel, showChip, type Tone } from '../view/dom.ts';
import { type PageState, traceUrl } from '../view/page-state.ts';

const lostShown = 100;

function mark(tone: Tone, words: string): HTMLElement {
  const element = chip();
  showChip(element, tone, words);
  return element;
}

/** An id of a trace, as a link where there is somewhere to look. */
export function trace(page: Pick<PageState, 'event'> | null, traceId: string | null): Node {
  if (traceId === null) return h('span', { class: 'note' }, 'not traced');
  const url = page === null ? null : traceUrl(page, traceId);
  const short = `${traceId.slice(0, 8)}…`;
  return url === null
    ? h('code', { title: traceId }, short)
    : h('a', { href: url, target: '_blank', rel: 'noopener noreferrer', title: traceId }, `trace ${short}`);
}

export function drillReport(drill: Drill, page: PageState | null): HTMLElement {
  const { report, state } = drill;
  const back = h('p', {}, h('a', { href: '#/drills' }, 'Close the report'));
  if (report === null) {
    const words =
      state === 'running'
        ? 'It runs. Its report comes when it has ended and moved everything back.'
        : 'Its process ended without a report, and may have left something broken: look at the regions.';
    return panel(
      `Drill ${spaced(drill.kind)}`,
      mark(state === 'running' ? 'warn' : 'bad', state),
      h('p', {}, words),
      back,
    );
  }
  const verdict = mark(
    report.passed ? 'good' : 'bad',
    report.passed ? 'Passed' : report.interrupted ? 'Interrupted' : 'Failed',
  );
  const element = panel(
    `Drill ${spaced(report.kind)}`,
    h(
      'p',
      { class: 'verdict' },
      verdict,
      h('span', { class: 'note' }, `${report.region} · ${day(Date.parse(report.startedAt))} · ${report.id}`),
    ),
    facts(report),
    h('h3', {}, 'Checks'),
    h(
      'ul',
      { class: 'checks' },
      ...objectives(report),
      ...report.checks.map(({ name, held, detail }) => line(held, name, detail)),
    ),
    ...rtoParts(report),
    ...losses(report, page),
    h('h3', {}, 'What happened'),
    h(
      'ol',
      { class: 'timeline' },
      ...report.timeline.map(({ atMs, phase, event }) =>
        h(
          'li',
          {},
          h('time', {}, duration(atMs)),
          h('span', { class: 'phase' }, spaced(phase)),
          h('span', {}, event),
        ),
      ),
    ),
    h('p', { class: 'note' }, 'Trace of the drill: ', trace(page, report.traceId)),
    back,
  );
  element.dataset.verdict = report.passed ? 'passed' : 'failed';
  return element;
}

const line = (held: boolean, name: string, detail: string): HTMLElement =>
  h(
    'li',
    {},
    mark(held ? 'good' : 'bad', held ? 'held' : 'not held'),
    h('span', {}, name),
    h('span', { class: 'note' }, detail),
  );

function objectives({ objectives: all }: DrillReport): readonly HTMLElement[] {
  return all.map(({ name, limit, actual, held }) => {
    const isTime = name === 'rtoMs';
    const words = (value: number | null): string => (isTime ? duration(value) : count(value));
    return line(
      held,
      isTime ? 'recovery time' : 'lost commits',
      `${words(actual)} of at most ${words(limit)}`,
    );
  });
}

function facts(report: DrillReport): HTMLElement {
  const all: readonly (readonly [string, string])[] = [
    ['Recovery time', duration(report.rtoMs)],
    ['Longest pause of writes', duration(report.writeStallMs)],
    [
      'Lost commits',
      report.dataCompared
        ? `${count(report.rpoCommits)} (${duration(report.rpoMs)}, ${bytes(report.rpoBytes)})`
        : 'unknown: the data could not be compared',
    ],
    ['Acknowledged writes', count(report.acknowledgedWrites)],
    ['Refused, unknown', `${count(report.refusedWrites)}, ${count(report.unknownWrites)}`],
    ['Moved back in', duration(report.failbackMs)],
    ['Primary', `${report.primaryBefore} → ${report.primaryAfter ?? 'nobody'}`],
    [
      'Steady latency',
      `${duration(report.latency.steadyP50Ms)} · p99 ${duration(report.latency.steadyP99Ms)}`,
    ],
  ];
  return h(
    'dl',
    { class: 'facts many' },
    ...all.map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))),
  );
}

function rtoParts({ rtoPhases, rtoMs }: DrillReport): readonly HTMLElement[] {
  if (rtoPhases.length === 0 || rtoMs === null || rtoMs <= 0) return [];
  return [
    h('h3', {}, 'What the recovery time was made of'),
    h(
      'ul',
      { class: 'parts' },
      ...rtoPhases.map(({ name, ms }) => {
        const bar = h('meter', { min: 0, max: rtoMs, value: ms, 'aria-hidden': 'true' });
        return h('li', {}, h('span', {}, spaced(name)), bar, h('b', {}, duration(ms)));
      }),
    ),
  ];
}

function losses({ lost }: DrillReport, page: PageState | null): readonly HTMLElement[] {
  if (lost.length === 0) return [];
  return [
    h('h3', {}, `${some(lost.length, 'acknowledged write')} lost`),
    h(
      'ul',
      { class: 'checks' },
      ...lost
        .slice(0, lostShown)
        .map(({ id, region, acknowledgedAt, traceId, reported }) =>
          h(
            'li',
            {},
            mark(reported ? 'warn' : 'bad', reported ? 'named by the deployment' : 'not named'),
            h('span', {}, `write ${id}, acknowledged in ${region} at ${day(Date.parse(acknowledgedAt))}`),
            trace(page, traceId),
          ),
        ),
    ),
  ];
}
