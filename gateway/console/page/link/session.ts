/** The token of this tab. It is kept until the tab is closed, and nowhere else. */
const key = 'sextant-token';

export function token(): string | null {
  return sessionStorage.getItem(key);
}

export function keepToken(value: string): void {
  sessionStorage.setItem(key, value);
}

export function forgetToken(): void {
  sessionStorage.removeItem(key);
}

/** What a request to this gateway carries. */
export function credentials(): Readonly<Record<string, string>> {
  const value = token();
  return value === null ? {} : { authorization: `Bearer ${value}` };
}
