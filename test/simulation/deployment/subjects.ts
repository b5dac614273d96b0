/** NATS subjects and patterns: tokens between dots, `*` for one token, `>` for one or more at the end. */

const tokenPattern = /^[^\s.*>]+$/;

/** Is `text` a subject that can be published to? */
export function isSubject(text: string): boolean {
  return text.split('.').every((token) => tokenPattern.test(token));
}

/** Is `text` a pattern that can be subscribed to? */
export function isPattern(text: string): boolean {
  const tokens = text.split('.');
  return tokens.every((token, index) => {
    if (token === '>') return index === tokens.length - 1;
    return token === '*' || tokenPattern.test(token);
  });
}

/** Does `subject` match `pattern`? */
export function matchesSubject(pattern: string, subject: string): boolean {
  if (!pattern.includes('*') && !pattern.endsWith('>')) return pattern === subject;
  const wanted = pattern.split('.');
  const tokens = subject.split('.');
  for (const [index, token] of wanted.entries()) {
    if (token === '>') return tokens.length > index;
    if (index >= tokens.length || (token !== '*' && token !== tokens[index])) return false;
  }
  return tokens.length === wanted.length;
}
