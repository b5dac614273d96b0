/** The engine that a configuration names, as its text looks: YAML or JSON, in any style. */
import type { EngineKind } from '../../../sql/engine-kind.ts';

const comment = /(^|\s)#.*$/gm;
const postgres = /(^|[\s{,])["']?engine["']?\s*:\s*["']?postgres["']?\s*([,}\n]|$)/;

export const engineIn = (text: string): EngineKind =>
  postgres.test(text.replaceAll(comment, '')) ? 'postgres' : 'sqlite';
