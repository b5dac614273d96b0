/** Lost changes of the schema beside the schema as it is now. They are never made by a replay: they are named, with the way out. */
import type { SchemaChange } from '../../compare/core/schema-changes.ts';
import { quotedName } from '../../transfer/core/wire-value.ts';
import { sameName, type Target } from './target.ts';

export interface LostSchemaChange extends SchemaChange {
  /** Whether the schema is by now what the lost write made it. */
  readonly isThere: boolean;
  /** For people: what makes it so; empty when it is. */
  readonly wayOut: string;
}

const same = (a: string, b: string): boolean =>
  a.replaceAll(/\s+/g, ' ').trim() === b.replaceAll(/\s+/g, ' ').trim();

export function lostSchema(
  changes: readonly SchemaChange[],
  { objects }: Pick<Target, 'objects'>,
): readonly LostSchemaChange[] {
  return changes.map((each) => {
    const now = objects.find(({ type, name }) => type === each.type && sameName(name, each.name));
    const isThere =
      each.change === 'dropped' ? now === undefined : now !== undefined && same(now.sql, each.sql);
    return { ...each, isThere, wayOut: isThere ? '' : wayOut(each, now !== undefined) };
  });
}

function wayOut({ change, type, name, sql }: SchemaChange, hasOne: boolean): string {
  if (change === 'dropped')
    return `DROP ${type.toUpperCase()} ${quotedName(name)}; where it is not wanted any more`;
  if (!hasOne) return `make it, and run the replay again: ${sql}`;
  return `there is one of this name; make it what it was, and run the replay again: ${sql}`;
}
