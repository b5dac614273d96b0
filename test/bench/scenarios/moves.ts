/** How long writes pause while the primary moves, with and without its consent. */
import { startLoad } from '../load/load-client.ts';
import type { LoadResult } from '../load/plan.ts';
import { figure, median } from '../measure/stats.ts';
import { type RunningSextant, startSextant } from '../systems/sextant.ts';
import { isMissing, nothing, type Outcome, pause, planOf, type Scenario } from './scenario.ts';

const regions = ['us-east-1', 'eu-west-1', 'ap-northeast-1'] as const;
const [east, europe, asia] = regions;
const clients = 16;
const perSecond = 200;
const settleMs = 1_500;
/** Longest a move may take before the measurement gives up. */
const limitMs = 60_000;

/** Writes at a steady rate through one region's gateway while `act` runs, and a while before and after. */
async function underWrites(
  system: RunningSextant,
  region: string,
  act: () => Promise<unknown>,
): Promise<LoadResult> {
  const plan = planOf({ warmMs: 500, measureMs: limitMs }, system.target(region), 'update', clients, {
    perSecond,
  });
  const load = startLoad(plan);
  try {
    await load.measuring;
    await pause(settleMs);
    await act();
    await pause(settleMs);
    load.stop();
    const result = await load.measured;
    await load.finished;
    return result;
  } finally {
    load.close();
  }
}

interface Move {
  readonly kind: 'switchover' | 'failover';
  readonly pauseMs: number;
  readonly errors: number;
  readonly firstError: string | null;
  readonly commandMs: number;
}

export const moves: Scenario = async ({ bench, options }): Promise<Outcome> => {
  const system = await startSextant(bench, { regions });
  if (isMissing(system)) return nothing(system.missing);
  await system.prepare();
  const done: Move[] = [];
  const move = async (kind: Move['kind'], through: string, act: () => Promise<unknown>): Promise<void> => {
    let commandMs = 0;
    const result = await underWrites(system, through, async () => {
      const startMs = performance.now();
      await act();
      commandMs = performance.now() - startMs;
    });
    done.push({
      kind,
      pauseMs: result.longestGapMs,
      errors: result.errors,
      firstError: result.firstError,
      commandMs,
    });
    bench.say(`  ${kind}: writes paused for ${Math.round(result.longestGapMs)} ms, ${result.errors} errors`);
  };
  const switchovers = options.quick ? 2 : 6;
  for (let at = 0; at < switchovers; at++) {
    const target = at % 2 === 0 ? europe : east;
    await move('switchover', asia, () => system.cli(['switchover', '--to', target]));
  }
  // An even number of switchovers has brought the primary back east; writes come in where nothing is lost.
  await move('failover', asia, async () => {
    await system.cli(['region', 'kill', east]);
    await system.cli(['failover', '--to', europe, '--allow-data-loss']);
  });
  await system.stop();
  const rows = (['switchover', 'failover'] as const).map((kind) => {
    const of = done.filter((one) => one.kind === kind);
    return [
      kind,
      String(of.length),
      figure(median(of.map(({ pauseMs }) => pauseMs))),
      figure(Math.max(...of.map(({ pauseMs }) => pauseMs))),
      String(of.reduce((sum, { errors }) => sum + errors, 0)),
      figure(median(of.map(({ commandMs }) => commandMs))),
    ];
  });
  return {
    missing: [],
    sections: [
      {
        name: 'moves',
        title: 'Moves of the primary',
        notes: [
          `${perSecond} UPDATEs a second on ${clients} connections through the gateway of ${asia}, which stays a secondary; three regions`,
          'failover: the primary region is killed and the failover ordered at once; the pause includes the lapse of its lease and two starts of the command line tool',
        ],
        tables: [
          {
            title: 'Longest time without an acknowledged write, ms',
            head: ['move', 'times', 'pause, median', 'pause, max', 'errors', 'commands took'],
            rows,
          },
        ],
        panels: [],
        data: done,
      },
    ],
  };
};
