/** One SQL statement at a time, through this gateway, as any client would send it. */
import { count, duration, some } from '../core/format.ts';
import { runSql, type SqlOutcome } from '../link/sql.ts';
import { attribute, button, h, panel, text } from '../view/dom.ts';
import { type PageState, traceUrl, type View } from '../view/page-state.ts';
import { trace } from './drill-report.ts';

const levels = ['session', 'eventual', 'global'] as const;
const limits = [100, 500, 2_000] as const;

export function sqlPane(): View {
  let page: PageState | null = null;
  const sql = h('textarea', {
    id: 'sql',
    rows: 6,
    spellcheck: 'false',
    autocapitalize: 'none',
    placeholder: 'SELECT * FROM sqlite_schema',
  });
  const level = h('select', { id: 'level' }, ...levels.map((name) => h('option', { value: name }, name)));
  const limit = h(
    'select',
    { id: 'limit' },
    ...limits.map((rows) => h('option', { value: rows }, count(rows))),
  );
  const status = h('p', { class: 'sql-status', role: 'status' });
  const problem = h('p', { class: 'error', role: 'alert' });
  const result = h('div', { class: 'rows', tabindex: 0, role: 'region', 'aria-label': 'Rows', hidden: true });
  const run = h('button', { type: 'submit', class: 'button main' }, 'Run');
  let running: AbortController | null = null;
  const stop = button('Stop', () => running?.abort());
  stop.hidden = true;
  const form = h(
    'form',
    { class: 'sql' },
    h('label', { for: 'sql', class: 'hidden' }, 'SQL'),
    sql,
    h(
      'div',
      { class: 'actions' },
      h('label', { for: 'level' }, 'Reads'),
      level,
      h('label', { for: 'limit' }, 'Rows at most'),
      limit,
      h('span', { class: 'spring' }),
      h('span', { class: 'note' }, 'Ctrl+Enter'),
      stop,
      run,
    ),
  );
  const show = (outcome: SqlOutcome): void => {
    text(problem, outcome.error === null ? '' : `${outcome.error.message} (${outcome.error.code})`);
    text(status, outcome.error === null ? summary(outcome) : `Failed after ${duration(outcome.tookMs)}`);
    const url = page === null ? null : traceUrl(page, outcome.traceId);
    if (url !== null) status.append(' · ', trace(page, outcome.traceId));
    attribute(result, 'hidden', outcome.columns.length === 0);
    result.replaceChildren(table(outcome));
  };
  const start = async (): Promise<void> => {
    if (running !== null || sql.value.trim() === '') return;
    running = new AbortController();
    stop.hidden = false;
    run.disabled = true;
    text(status, 'It runs.');
    text(problem, '');
    show(await runSql(sql.value, level.value, Number(limit.value), running.signal));
    running = null;
    stop.hidden = true;
    run.disabled = false;
  };
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void start();
  });
  sql.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    void start();
  });
  const command = h('code');
  const elsewhere = h(
    'div',
    { hidden: true },
    h(
      'p',
      { class: 'note' },
      'PostgreSQL keeps the databases of this deployment, and a browser does not speak its protocol. Any PostgreSQL client does:',
    ),
    h('p', {}, command),
  );
  return {
    element: panel('SQL', elsewhere, form, problem, status, result),
    update(state) {
      page = state;
      const shown = elsewhereCommand(state);
      attribute(elsewhere, 'hidden', shown === null);
      attribute(form, 'hidden', shown !== null);
      text(command, shown ?? '');
    },
  };
}

/** What a terminal is told in place of the form where PostgreSQL keeps the databases; null where a browser can ask. */
function elsewhereCommand({ event }: PageState): string | null {
  const regions = event?.status.regions ?? [];
  const own = regions.find(({ name }) => name === event?.region)?.postgres;
  const address = own ?? regions.find(({ postgres }) => typeof postgres === 'string')?.postgres;
  return typeof address === 'string' ? `psql postgres://USER@${address}/main` : null;
}

function summary({ rows, columns, hasMore, affected, tookMs }: SqlOutcome): string {
  const took = duration(tookMs);
  if (columns.length === 0) return `Done in ${took}: ${some(affected ?? 0, 'row')} changed`;
  return hasMore
    ? `The first ${some(rows.length, 'row')} in ${took}; there are more`
    : `${some(rows.length, 'row')} in ${took}`;
}

function table({ columns, rows }: SqlOutcome): HTMLElement {
  return h(
    'table',
    {},
    h('thead', {}, h('tr', {}, ...columns.map((name) => h('th', { scope: 'col' }, name)))),
    h(
      'tbody',
      {},
      ...rows.map((row) =>
        h('tr', {}, ...row.map(({ text: words, kind }) => h('td', { 'data-kind': kind }, words))),
      ),
    ),
  );
}
