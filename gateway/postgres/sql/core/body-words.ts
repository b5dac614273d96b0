/**
 * What the body of a DO block, a function or a procedure would do that a statement of a client's may not: NOTIFY, and COPY with a file
 * or program of the server. PostgreSQL itself would do both, for nobody and from its own files. Pure.
 *
 * Words count where a statement begins, also in a string that is executed. What is put together at run time is not seen: there a
 * file that would be written is refused by the engine (G96).
 */

export interface BodyFacts {
  readonly notifies: boolean;
  /** COPY from or to a file or program of the server. */
  readonly copiesFiles: boolean;
}

/** Comments, quoted names, words, dollar quotes, and each other character. Nothing is looked at twice: time grows with the text. */
const tokens = /--[^\n]*|\/\*(?:[^*]|\*(?!\/))*(?:\*\/)?|"[^"]*"?|[a-z_]\w*|\$\w*\$|[^\s]/gi;
/** Behind these a statement begins, and in a string behind one of the others. */
const beforeStatement: ReadonlySet<string> = new Set([';', 'begin', 'atomic', 'then', 'else', 'loop']);
const beforeText: ReadonlySet<string> = new Set(['as', 'do', 'execute', 'format']);
const dollarQuote = /^\$\w*\$$/;

const isWord = (token: string): boolean => /^[a-z_"]/i.test(token);

export function bodyFacts(text: string): BodyFacts {
  let [notifies, copiesFiles] = [false, false];
  let begins = false;
  /** Of the statement that is passing, as far as it matters. */
  let verb: 'notify' | 'copy' | null = null;
  let before = '';
  /** The word before a string, or before the parenthesis that it stands behind. */
  let behind = '';
  let isDeclaring = false;
  for (const [token] of text.matchAll(tokens)) {
    if (token.startsWith('--') || token.startsWith('/*')) continue;
    const word = token.toLowerCase();
    if (word === 'declare') isDeclaring = true;
    if (word === 'begin') isDeclaring = false;
    // A call: nothing but the parenthesis tells it from a name.
    if (word === '(' && (before === 'pg_notify' || before === '"pg_notify"')) notifies = true;
    if (begins) verb = !isDeclaring && (word === 'notify' || word === 'copy') ? word : null;
    else if (verb === 'notify' && before === 'notify') {
      // A channel, or the place for one in a format.
      if (isWord(token) || token === '%') notifies = true;
      verb = null;
    } else if (verb === 'copy') {
      const isTo = before === 'from' || before === 'to';
      if (isTo && (word === 'program' || word === "'" || dollarQuote.test(word))) copiesFiles = true;
    }
    begins = beforeStatement.has(word) || dollarQuote.test(word) || (word === "'" && beforeText.has(behind));
    if (word !== "'" && word !== '(') behind = word;
    if (word === ';') verb = null;
    before = word;
  }
  return { notifies, copiesFiles };
}
