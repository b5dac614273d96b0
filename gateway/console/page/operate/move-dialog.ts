/** Begins a move, once the reader has seen what it does and typed where it goes. */
import type { LiveEvent, Operation } from '../core/api-types.ts';
import { consequences, type MoveKind, whyNot } from '../core/moves.ts';
import { ask } from '../link/ask.ts';
import { confirm } from '../view/dialog.ts';
import { h } from '../view/dom.ts';

/** @param onBegun the operation that the target's agent has begun. */
export function askMove(
  kind: MoveKind,
  target: string,
  event: LiveEvent,
  onBegun: (operation: Operation) => void,
): void {
  const readiness = event.readiness.regions.find(({ region }) => region === target) ?? null;
  const primary = event.status.primary ?? 'the old primary';
  const allow = h('input', { id: 'allow-loss', type: 'checkbox' });
  const others = event.status.regions.map(({ name }) => name).filter((name) => name !== target);
  const sacrificed = others.map((name) => h('input', { type: 'checkbox', value: name }));
  const more =
    kind === 'switchover'
      ? []
      : [
          h('p', { class: 'choice' }, h('label', {}, allow, ' Accept that acknowledged writes may be lost')),
          h(
            'fieldset',
            {},
            h(
              'legend',
              {},
              'Give up what these regions alone hold (only if a failover is refused because of them)',
            ),
            ...sacrificed.map((box) => h('label', {}, box, ` ${box.value}`)),
          ),
        ];
  const stands = whyNot(kind, readiness);
  confirm({
    title: kind === 'switchover' ? `Switch over to ${target}` : `Fail over to ${target}`,
    sentences: [
      ...consequences(kind, target, primary, readiness),
      ...(stands === null ? [] : [`As far as is known now it would be refused: ${stands}.`]),
    ],
    word: target,
    act: kind === 'switchover' ? 'Switch over' : 'Fail over',
    more,
    problem: () =>
      kind === 'failover' && !allow.checked ? 'Accept first that acknowledged writes may be lost.' : null,
    run: async () => {
      const sacrifice = sacrificed.filter(({ checked }) => checked).map(({ value }) => value);
      const body = kind === 'switchover' ? { target } : { target, allowDataLoss: allow.checked, sacrifice };
      const answer = await ask<Operation>(`/v1/${kind}`, { body });
      if (answer.ok) onBegun(answer.body);
      return answer.ok ? null : `${answer.message} (${answer.code})`;
    },
  });
}
