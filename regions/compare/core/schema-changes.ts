/** What became of the schema between two places, object by object. */

/** A row of `sqlite_schema`. Objects that SQLite makes itself have no text and are none. */
export interface SchemaObject {
  readonly type: 'table' | 'index' | 'view' | 'trigger';
  readonly name: string;
  /** The table that it belongs to; its own name for a table or a view. */
  readonly table: string;
  readonly sql: string;
}

export interface SchemaChange extends SchemaObject {
  /** `sql` is the text afterwards; of what was dropped, that before. */
  readonly change: 'created' | 'dropped' | 'altered';
}

const idOf = ({ type, name }: SchemaObject): string => `${type} ${name}`;

/** In the order of names, tables first. */
export function schemaChanges(
  before: readonly SchemaObject[],
  after: readonly SchemaObject[],
): readonly SchemaChange[] {
  const had = new Map(before.map((each) => [idOf(each), each]));
  const has = new Set(after.map(idOf));
  const changes: SchemaChange[] = [];
  for (const each of after) {
    const old = had.get(idOf(each));
    if (old === undefined) changes.push({ ...each, change: 'created' });
    else if (old.sql !== each.sql) changes.push({ ...each, change: 'altered' });
  }
  for (const each of before) if (!has.has(idOf(each))) changes.push({ ...each, change: 'dropped' });
  const rank = ({ type }: SchemaObject): number => ['table', 'index', 'view', 'trigger'].indexOf(type);
  return changes.sort((a, b) => rank(a) - rank(b) || (a.name < b.name ? -1 : 1));
}
