/** Writes numbered rows at a steady rate and keeps account of every one: acknowledged, refused, or unknown. */
import { type Client, LibsqlError } from '@libsql/client';

export interface WriterAccount {
  /** Rows whose insert was acknowledged. */
  readonly acknowledged: readonly number[];
  /** Inserts that ended in an error, with its code. */
  readonly failed: readonly { readonly id: number; readonly code: string }[];
  /** Longest time between two acknowledgements, milliseconds. */
  readonly longestPauseMs: number;
}

export class SteadyWriter {
  private readonly client: Client;
  private readonly table: string;
  private readonly timer: NodeJS.Timeout;
  private readonly inFlight = new Set<Promise<void>>();
  private readonly acknowledged: number[] = [];
  private readonly failed: { id: number; code: string }[] = [];
  private lastAckMs = performance.now();
  private longestPauseMs = 0;
  private next: number;
  private newestAcknowledged = 0;

  /** @param firstId rows are numbered from here, so that several writers can share a table. */
  constructor(
    client: Client,
    table: string,
    options: { readonly perSecond: number; readonly firstId?: number },
  ) {
    this.client = client;
    this.table = table;
    this.next = options.firstId ?? 1;
    this.timer = setInterval(() => this.write(), 1_000 / options.perSecond);
  }

  get acknowledgedCount(): number {
    return this.acknowledged.length;
  }

  private write(): void {
    const id = this.next++;
    const insert = this.client
      .execute({ sql: `INSERT INTO ${this.table} VALUES (?, ?)`, args: [id, `row ${id}`] })
      .then(
        () => {
          this.acknowledged.push(id);
          this.newestAcknowledged = Math.max(this.newestAcknowledged, id);
          this.longestPauseMs = Math.max(this.longestPauseMs, performance.now() - this.lastAckMs);
          this.lastAckMs = performance.now();
        },
        (error: unknown) => {
          this.failed.push({ id, code: error instanceof LibsqlError ? error.code : String(error) });
        },
      );
    this.inFlight.add(insert);
    void insert.finally(() => this.inFlight.delete(insert));
  }

  /** Resolves with the next acknowledgement of a write that begins from now on, or fails after `timeoutMs`. */
  async nextAcknowledgement(timeoutMs: number): Promise<void> {
    const from = this.next;
    const deadline = performance.now() + timeoutMs;
    while (this.newestAcknowledged < from) {
      if (performance.now() > deadline) throw new Error(`nothing was acknowledged for ${timeoutMs} ms`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** Resolves once `count` more rows are acknowledged. */
  async acknowledges(count: number, timeoutMs = 20_000): Promise<void> {
    const wanted = this.acknowledged.length + count;
    const deadline = performance.now() + timeoutMs;
    while (this.acknowledged.length < wanted) {
      if (performance.now() > deadline)
        throw new Error(
          `${this.acknowledged.length} of ${wanted} rows acknowledged; failed: ${JSON.stringify(this.failed.slice(-5))}`,
        );
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** Stops, waits for what is in flight, and gives the account. */
  async stop(): Promise<WriterAccount> {
    clearInterval(this.timer);
    await Promise.all(this.inFlight);
    return { acknowledged: this.acknowledged, failed: this.failed, longestPauseMs: this.longestPauseMs };
  }
}

/** Ids present in a table, as a region sees it once it has everything that was acknowledged anywhere. */
export async function idsIn(client: Client, table: string): Promise<ReadonlySet<number>> {
  const [, found] = await client.batch(["PRAGMA sextant_read = 'global'", `SELECT id FROM ${table}`], 'read');
  return new Set(found?.rows.map(({ id }) => Number(id)));
}
