/** A YAML or JSON text with the place of everything in it, so that an error can point at its line. */
import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, type Pair, parseDocument } from 'yaml';

/** A place in a text, both counted from 1. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

/** Keys and positions that lead to a value. */
export type ConfigPath = readonly (string | number)[];

export interface ConfigText {
  readonly kind: 'read';
  readonly value: unknown;
  /** Where the value at `path` stands; of a path that leads nowhere, the last thing on the way that is there. */
  placeOf(path: ConfigPath): Place;
  /** Where the last key of `path` itself stands. */
  placeOfKey(path: ConfigPath): Place;
}

export type ConfigTextResult =
  | ConfigText
  | { readonly kind: 'malformed'; readonly problem: string; readonly place: Place };

/** The parser's own messages quote the line, and a configuration holds secrets: told is only what is wrong and where. */
export function readConfigText(text: string): ConfigTextResult {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: 'silent' });
  const at = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const [error] = document.errors;
  if (error !== undefined) {
    const what = error.code.toLowerCase().replaceAll('_', ' ');
    return { kind: 'malformed', problem: `is neither YAML nor JSON: ${what}`, place: at(error.pos[0]) };
  }
  let value: unknown;
  try {
    value = document.toJS();
  } catch {
    const problem = 'is neither YAML nor JSON: an alias in it leads nowhere, or to too much';
    return { kind: 'malformed', problem, place: at(0) };
  }
  const resolve = (node: unknown): unknown => (isAlias(node) ? node.resolve(document) : node);
  const startOf = (node: unknown): number | undefined => (node as Node | null)?.range?.[0];
  const walk = (path: ConfigPath): { readonly value: number; readonly key: number } => {
    let node: unknown = document.contents;
    let here = { value: startOf(node) ?? 0, key: 0 };
    for (const step of path) {
      const inside = resolve(node);
      if (isMap(inside)) {
        const pair = inside.items.find((item) => keyOf(item) === String(step));
        if (pair === undefined) return here;
        const key = startOf(pair.key) ?? here.value;
        node = pair.value;
        here = { key, value: startOf(node) ?? key };
      } else if (isSeq(inside)) {
        node = inside.items[Number(step)];
        if (node === undefined) return here;
        const start = startOf(node) ?? here.value;
        here = { key: start, value: start };
      } else {
        return here;
      }
    }
    return here;
  };
  return {
    kind: 'read',
    value,
    placeOf: (path) => at(walk(path).value),
    placeOfKey: (path) => at(walk(path).key),
  };
}

const keyOf = (pair: Pair): string => String(isScalar(pair.key) ? pair.key.value : pair.key);
