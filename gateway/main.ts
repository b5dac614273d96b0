/**
 * A gateway as a process of its own: `node gateway/main.ts --config FILE [--name NAME]`. The file is the gateway's own, or its
 * region's, in which it has that name.
 *
 * What is imported here is loaded before anything else. PostgreSQL takes as long to load as the rest of a gateway, so its thread
 * is begun first, and the two are loaded side by side.
 */
import { parseArgs } from 'node:util';
import { guessEngine } from './process/launch/engine-guess.ts';

const options = {
  config: { type: 'string', multiple: true },
  name: { type: 'string', multiple: true },
  check: { type: 'boolean' },
} as const;
const { config: files = [], name: names = [], check = false } = parseArgs({ options, strict: true }).values;
const isPostgres = !check && guessEngine(files[0]) === 'postgres';
const ahead = isPostgres ? (await import('./engine/engine-thread.ts')).startThreadAhead('postgres') : null;
const { runGateway } = await import('./process/launch/run-gateway.ts');
await runGateway({ files, names, check }, ahead);
