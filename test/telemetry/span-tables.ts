/** The tables of telemetry/README.md, to be held against the names that code knows and against the spans that came (T10). */
import { readFileSync } from 'node:fs';
import { lagServiceName } from '../../telemetry/index.ts';

const readme = readFileSync(new URL('../../telemetry/README.md', import.meta.url), 'utf8');

/** The table whose head begins so: its rows, each as its cells. */
function rowsBelow(head: string): readonly (readonly string[])[] {
  const lines = readme.slice(readme.indexOf(head)).split('\n').slice(2);
  const end = lines.findIndex((line) => !line.startsWith('|'));
  return lines.slice(0, end).map((line) =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  );
}
const quoted = (cell: string): readonly string[] =>
  [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name ?? '');

const spanRows = rowsBelow('| span |');

/** Names of spans as the table has them, such as `commit` and `drill <phase>`. */
export const tableSpans: readonly string[] = spanRows.flatMap(([cell = '']) =>
  quoted(cell).filter((name) => !name.startsWith('sextant-')),
);
const kindWord = /\b(?:server|client|producer|consumer|internal)\b/g;
/** Kinds of span that the table allows, by name. */
export const tableKinds: ReadonlyMap<string, readonly string[]> = new Map(
  spanRows.flatMap(([cell = '', kind = '']) =>
    quoted(cell).map((name) => [name, kind.match(kindWord) ?? []] as const),
  ),
);
/** Every attribute of ours in the table, and every standard one below it. */
export const tableAttributes: readonly string[] = [
  ...rowsBelow('| attribute |').flatMap(([cell = '']) => quoted(cell)),
  ...quoted(/Standard ones where they apply: [\s\S]*?\n\n/.exec(readme)?.[0] ?? '').filter((name) =>
    /^[a-z_]+\.[a-z_.]+$/.test(name),
  ),
];

const verb = /^[A-Z]+$/;

/** The row that a span belongs to, by its name and service; null when the table has none. */
export function rowOf(span: { readonly name: string; readonly service: string }): string | null {
  if (span.service === lagServiceName) return span.name.includes('→') ? '<from>→<to>' : null;
  const name = verb.test(span.name) ? 'INSERT' : span.name;
  const [first, rest] = [name.split(' ')[0] ?? '', name.includes(' ')];
  if (tableSpans.includes(name)) return name;
  if (!rest) return null;
  return tableSpans.find((row) => row.includes('<') && row.startsWith(`${first} `)) ?? null;
}
