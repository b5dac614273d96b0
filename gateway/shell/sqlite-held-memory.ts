/** What a connection holds for its stream in temporary tables and attached databases: how much it is, and keeping it bounded. */
import type { Asked } from './sqlite-settings.ts';

interface HeldDatabase {
  /** As SQL has it. */
  readonly name: string;
  readonly pages: number;
  readonly pageBytes: number;
}

const names = "SELECT json_group_array(name) FROM pragma_database_list WHERE name NOT IN ('main', 'temp')";

export class HeldMemory {
  private readonly connection: Asked;
  private databases: readonly HeldDatabase[] = [];
  /** As it was last measured. */
  bytes = 0;

  constructor(connection: Asked) {
    this.connection = connection;
  }

  /** Asks SQLite how much it is now. */
  measure(): void {
    const attached: unknown = JSON.parse(this.connection.ask(names) ?? '[]');
    this.databases = ['temp', ...(Array.isArray(attached) ? attached.map(String) : [])].map((plain) => {
      const name = `"${plain.replaceAll('"', '""')}"`;
      return { name, pages: this.number(name, 'page_count'), pageBytes: this.number(name, 'page_size') };
    });
    this.bytes = this.databases.reduce((sum, { pages, pageBytes }) => sum + pages * pageBytes, 0);
  }

  private number(database: string, pragma: string): number {
    return Number(this.connection.ask(`PRAGMA ${database}.${pragma}`) ?? 0);
  }

  /** Lets the next statement add so many bytes to each database. */
  bound(moreBytes: number): void {
    for (const { name, pages, pageBytes } of this.databases) {
      const more = Math.max(0, Math.floor(moreBytes / Math.max(1, pageBytes)));
      this.connection.ask(`PRAGMA ${name}.max_page_count=${Math.max(1, pages + more)}`);
    }
  }
}
