/** SQLite's code, compiled once per process: a thread that compiled it itself would start later and run slow code at first. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { compileWasm, type WasmCode } from './core/wasm.ts';

const file = '@sqlite.org/sqlite-wasm/sqlite3.wasm';
let compiled: Promise<WasmCode> | null = null;

/** The code for all threads of this process. @throws Error when the package's file cannot be read; the next call tries again. */
export async function sqliteCode(): Promise<WasmCode> {
  compiled ??= readFile(createRequire(import.meta.url).resolve(file)).then(compileWasm);
  try {
    return await compiled;
  } catch (error) {
    compiled = null;
    throw error;
  }
}
