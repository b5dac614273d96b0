/** Many scripts on one gateway, several at a time. */
import { answerText } from './answer.ts';
import { type Divergence, diverges, type StockSqlite, type Target } from './oracle.ts';
import type { Script } from './script.ts';

const retriesMax = 5;

/**
 * What differs from stock SQLite, by seed. Scripts that run at the same time can get in each other's way as clients do
 * (`SQLITE_BUSY`), so that what differed is tried again when nothing else runs.
 * @param lanes targets that share no table; each runs one script at a time.
 */
export async function differing(
  stock: StockSqlite,
  lanes: readonly Target[],
  scripts: readonly Script[],
): Promise<readonly Divergence[]> {
  const [first] = lanes;
  if (first === undefined) throw new Error('scripts need a lane to run in');
  const suspects: Script[] = [];
  const left = [...scripts].reverse();
  await Promise.all(
    lanes.map(async (lane) => {
      for (let script = left.pop(); script !== undefined; script = left.pop())
        if ((await diverges(stock, lane, script)) !== null) suspects.push(script);
    }),
  );
  const found: Divergence[] = [];
  for (const script of suspects.sort((one, other) => one.seed - other.seed)) {
    let again = await diverges(stock, first, script);
    // Others may use the deployment, too.
    for (let left = retriesMax; left > 0 && again !== null && isBusy(again); left--)
      again = await diverges(stock, first, script);
    if (again !== null) found.push(again);
  }
  return found;
}

/** Somebody else's transaction may have been in the way. */
const isBusy = ({ sextant }: Divergence): boolean => answerText(sextant).includes('SQLITE_BUSY');
