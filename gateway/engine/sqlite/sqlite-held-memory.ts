/** What a connection holds for its stream in temporary tables and attached databases: how much it is, and keeping it bounded. */
import type { Asked } from './sqlite-settings.ts';

/** A connection, as far as its databases can be looked at. */
export interface Measured extends Asked {
  /** Whether looking at a database leaves no mark: within a transaction that would bind one that is not part of it yet. */
  mayLookAt(database: string): boolean;
}

interface HeldDatabase {
  /** As SQL has it. */
  readonly name: string;
  readonly pages: number;
  readonly pageBytes: number;
  readonly canBound: boolean;
}

const names = "SELECT json_group_array(name) FROM pragma_database_list WHERE name NOT IN ('main', 'temp')";

export class HeldMemory {
  private readonly connection: Measured;
  private databases: readonly HeldDatabase[] = [];
  /** As it was last measured. */
  bytes = 0;
  /** What the statement that runs may add, to any of the databases. */
  private moreBytes = 0;

  constructor(connection: Measured) {
    this.connection = connection;
  }

  /** Asks SQLite how much it is now. */
  measure(): void {
    const attached: unknown = JSON.parse(this.connection.ask(names) ?? '[]');
    const before = this.databases;
    const databases: HeldDatabase[] = [];
    for (const plain of ['temp', ...(Array.isArray(attached) ? attached.map(String) : [])]) {
      const name = `"${plain.replaceAll('"', '""')}"`;
      const known = before.find((database) => database.name === name);
      if (this.connection.mayLookAt(plain))
        databases.push({
          name,
          pages: this.number(name, 'page_count'),
          pageBytes: this.number(name, 'page_size'),
          canBound: true,
        });
      else if (known !== undefined) databases.push({ ...known, canBound: false });
    }
    this.databases = databases;
    this.bytes = databases.reduce((sum, { pages, pageBytes }) => sum + pages * pageBytes, 0);
  }

  private number(database: string, pragma: string): number {
    return Number(this.connection.ask(`PRAGMA ${database}.${pragma}`) ?? 0);
  }

  /** Lets the next statement add so many bytes to each database. */
  bound(moreBytes: number): void {
    this.moreBytes = moreBytes;
    for (const { name, pages, pageBytes, canBound } of this.databases) {
      if (!canBound) continue;
      const more = Math.max(0, Math.floor(moreBytes / Math.max(1, pageBytes)));
      this.connection.ask(`PRAGMA ${name}.max_page_count=${Math.max(1, pages + more)}`);
    }
  }
  /**
   * Whether a statement that found no room met that bound. SQLite says the same of an AUTOINCREMENT at its end, and of a
   * `max_page_count` of main; and what the statement had added is gone by now. But its pages were in memory.
   * @param grownBytes the most that SQLite's memory grew by meanwhile. Half of it may have come free elsewhere.
   */
  metBound(grownBytes: number): boolean {
    return 2 * grownBytes >= this.moreBytes;
  }
}
