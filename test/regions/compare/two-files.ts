/** A gateway's protocol in front of databases that stand at places of history, as far as a comparison needs it. */
import type { DatabaseSync } from 'node:sqlite';
import {
  type BatchAnswer,
  type LinkFailure,
  SqlLink,
  type WireAnswer,
} from '../../../regions/transfer/sql-link.ts';

function wireOf(value: unknown): WireAnswer {
  if (value === null) return { type: 'null' };
  if (typeof value === 'number') return { type: 'integer', value: String(value) };
  return { type: 'text', value: String(value) };
}

class FileLink extends SqlLink {
  private readonly at = new Map<string, DatabaseSync>();
  private readonly places: Readonly<Record<string, DatabaseSync>>;

  constructor(places: Readonly<Record<string, DatabaseSync>>) {
    super('http://nowhere', null);
    this.places = places;
  }

  override askOn(
    baton: string | null,
    statements: readonly { readonly sql: string }[],
  ): Promise<BatchAnswer | LinkFailure> {
    const stream = baton ?? `stream ${this.at.size + 1}`;
    const rows = statements.map(({ sql }): WireAnswer[][] => {
      const place = /^PRAGMA sextant_at = '(.*)'$/.exec(sql)?.[1];
      if (place !== undefined) {
        const database = this.places[place];
        if (database === undefined) throw new Error(`no database stands at ${place}`);
        this.at.set(stream, database);
        return [[{ type: 'text', value: `${place} 2026-11-29T12:00:00.000000Z` }]];
      }
      const statement = this.at.get(stream)?.prepare(sql);
      statement?.setReturnArrays(true);
      return ((statement?.all() ?? []) as unknown as unknown[][]).map((row) => row.map(wireOf));
    });
    return Promise.resolve({
      kind: 'answered',
      baton: stream,
      rows,
      changes: rows.map(() => 0),
      errors: rows.map(() => null),
    });
  }

  override close(): Promise<void> {
    return Promise.resolve();
  }
}

/** @param places each a database that a stream reads from once it was taken there. */
export const linkOf = (places: Readonly<Record<string, DatabaseSync>>): SqlLink => new FileLink(places);
