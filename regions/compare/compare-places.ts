/** Finds the rows that differ between two places of history, over SQL, table by table. */
import type { SqlLink } from '../transfer/sql-link.ts';
import type { Difference, TableDifference } from './core/difference.ts';
import type { Literal } from './core/literal.ts';
import { type RowChange, RowMerge, type Side } from './core/row-merge.ts';
import { schemaChanges } from './core/schema-changes.ts';
import { type Shape, shapeOf } from './core/table-shape.ts';
import { type Catalog, PlaceReader } from './place-reader.ts';

export interface CompareWish {
  /** `EPOCH:LSN`, both where a transaction ends. */
  readonly before: string;
  readonly after: string;
  /** Rows kept of all tables together; the counts cover all. */
  readonly limit: number;
  /** Hears how many rows of a table have been read, at both places together. */
  readonly progress: (table: string, rows: number) => void;
}

type Readers = Readonly<Record<Side, PlaceReader>>;

/**
 * Compares the database at two places. Reads every row of both; nothing is written.
 * @throws TransferError when the gateway does not answer, or a place cannot be read there.
 */
export async function comparePlaces(link: SqlLink, wish: CompareWish): Promise<Difference> {
  const readers = { before: new PlaceReader(link, wish.before), after: new PlaceReader(link, wish.after) };
  try {
    await readers.before.open();
    await readers.after.open();
    const before = await readers.before.catalog();
    const after = await readers.after.catalog();
    const tables: TableDifference[] = [];
    const notCompared: Difference['notCompared'][number][] = after.virtual.map((name) => ({
      name,
      reason: 'it is a virtual table',
      isVirtual: true,
    }));
    let room = wish.limit;
    for (const table of after.tables) {
      const shaped = shapeOf(before.tables.find(({ name }) => name === table.name) ?? null, table);
      if (shaped.kind === 'unreadable') {
        notCompared.push({ name: table.name, reason: shaped.reason, isVirtual: false });
        continue;
      }
      const found = await compareTable(readers, shaped.shape, before, room, wish.progress);
      room -= found.rows.length;
      if (found.inserted + found.changed + found.deleted > 0)
        tables.push({ ...found, triggers: triggersOn(after, table.name) });
    }
    return { schema: schemaChanges(before.objects, after.objects), tables, notCompared };
  } finally {
    await Promise.all([readers.before.close(), readers.after.close()]);
  }
}

const triggersOn = ({ objects }: Catalog, name: string): readonly string[] =>
  objects
    .filter(({ type, table }) => type === 'trigger' && table.toLowerCase() === name.toLowerCase())
    .map((trigger) => trigger.name);

async function compareTable(
  readers: Readers,
  shape: Shape,
  { tables }: Catalog,
  room: number,
  progress: CompareWish['progress'],
): Promise<Omit<TableDifference, 'triggers'>> {
  const merge = new RowMerge();
  const above: Record<Side, readonly Literal[] | null> = { before: null, after: null };
  const counts: Record<RowChange['kind'], number> = { inserted: 0, changed: 0, deleted: 0 };
  const rows: RowChange[] = [];
  const take = (changes: readonly RowChange[]): void => {
    for (const change of changes) {
      counts[change.kind] += 1;
      if (rows.length < room) rows.push(change);
    }
  };
  if (!tables.some(({ name }) => name === shape.name)) take(merge.give('before', [], true));
  let read = 0;
  for (let { wanted } = merge; wanted.length > 0; { wanted } = merge) {
    const pages = await Promise.all(
      wanted.map(async (side) => ({
        side,
        page: await readers[side].page(shape.name, shape[side], above[side]),
      })),
    );
    for (const { side, page } of pages) {
      above[side] = page.rows.at(-1)?.key ?? above[side];
      read += page.rows.length;
      take(merge.give(side, page.rows, page.isEnd));
    }
    progress(shape.name, read);
  }
  return { shape, ...counts, rows };
}
