/** The policy of the deployment, shown and changed. */
import type { Policy } from '../core/api-types.ts';
import { ask } from '../link/ask.ts';
import { attribute, h, panel, text } from '../view/dom.ts';
import type { PageState, View } from '../view/page-state.ts';

/** An empty field is null: no bound. */
const numberOf = (field: HTMLInputElement): number | null =>
  field.value.trim() === '' ? null : Number(field.value);

export function policyForm(): View {
  const automatic = h('input', { type: 'checkbox', id: 'automatic' });
  const maxLoss = h('input', { type: 'number', id: 'max-loss', min: 0, step: 1, placeholder: 'any' });
  const rpo = h('input', { type: 'number', id: 'rpo', min: 0, step: 1, placeholder: 'never wait' });
  const prefer = h('input', {
    type: 'text',
    id: 'prefer',
    autocomplete: 'off',
    spellcheck: 'false',
    placeholder: 'no preference',
  });
  const said = h('p', { role: 'status' });
  const save = h('button', { type: 'submit', class: 'button main', disabled: true }, 'Save');
  const row = (label: string, field: HTMLElement, note: string) =>
    h(
      'div',
      { class: 'field' },
      h('label', { for: field.id }, label),
      field,
      h('span', { class: 'note' }, note),
    );
  const form = h(
    'form',
    { class: 'form' },
    row('Fail over by itself', automatic, 'when the primary region is lost'),
    row('Lose at most (ms)', maxLoss, 'of commits in such a failover; empty for any'),
    row('RPO (ms)', rpo, 'answers wait while every secondary is further behind; empty for never'),
    row('Prefer', prefer, 'regions, the best first, with commas between'),
    h('div', { class: 'actions' }, said, save),
  );
  const element = panel('Policy', form);
  let isDirty = false;
  let key = '';
  form.addEventListener('input', () => {
    isDirty = true;
    save.disabled = false;
    text(said, '');
  });
  const show = (policy: Policy): void => {
    automatic.checked = policy.automatic;
    maxLoss.value = policy.maxLossMs === null ? '' : String(policy.maxLossMs);
    rpo.value = policy.rpoMs === null ? '' : String(policy.rpoMs);
    prefer.value = policy.prefer.join(', ');
  };
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const body: Policy = {
      automatic: automatic.checked,
      maxLossMs: numberOf(maxLoss),
      rpoMs: numberOf(rpo),
      prefer: prefer.value
        .split(',')
        .map((name) => name.trim())
        .filter((name) => name !== ''),
    };
    save.disabled = true;
    void ask<Policy>('/v1/policy', { method: 'PUT', body }).then((answer) => {
      attribute(said, 'class', answer.ok ? 'saved' : 'error');
      text(said, answer.ok ? 'Saved in the control record.' : `${answer.message} (${answer.code})`);
      isDirty = !answer.ok;
      save.disabled = answer.ok;
      if (answer.ok) show(answer.body);
    });
  });
  return {
    element,
    update({ event }: PageState) {
      const policy = event?.status.policy ?? null;
      const found = JSON.stringify(policy);
      if (policy === null || isDirty || found === key) return;
      key = found;
      show(policy);
    },
  };
}
