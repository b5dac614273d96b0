/** Reads what of the database decides how lost rows come back to it. */
import { PlaceReader, textOf } from '../compare/place-reader.ts';
import type { SqlLink } from '../transfer/sql-link.ts';
import type { ForeignKey, Target } from './core/target.ts';
import { columnsOf } from './core/target.ts';

const foreignKeysSql =
  'SELECT l.name, f.id, f."table", f."from", f."to" FROM pragma_table_list l JOIN pragma_foreign_key_list(l.name) f ' +
  "WHERE l.schema='main' AND l.type='table' ORDER BY l.name, f.id, f.seq";

/**
 * The database as it is now. Its version is read before the rest: whoever finds the same version later has what was read.
 * @throws TransferError when the gateway does not answer, or refuses.
 */
export async function readTarget(link: SqlLink): Promise<Target> {
  const reader = new PlaceReader(link, 'now');
  try {
    await reader.open();
    const [version] = await reader.ask(['PRAGMA schema_version']);
    const { tables, objects, virtual } = await reader.catalog();
    const [keys] = await reader.ask([foreignKeysSql]);
    const columns = new Map(tables.map((table) => [table.name, table.columns.map(({ name }) => name)]));
    const base = { version: textOf(version?.[0]?.[0]), tables: columns, objects, virtual };
    const primaryKey = (name: string): readonly string[] => {
      const table = tables.find(
        (each) => columnsOf({ ...base, foreignKeys: [] }, name) === columns.get(each.name),
      );
      return [...(table?.columns ?? [])]
        .filter(({ pk }) => pk > 0)
        .sort((a, b) => a.pk - b.pk)
        .map(({ name: own }) => own);
    };
    const foreignKeys = new Map<string, ForeignKey & { readonly from: string[]; readonly to: string[] }>();
    for (const [child, id, parent, from, to] of keys ?? []) {
      const known = foreignKeys.get(`${textOf(child)} ${textOf(id)}`) ?? {
        child: textOf(child),
        parent: textOf(parent),
        from: [],
        to: [],
      };
      foreignKeys.set(`${known.child} ${textOf(id)}`, known);
      known.from.push(textOf(from));
      // Without a name it is the parent's primary key, in its order.
      known.to.push(to?.type === 'null' ? (primaryKey(known.parent)[known.to.length] ?? '') : textOf(to));
    }
    return { ...base, foreignKeys: [...foreignKeys.values()].filter(({ to }) => !to.includes('')) };
  } finally {
    await reader.close();
  }
}
