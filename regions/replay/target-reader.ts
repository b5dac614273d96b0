/** Reads what of the database decides how lost rows come back to it. */
import { primaryKeyOf } from '../compare/core/table-shape.ts';
import { PlaceReader, textOf } from '../compare/place-reader.ts';
import type { SqlLink } from '../transfer/sql-link.ts';
import { type ForeignKey, sameName, type Target } from './core/target.ts';

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
    const primaryKey = (name: string): readonly string[] => {
      const table = tables.find((each) => sameName(each.name, name));
      return table === undefined ? [] : primaryKeyOf(table);
    };
    const foreignKeys = new Map<string, ForeignKey & { readonly from: string[]; readonly to: string[] }>();
    for (const [child, id, parent, from, to] of keys ?? []) {
      const which = `${textOf(child)} ${textOf(id)}`;
      const key = foreignKeys.get(which) ?? {
        child: textOf(child),
        parent: textOf(parent),
        from: [],
        to: [],
      };
      foreignKeys.set(which, key);
      key.from.push(textOf(from));
      // Without a name it is the parent's primary key, in its order.
      key.to.push(to?.type === 'null' ? (primaryKey(key.parent)[key.to.length] ?? '') : textOf(to));
    }
    return {
      version: textOf(version?.[0]?.[0]),
      tables: new Map(tables.map((table) => [table.name, table.columns.map(({ name }) => name)])),
      objects,
      virtual,
      foreignKeys: [...foreignKeys.values()].filter(({ to }) => !to.includes('')),
    };
  } finally {
    await reader.close();
  }
}
