/** The moves that this page knows of: those begun here, and whatever the control record names. Each is followed to its end. */
import type { Operation } from '../core/api-types.ts';
import { clock, duration } from '../core/format.ts';
import { outcome, phaseRows } from '../core/moves.ts';
import { ask } from '../link/ask.ts';
import { attribute, button, chip, h, Keyed, panel, showChip, type Tone, text } from '../view/dom.ts';
import type { PageState, View } from '../view/page-state.ts';

const pollMs = 300;
const keptMax = 10;
const toneOf: Readonly<Record<Operation['state'], Tone>> = { running: 'warn', done: 'good', failed: 'bad' };
const wordOf: Readonly<Record<Operation['state'], string>> = {
  running: 'Running',
  done: 'Done',
  failed: 'Failed',
};

export interface Operations extends View {
  follow(operation: Operation): void;
}

export function operations(): Operations {
  const known = new Map<string, Operation>();
  const asking = new Set<string>();
  const list = h('div', { class: 'operations' });
  const none = h('p', { class: 'note' }, 'No move has run since this page was opened.');
  const element = panel('Progress', list, none);

  const cards = new Keyed<Operation, HTMLElement>(
    list,
    ({ id }) => {
      const said = h('p', { class: 'error', role: 'alert' });
      const cancel = button('Cancel the move', () => {
        void ask<Operation>(`/v1/operations/${encodeURIComponent(id)}/cancel`, { method: 'POST' }).then(
          (answer) => {
            if (answer.ok) keep(answer.body);
            else text(said, `${answer.message} (${answer.code})`);
          },
        );
      });
      cancel.dataset.part = 'cancel';
      return h(
        'article',
        { class: 'operation', 'aria-live': 'polite' },
        h('div', { class: 'operation-head' }, h('h3'), chip(), h('span', { class: 'spring' }), cancel),
        h('ol', { class: 'phases' }),
        h('p', { class: 'outcome' }),
        said,
        h('p', { class: 'note' }, `operation ${id}`),
      );
    },
    (card, operation) => {
      const [head, phases, end] = card.children;
      const [title, state] = head?.children ?? [];
      if (!(phases instanceof HTMLElement) || end === undefined || title === undefined) return;
      const begun = operation.phases[0]?.startedAtMs;
      const who = operation.automatic === true ? ', begun by the policy' : '';
      const when = begun === undefined ? '' : ` · ${clock(begun)}`;
      text(title, `${operation.kind} ${operation.from} → ${operation.target}${who}${when}`);
      if (state instanceof HTMLElement) showChip(state, toneOf[operation.state], wordOf[operation.state]);
      const cancel = card.querySelector('[data-part=cancel]');
      if (cancel !== null) attribute(cancel, 'hidden', operation.state !== 'running');
      const rows = phaseRows(operation);
      const key = JSON.stringify(rows);
      if (phases.dataset.rows !== key) {
        phases.dataset.rows = key;
        phases.replaceChildren(
          ...rows.map(({ name, tookMs, isRunning }) =>
            h(
              'li',
              { 'data-running': isRunning },
              h('span', {}, name),
              h('b', {}, isRunning ? 'under way' : duration(tookMs)),
            ),
          ),
        );
      }
      attribute(card, 'data-state', operation.state);
      text(end, outcome(operation) ?? '');
    },
  );

  const show = (): void => {
    attribute(none, 'hidden', known.size > 0);
    cards.show([...known.values()].reverse(), ({ id }) => id);
  };
  const keep = (operation: Operation): void => {
    known.set(operation.id, operation);
    for (const id of known.keys()) {
      if (known.size <= keptMax) break;
      known.delete(id);
    }
    show();
  };
  const poll = async (id: string): Promise<void> => {
    if (asking.has(id)) return;
    asking.add(id);
    const answer = await ask<Operation>(`/v1/operations/${encodeURIComponent(id)}`);
    if (answer.ok) keep(answer.body);
    const isOver = answer.ok ? answer.body.state !== 'running' : answer.status === 404;
    window.setTimeout(() => {
      asking.delete(id);
      if (!isOver) void poll(id);
    }, pollMs);
  };
  return {
    element,
    follow(operation) {
      keep(operation);
      void poll(operation.id);
    },
    update({ event }: PageState) {
      const named = event?.move?.id;
      if (named !== undefined && known.get(named)?.state !== 'done' && known.get(named)?.state !== 'failed')
        void poll(named);
    },
  };
}
