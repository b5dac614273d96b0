/** Statements that run for very long, at the primary and at a secondary. */
import { type Check, Findings } from '../check.ts';
import { type Argument, once, RawStream, shortly } from '../hrana.ts';
import { lessThanDouble, type Others, timingText } from '../others.ts';
import {
  busyShare,
  isAlive,
  pause,
  primary,
  type Readiness,
  type Region,
  type Stage,
  secondary,
  third,
} from '../stage.ts';

const measuredMs = 6_000;
const endless = 'WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT count(*) FROM c';

/** A statement whose work is one call of a function: SQLite looks at nothing else until it returns. */
const uninterruptible = 'SELECT instr(zeroblob(?), ?)';
const uninterruptibleArgs: readonly Argument[] = (() => {
  const needle = Buffer.alloc(1_500_000);
  needle[needle.length - 1] = 1;
  return [
    { type: 'integer', value: '6000000' },
    { type: 'blob', base64: needle.toString('base64') },
  ];
})();

interface Heavy {
  /** What its client was told, once it was. */
  readonly answer: Promise<{ readonly text: string; readonly tookMs: number }>;
  /** The client hangs up. */
  leave(): void;
}

function begin(address: string, sql: string, args: readonly Argument[]): Heavy {
  const leaving = new AbortController();
  const beganMs = performance.now();
  const answer = new RawStream(address)
    .sql(sql, { args, signal: leaving.signal, limitMs: 180_000 })
    .then((got) => ({ text: shortly(got), tookMs: performance.now() - beganMs }));
  return { answer, leave: () => leaving.abort() };
}

/** Asks `/readyz` twice a second. */
function watchReadiness(stage: Stage, region: Region): { stop(): Promise<readonly Readiness[]> } {
  const seen: Readiness[] = [];
  let stopped = false;
  const work = (async () => {
    while (!stopped) {
      seen.push(await stage.readiness(region));
      await pause(500);
    }
  })();
  return {
    stop: async () => {
      stopped = true;
      await work;
      return seen;
    },
  };
}

/** A gateway that has answered nobody for this long is not ready. */
const silentMs = 5_000;

/** Other clients before and during a heavy statement, and what `/readyz` says meanwhile. */
async function compare(
  stage: Stage,
  region: Region,
  findings: Findings,
  heavy: () => Heavy,
): Promise<{ readonly heavy: Heavy; readonly others: Others }> {
  const others = stage.others(region);
  await pause(1_500);
  others.mark();
  await pause(measuredMs);
  const before = { read: others.timing('read'), write: others.timing('write') };
  const running = heavy();
  await pause(500);
  others.mark();
  const watching = watchReadiness(stage, region);
  await pause(measuredMs + silentMs);
  const during = { read: others.timing('read'), write: others.timing('write') };
  const ready = await watching.stop();
  for (const kind of ['read', 'write'] as const)
    findings.expect(
      lessThanDouble(before[kind], during[kind]),
      timingText(`others' ${kind}s`, before[kind], during[kind]),
    );
  const silent = during.read.silentMs > silentMs || during.write.silentMs > silentMs;
  const saysReady = ready.at(-1)?.ready === true;
  findings.expect(
    silent !== saysReady,
    `after ${silentMs + measuredMs} ms /readyz says ${saysReady ? 'ready' : 'not ready'}; the last read was answered ${Math.round(during.read.silentMs)} ms ago, the last write ${Math.round(during.write.silentMs)} ms ago`,
  );
  return { heavy: running, others };
}

function endlessRead(region: Region, name: string): Check {
  return {
    name,
    promise: 'others go on in less than double their time, and the statement ends when its client goes',
    run: async (stage) => {
      const findings = new Findings();
      const { heavy, others } = await compare(stage, region, findings, () =>
        begin(stage.address(region), endless, []),
      );
      await others.stop();
      heavy.leave();
      await heavy.answer;
      await pause(1_500);
      const pid = await stage.gatewayPid(region);
      const share = await busyShare(pid);
      findings.expect(
        share < 0.25,
        `1.5 s after its client has gone, the gateway takes ${share.toFixed(2)} of what a thread gets that never rests`,
      );
      return findings.verdict();
    },
  };
}

function uninterruptibleRead(region: Region, name: string): Check {
  return {
    name,
    promise:
      'others go on in less than double their time, /readyz tells the truth, and its client is told within 60 s',
    run: async (stage) => {
      const findings = new Findings();
      const { heavy, others } = await compare(stage, region, findings, () =>
        begin(stage.address(region), uninterruptible, uninterruptibleArgs),
      );
      await others.stop();
      const told = await Promise.race([heavy.answer, pause(60_000).then(() => null)]);
      heavy.leave();
      findings.expect(
        told !== null && told.text !== 'ok',
        told === null
          ? 'its client has not been told in 60 s'
          : `its client was told after ${Math.round(told.tookMs / 1_000)} s: ${told.text}`,
      );
      const after = await stage.readiness(region);
      const other = await new RawStream(stage.address(region)).sql(
        `UPDATE ${stage.table} SET n = 0 WHERE id = 1`,
        { limitMs: 15_000 },
      );
      findings.expect(
        after.ready && other.ok,
        `afterwards: ${after.ready ? 'ready' : 'not ready'}, a write: ${shortly(other)}`,
      );
      return findings.verdict();
    },
  };
}

const switchoverDuring: Check = {
  name: 'switchover-while-a-statement-hangs',
  promise: 'a switchover is done within 15 s though a statement at the old primary cannot be interrupted',
  run: async (stage) => {
    const findings = new Findings();
    const heavy = begin(stage.address(primary), uninterruptible, uninterruptibleArgs);
    await pause(1_000);
    const beganMs = performance.now();
    const moved = await stage.switchover(secondary, 60_000);
    const write = await once(stage.address(third), `UPDATE ${stage.table} SET n = n + 1 WHERE id = 1`);
    const tookMs = Math.round(performance.now() - beganMs);
    findings.expect(
      moved === 'done' && write.ok && tookMs < 15_000,
      `${moved}, and a write through the third region: ${shortly(write)}, after ${tookMs} ms`,
    );
    heavy.leave();
    await heavy.answer;
    return findings.verdict();
  },
};

const stopDuring: Check = {
  name: 'stop-while-a-statement-hangs',
  promise: 'a gateway ends within 10 s of SIGTERM though a statement cannot be interrupted',
  run: async (stage) => {
    const findings = new Findings();
    const pid = await stage.gatewayPid(primary);
    const heavy = begin(stage.address(primary), uninterruptible, uninterruptibleArgs);
    await pause(1_000);
    const beganMs = performance.now();
    process.kill(pid, 'SIGTERM');
    while (isAlive(pid) && performance.now() - beganMs < 15_000) await pause(100);
    findings.expect(
      !isAlive(pid),
      isAlive(pid) ? 'it runs 15 s later' : `it ended after ${Math.round(performance.now() - beganMs)} ms`,
    );
    heavy.leave();
    await heavy.answer;
    return findings.verdict();
  },
};

export const heavyStatements: readonly Check[] = [
  endlessRead(primary, 'endless-read-at-the-primary'),
  endlessRead(secondary, 'endless-read-at-a-secondary'),
  uninterruptibleRead(primary, 'uninterruptible-read-at-the-primary'),
  uninterruptibleRead(secondary, 'uninterruptible-read-at-a-secondary'),
  switchoverDuring,
  stopDuring,
];
