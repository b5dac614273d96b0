/** Imports into a protocol server over the SQL twin, through a wire that loses what a test wants lost. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { DatabaseSync } from 'node:sqlite';
import type { BatchLimits } from '../../../regions/transfer/core/import-batch.ts';
import { Importer, type ImportResult } from '../../../regions/transfer/import-file.ts';
import { SqlLink } from '../../../regions/transfer/sql-link.ts';
import { survey } from '../../../regions/transfer/survey.ts';

/** What becomes of a request: `lost` before it arrives, `unanswered` after it was carried out. */
export type Fate = 'answered' | 'lost' | 'unanswered' | { readonly refused: string };

export interface Wire {
  readonly url: string;
  /** Bodies that arrived, in order. */
  readonly bodies: string[];
  close(): Promise<void>;
}

/** Stands between a client and `target`. */
export async function startWire(
  target: string | (() => string),
  fateOf: (body: string, at: number) => Fate,
): Promise<Wire> {
  const bodies: string[] = [];
  const server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      const body = Buffer.concat(pieces).toString();
      const fate = fateOf(body, bodies.length);
      bodies.push(body);
      if (fate === 'lost') {
        request.socket.destroy();
        return;
      }
      if (typeof fate === 'object') {
        response.writeHead(503, { 'content-type': 'application/json' });
        response.end(JSON.stringify({ message: `refused: ${fate.refused}`, code: fate.refused }));
        return;
      }
      void fetch(`${typeof target === 'string' ? target : target()}${request.url}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      }).then(async (answer) => {
        const text = await answer.text();
        if (fate === 'unanswered') request.socket.destroy();
        else response.writeHead(answer.status, { 'content-type': 'application/json' }).end(text);
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    bodies,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export interface ImportTrial {
  readonly intoExisting?: boolean;
  readonly limits?: BatchLimits;
  readonly patienceMs?: number;
  readonly notes?: string[];
  readonly token?: string;
}

/** One run of `sextant import`, without its command line. */
export async function importFrom(path: string, url: string, trial: ImportTrial = {}): Promise<ImportResult> {
  const db = new DatabaseSync(path, { readOnly: true });
  try {
    const { intoExisting = false, limits, patienceMs = 5_000, notes, token = null } = trial;
    const options = { intoExisting, patienceMs, ...(limits !== undefined && { batchLimits: limits }) };
    const listener = { progress: () => {}, note: (text: string) => void notes?.push(text) };
    return await new Importer(
      db,
      survey(db, () => {}),
      new SqlLink(url, token),
      options,
      listener,
    ).run();
  } finally {
    db.close();
  }
}
