/**
 * Cuts SQL text into words as PostgreSQL's own scanner does, as far as it matters for where statements end and which words stand in
 * them: comments (nested), quoted names, strings with and without backslashes, and dollar quotes. Pure.
 */

/** `word` is in upper case, `name` is what stands in double quotes, `symbol` one character; `other`: a string, a number, a parameter. */
export interface SqlToken {
  readonly kind: 'word' | 'name' | 'symbol' | 'other';
  readonly text: string;
  /** Where it begins and ends in the text, in UTF-16 units. */
  readonly start: number;
  readonly end: number;
}

const wordStart = /[A-Za-z_\u0080-\uffff]/;
const wordRest = /[A-Za-z0-9_$\u0080-\uffff]*/y;
const numberRest = /[0-9][A-Za-z0-9_.]*/y;
const dollarTag = /\$(?:[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*)?\$/y;
const parameter = /\$[0-9]+/y;
const lineEnd = /[\r\n]/g;
const commentMark = /\/\*|\*\//g;

function matchAt(pattern: RegExp, text: string, at: number): string | null {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0] ?? null;
}

function endOfNextMatch(pattern: RegExp, text: string, from: number): number {
  pattern.lastIndex = from;
  return pattern.exec(text) === null ? text.length : pattern.lastIndex;
}

export class SqlScanner {
  readonly #text: string;
  readonly #backslashes: boolean;
  #at = 0;

  /** @param backslashes whether plain strings know backslash escapes: `standard_conforming_strings` is off. */
  constructor(text: string, backslashes: boolean) {
    this.#text = text;
    this.#backslashes = backslashes;
  }

  /** The next token; null at the end of the text. What is not closed ends with the text. */
  next(): SqlToken | null {
    this.#skipBlanks();
    const start = this.#at;
    const char = this.#text[start];
    if (char === undefined) return null;
    if (char === "'") return this.#string(start, start, this.#backslashes);
    if ((char === 'E' || char === 'e') && this.#text[start + 1] === "'")
      return this.#string(start, start + 1, true);
    if (char === '"') return this.#name(start);
    if (wordStart.test(char)) {
      const word = matchAt(wordRest, this.#text, start) ?? char;
      return this.#token('word', word.toUpperCase(), start, start + word.length);
    }
    const known = char === '$' ? this.#dollar(start) : matchAt(numberRest, this.#text, start)?.length;
    if (known !== undefined) return this.#token('other', '', start, start + known);
    return this.#token('symbol', char, start, start + 1);
  }

  #token(kind: SqlToken['kind'], text: string, start: number, end: number): SqlToken {
    this.#at = end;
    return { kind, text, start, end };
  }

  /** Length of a dollar quote with what it holds, or of a parameter. */
  #dollar(start: number): number | undefined {
    const tag = matchAt(dollarTag, this.#text, start);
    if (tag === null) return matchAt(parameter, this.#text, start)?.length;
    const close = this.#text.indexOf(tag, start + tag.length);
    return (close < 0 ? this.#text.length : close + tag.length) - start;
  }

  #string(start: number, quote: number, backslashes: boolean): SqlToken {
    let at = quote + 1;
    for (;;) {
      const close = this.#text.indexOf("'", at);
      const slash = backslashes ? this.#text.indexOf('\\', at) : -1;
      if (slash >= 0 && slash < close) at = slash + 2;
      else if (close < 0) return this.#token('other', '', start, this.#text.length);
      else if (this.#text[close + 1] === "'") at = close + 2;
      else return this.#token('other', '', start, close + 1);
    }
  }

  #name(start: number): SqlToken {
    let at = start + 1;
    for (;;) {
      const close = this.#text.indexOf('"', at);
      const end = close < 0 ? this.#text.length : close;
      if (this.#text[end + 1] === '"') at = end + 2;
      else
        return this.#token(
          'name',
          this.#text.slice(start + 1, end).replaceAll('""', '"'),
          start,
          Math.min(end + 1, this.#text.length),
        );
    }
  }

  #skipBlanks(): void {
    for (;;) {
      const char = this.#text[this.#at];
      const next = this.#text[this.#at + 1];
      if (char !== undefined && char <= ' ') this.#at += 1;
      else if (char === '-' && next === '-') this.#at = endOfNextMatch(lineEnd, this.#text, this.#at);
      else if (char === '/' && next === '*') this.#at = this.#commentEnd();
      else return;
    }
  }

  #commentEnd(): number {
    let depth = 0;
    commentMark.lastIndex = this.#at;
    for (;;) {
      const mark = commentMark.exec(this.#text);
      if (mark === null) return this.#text.length;
      depth += mark[0] === '/*' ? 1 : -1;
      if (depth === 0) return commentMark.lastIndex;
    }
  }
}
