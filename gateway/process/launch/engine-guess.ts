/** Which engine a gateway will have, told by its file alone: before what reads the file properly is loaded. */
import { readFileSync } from 'node:fs';
import type { EngineKind } from '../../sql/engine-kind.ts';
import { engineIn } from './core/engine-text.ts';

/** A guess, which decides what is loaded first and nothing else; null where there is no such file. */
export function guessEngine(file: string | undefined): EngineKind | null {
  if (file === undefined) return null;
  try {
    return engineIn(readFileSync(file, 'utf8'));
  } catch {
    return null; // Whoever loads it says what is wrong with it.
  }
}
