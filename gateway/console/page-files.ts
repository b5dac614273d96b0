/**
 * The files of the console, made ready once, when somebody first asks for it: the page's own modules, whose types are taken out,
 * and uPlot as npm brought it. They lie at a path that changes with any of them, so that a browser keeps them for ever and an
 * upgraded gateway is never mixed with what an older one served. A thread of its own reads them: the writer is not held up.
 */
import { Worker } from 'node:worker_threads';
import { z } from 'zod';

const fileSchema = z.object({ name: z.string(), contentType: z.string(), text: z.string() });
const filesSchema = z.object({ version: z.string(), index: z.string(), assets: z.array(fileSchema) });

export interface PageFile {
  readonly contentType: string;
  readonly text: string;
}

export interface PageFiles {
  /** Changes with any file. */
  readonly version: string;
  readonly index: string;
  /** By path below `/console/<version>/`. */
  readonly assets: ReadonlyMap<string, PageFile>;
}

const loadMs = 60_000;

/** @throws when a file is missing or cannot be read: then the installation is broken. */
export function loadPageFiles(): Promise<PageFiles> {
  const { promise, resolve, reject } = Promise.withResolvers<PageFiles>();
  const worker = new Worker(new URL('page-loader.ts', import.meta.url), { stderr: true });
  const timer = setTimeout(() => reject(new Error(`the console was not read within ${loadMs} ms`)), loadMs);
  worker.once('message', (message: unknown) => {
    const { version, index, assets } = filesSchema.parse(message);
    resolve({ version, index, assets: new Map(assets.map(({ name, ...file }) => [name, file])) });
  });
  worker.once('error', reject);
  return promise.finally(() => {
    clearTimeout(timer);
    void worker.terminate();
  });
}
