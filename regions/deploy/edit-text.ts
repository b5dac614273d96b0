/** Changes a few values in the text of a region's file; every other byte of it stays, comments and layout too. */
import { isMap, isNode, isScalar, isSeq, type Node, parseDocument } from 'yaml';
import type { FileEdit } from './core/region-addition.ts';
import { regionKeyComment } from './core/region-text.ts';

/** Takes the place of what is between two positions. */
interface Splice {
  readonly from: number;
  readonly to: number;
  readonly text: string;
}

const list = (names: readonly string[]): string => `[${names.join(', ')}]`;

/** Where a value begins and ends. */
function spanOf(node: unknown): { readonly from: number; readonly to: number } | undefined {
  const range = isNode(node) ? (node as Node).range : undefined;
  return range === undefined || range === null ? undefined : { from: range[0], to: range[1] };
}

/** The text with the edit in it. `regions` stands in it, since the file was read before. */
export function edited(text: string, { regions, voters, routes }: Omit<FileEdit, 'file'>): string {
  const document = parseDocument(text);
  const splices: Splice[] = [];
  const put = (at: ReturnType<typeof spanOf>, replacement: string): void => {
    if (at !== undefined) splices.push({ ...at, text: replacement });
  };
  const regionsAt = spanOf(document.get('regions', true));
  const votersAt = spanOf(document.get('voters', true));
  put(regionsAt, list(regions));
  if (votersAt !== undefined && voters !== undefined) put(votersAt, list(voters));
  else if (votersAt !== undefined) put(wholeLines(text, keyAt(document.contents, 'voters'), votersAt.to), '');
  else if (voters !== undefined && regionsAt !== undefined)
    put(
      { from: regionsAt.to, to: regionsAt.to },
      `\n\n${regionKeyComment('voters')}\nvoters: ${list(voters)}`,
    );
  const written = document.getIn(['nats', 'routes'], true);
  if (routes !== undefined && isSeq(written))
    for (const item of written.items) {
      const at = spanOf(item);
      if (at === undefined || !isMap(item)) continue;
      const route = routes.find(({ region }) => region === item.get('region'));
      if (route === undefined) put(wholeLines(text, at.from, at.to), '');
      else if (item.get('address') !== route.address) put(spanOf(item.get('address', true)), route.address);
    }
  return splices
    .sort((a, b) => b.from - a.from)
    .reduce((now, { from, to, text: put }) => now.slice(0, from) + put + now.slice(to), text);
}

/** Where the key of an entry at the top begins. */
function keyAt(contents: unknown, key: string): number {
  const pair = isMap(contents)
    ? contents.items.find((one) => isScalar(one.key) && one.key.value === key)
    : undefined;
  return spanOf(pair?.key)?.from ?? 0;
}

/** From the beginning of the line of one position to the end of that of another. */
function wholeLines(
  text: string,
  first: number,
  last: number,
): { readonly from: number; readonly to: number } {
  const end = text.indexOf('\n', last);
  return { from: text.lastIndexOf('\n', first - 1) + 1, to: end < 0 ? text.length : end + 1 };
}
