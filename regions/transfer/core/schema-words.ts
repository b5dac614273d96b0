/** What is read out of the text of a schema, where SQLite has no other answer. */

const quoted = '"(?:[^"]|"")*"|\\[[^\\]]*\\]|`(?:[^`]|``)*`';
const virtual = new RegExp(
  String.raw`^\s*CREATE\s+VIRTUAL\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?(?:${quoted}|'(?:[^']|'')*'|[\p{L}\p{N}_$.]+)+\s+USING\s+(${quoted}|[\p{L}_][\p{L}\p{N}_$]*)`,
  'iu',
);

function plain(name: string): string {
  const first = name[0] ?? '';
  if (first === '[') return name.slice(1, -1);
  return first === '"' || first === '`' ? name.slice(1, -1).replaceAll(first + first, first) : name;
}

/** The module of a `CREATE VIRTUAL TABLE`, in lower case; null for any other text. */
export function moduleOf(sql: string): string | null {
  const found = virtual.exec(sql)?.[1];
  return found === undefined ? null : plain(found).toLowerCase();
}
