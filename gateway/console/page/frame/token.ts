/** Asks for a token when the gateway wants one. */
import { forgetToken, keepToken } from '../link/session.ts';
import { button, h, text } from '../view/dom.ts';

export interface TokenForm {
  /** @param reason what the gateway said; null when nobody was refused. */
  open(reason: string | null): void;
  close(): void;
}

/** @param onToken another token is kept, or none. */
export function tokenForm(onToken: () => void): TokenForm {
  const field = h('input', { id: 'token', type: 'password', autocomplete: 'off', spellcheck: 'false' });
  const said = h('p', { class: 'error', role: 'alert' });
  const use = (value: string): void => {
    if (value === '') forgetToken();
    else keepToken(value);
    field.value = '';
    dialog.close();
    onToken();
  };
  const form = h(
    'form',
    { method: 'dialog' },
    h('h2', { id: 'token-title' }, 'Token'),
    h(
      'p',
      {},
      'A client token (JWT) of this deployment, or the secret of the cluster. It is kept in this tab until the tab is closed.',
    ),
    said,
    h('label', { for: 'token' }, 'Token'),
    field,
    h(
      'div',
      { class: 'actions' },
      button('Forget', () => use('')),
      button('Back', () => dialog.close()),
      h('button', { type: 'submit', class: 'button main' }, 'Use it'),
    ),
  );
  const dialog = h('dialog', { 'aria-labelledby': 'token-title' }, form);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    use(field.value.trim());
  });
  document.body.append(dialog);
  return {
    open(reason) {
      text(said, reason ?? '');
      if (!dialog.open) dialog.showModal();
      field.focus();
    },
    close: () => dialog.close(),
  };
}
