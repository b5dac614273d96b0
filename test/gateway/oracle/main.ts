/** Many sequences by hand: `node test/gateway/oracle/main.ts --seeds 5000 [--from 0]`. */
import { inspect, parseArgs } from 'node:util';
import { compareSeed } from './compare.ts';
import { EnginePair } from './engines.ts';

const { values } = parseArgs({
  options: { seeds: { type: 'string', default: '5000' }, from: { type: 'string', default: '0' } },
});
const from = Number(values.from);
const seeds = Number(values.seeds);
const pair = await EnginePair.start();
let differing = 0;
for (let seed = from; seed < from + seeds && differing < 10; seed++) {
  for (const way of ['writer', 'reader first'] as const) {
    const difference = await compareSeed(pair, seed, way);
    if (difference === null) continue;
    differing++;
    process.stdout.write(
      `${inspect(difference, { depth: 8, breakLength: 160, maxArrayLength: 200, compact: 6 })}\n`,
    );
  }
}
await pair.close();
process.stdout.write(`${seeds} sequences from seed ${from}, each in two ways: ${differing} differences\n`);
process.exitCode = differing === 0 ? 0 : 1;
