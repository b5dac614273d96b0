/** Asks before it acts: what will happen, and the name of what it happens to, typed by hand. */
import { button, type Child, h, text } from './dom.ts';

export interface Confirmation {
  readonly title: string;
  /** What will happen, a sentence each. */
  readonly sentences: readonly string[];
  /** What has to be typed. */
  readonly word: string;
  /** What the button that does it says. */
  readonly act: string;
  /** More to choose, above the field. */
  readonly more?: readonly Child[];
  /** What is in the way, as chosen now; null when nothing is. */
  readonly problem?: () => string | null;
  /** Does it. @returns why it was refused, or null. */
  readonly run: () => Promise<string | null>;
}

let shown = 0;

/** Opens a dialog that holds the keyboard until it is answered. Escape gives it up. */
export function confirm(options: Confirmation): void {
  shown += 1;
  const id = `dialog-${shown}`;
  const field = h('input', {
    id: `${id}-word`,
    type: 'text',
    autocomplete: 'off',
    autocapitalize: 'none',
    spellcheck: 'false',
  });
  const said = h('p', { class: 'error', role: 'alert' });
  const go = h('button', { type: 'submit', class: 'button danger' }, options.act);
  const back = button('Back', () => dialog.close());
  const form = h(
    'form',
    { method: 'dialog' },
    h('h2', { id: `${id}-title` }, options.title),
    h('ul', { class: 'sentences' }, ...options.sentences.map((sentence) => h('li', {}, sentence))),
    ...(options.more ?? []),
    h('label', { for: field.id }, 'Type ', h('code', {}, options.word), ' to confirm'),
    field,
    said,
    h('div', { class: 'actions' }, back, go),
  );
  const dialog = h('dialog', { 'aria-labelledby': `${id}-title` }, form);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const problem =
      field.value.trim() === options.word
        ? (options.problem?.() ?? null)
        : `Type ${options.word}, as it is written above.`;
    text(said, problem ?? '');
    if (problem !== null) return field.focus();
    go.disabled = true;
    void options.run().then((refused) => {
      go.disabled = false;
      if (refused === null) dialog.close();
      else text(said, refused);
    });
  });
  field.addEventListener('input', () => text(said, ''));
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  field.focus();
}
