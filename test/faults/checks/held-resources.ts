/** One client that takes connections, the writer's turn or memory, and keeps them. */
import { createConnection } from 'node:net';
import { type Check, Findings } from '../check.ts';
import { type Answer, once, RawStream, shortly } from '../hrana.ts';
import { pause, primary, residentMiB, type Stage, secondary } from '../stage.ts';

/** Opens streams, a few at a time, and runs the same statements on each. */
async function hold(
  address: string,
  count: number,
  statements: readonly string[],
): Promise<{
  readonly streams: readonly RawStream[];
  readonly refused: readonly Answer[];
}> {
  const streams = Array.from({ length: count }, () => new RawStream(address));
  const refused: Answer[] = [];
  for (let at = 0; at < count; at += 20) {
    await Promise.all(
      streams.slice(at, at + 20).map(async (stream) => {
        for (const sql of statements) {
          const answer = await stream.sql(sql);
          if (answer.ok) continue;
          refused.push(answer);
          return;
        }
      }),
    );
  }
  return { streams, refused };
}

/** Statements of other clients at the same time, since one that comes by itself may find the last place free. */
const othersAtOnce = 4;

/** What other clients are told, at the primary and through a secondary. */
async function othersGoOn(stage: Stage, findings: Findings): Promise<void> {
  for (const region of [primary, secondary]) {
    for (const sql of [
      `SELECT n FROM ${stage.table} WHERE id = 1`,
      `UPDATE ${stage.table} SET n = n + 1 WHERE id = 1`,
    ]) {
      const beganMs = performance.now();
      const answers = await Promise.all(
        Array.from({ length: othersAtOnce }, () => once(stage.address(region), sql, 30_000)),
      );
      const tookMs = Math.round(performance.now() - beganMs);
      const bad = answers.find((answer) => !answer.ok);
      findings.expect(
        bad === undefined && tookMs < 3_000,
        `${othersAtOnce} other clients of ${region}, ${sql.slice(0, 6)}: ${bad === undefined ? 'ok' : shortly(bad)} after ${tookMs} ms`,
      );
    }
  }
}

/** Who exceeds a limit may be refused, by the limit's name. */
function refusals(refused: readonly Answer[], count: number, findings: Findings): void {
  const unnamed = refused.find((answer) => !answer.ok && !/\w+ = \d+/.test(answer.message));
  const [first] = refused;
  findings.expect(
    unnamed === undefined,
    `${refused.length} of ${count} refused${first === undefined ? '' : `: ${shortly(unnamed ?? first)}`}`,
  );
}

function idleStreams(name: string, count: number, statements: readonly string[]): Check {
  return {
    name,
    promise: 'other clients read and write; who is refused hears which limit it was',
    run: async (stage) => {
      const findings = new Findings();
      const { streams, refused } = await hold(stage.address(primary), count, statements);
      refusals(refused, count, findings);
      await othersGoOn(stage, findings);
      for (let at = 0; at < count; at += 40)
        await Promise.all(streams.slice(at, at + 40).map((one) => one.close()));
      return findings.verdict();
    },
  };
}

const boundMs = 60_000;

const endlessWrite: Check = {
  name: 'endless-write-transaction',
  promise: `a write transaction that is kept alive lets another client write within ${boundMs / 1_000} s`,
  run: async (stage) => {
    const findings = new Findings();
    const holder = new RawStream(stage.address(primary));
    await holder.sql('BEGIN IMMEDIATE');
    const beganMs = performance.now();
    let told: Answer | null = null;
    let stopped = false;
    const holding = (async () => {
      while (!stopped) {
        const answer = await holder.sql(`UPDATE ${stage.table} SET n = n + 1 WHERE id = 2`);
        if (!answer.ok) {
          told = answer;
          return;
        }
        await pause(1_000);
      }
    })();
    let written = false;
    while (!written && performance.now() - beganMs < boundMs)
      written = (await once(stage.address(primary), `UPDATE ${stage.table} SET n = n + 1 WHERE id = 3`)).ok;
    findings.expect(
      written,
      `another client wrote ${written ? `after ${Math.round((performance.now() - beganMs) / 1_000)} s` : `nothing in ${boundMs / 1_000} s`}`,
    );
    if (written) await Promise.race([holding, pause(3_000)]);
    stopped = true;
    await holding;
    findings.fact(`the holder was told: ${told === null ? 'nothing' : shortly(told)}`);
    await holder.close();
    return findings.verdict();
  },
};

const temporaryTables: Check = {
  name: 'large-temporary-tables',
  promise: 'temporary tables of 1.35 GB in three streams, and more, cost other clients nothing',
  run: async (stage) => {
    const findings = new Findings();
    const streams = Array.from({ length: 3 }, () => new RawStream(stage.address(primary)));
    const fill = (rows: number, bytes: number): string =>
      `WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ${rows}) INSERT INTO scratch SELECT zeroblob(${bytes}) FROM c`;
    const refused: Answer[] = [];
    for (const stream of streams) {
      const made = await stream.sql('CREATE TEMP TABLE scratch (b)');
      if (!made.ok) refused.push(made);
      for (let part = 0; made.ok && part < 5; part++) {
        const answer = await stream.sql(fill(90, 1_000_000));
        if (!answer.ok) refused.push(answer);
      }
    }
    // Whatever is left, in smaller and smaller pieces, each size until the engine says no.
    const [first] = streams;
    for (const [rows, bytes] of [
      [10, 100_000],
      [1, 100_000],
      [1, 8_000],
      [1, 100],
    ] as const) {
      for (let part = 0; part < 400; part++) {
        const answer = await first?.sql(fill(rows, bytes));
        if (answer?.ok !== false) continue;
        refused.push(answer);
        break;
      }
    }
    const [told] = refused;
    findings.fact(
      `the three were refused ${refused.length} times${told === undefined ? '' : `: ${shortly(told)}`}`,
    );
    const failed = new Map<string, number>();
    let asked = 0;
    for (const sql of [
      `SELECT count(*) FROM ${stage.table}`,
      `INSERT INTO ${stage.table} (n) VALUES (0)`,
      `UPDATE ${stage.table} SET n = n + 1 WHERE id = 4`,
      'CREATE TABLE IF NOT EXISTS faults_more (a)',
    ]) {
      for (let time = 0; time < 10; time++, asked++) {
        const answer = await once(stage.address(primary), sql, 20_000);
        if (!answer.ok) failed.set(shortly(answer), (failed.get(shortly(answer)) ?? 0) + 1);
      }
    }
    const count = [...failed.values()].reduce((sum, one) => sum + one, 0);
    findings.expect(
      count === 0,
      `${count} of ${asked} statements of others failed ${[...failed.keys()].slice(0, 2).join('; ')}`,
    );
    await Promise.all(streams.map((stream) => stream.close()));
    return findings.verdict();
  },
};

const readers = 45;
const answerBytes = 60_000_000;
const growthMiBMax = 1_024;

const slowReaders: Check = {
  name: 'answers-nobody-reads',
  promise: `${readers} clients that ask for ${answerBytes / 1_000_000} MB each and do not read cost a gateway less than ${growthMiBMax} MiB, and others go on`,
  run: async (stage) => {
    const findings = new Findings();
    // Memory that WebAssembly once had is never given back, so that what came before must not count.
    await stage.restartGateways();
    await stage.reset();
    const pid = await stage.gatewayPid(primary);
    const baseMiB = residentMiB(pid);
    const [host = '', port = ''] = stage.address(primary).split(':');
    const body = JSON.stringify({
      requests: [
        { type: 'execute', stmt: { sql: `SELECT printf('%.*c', ${answerBytes}, 'x')` } },
        { type: 'close' },
      ],
    });
    const sockets = Array.from({ length: readers }, () => {
      const socket = createConnection({ host, port: Number(port) });
      socket.on('error', () => socket.destroy());
      socket.pause();
      socket.write(
        `POST /v3/pipeline HTTP/1.1\r\nhost: ${host}:${port}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      );
      return socket;
    });
    let peakMiB = 0;
    for (let time = 0; time < 40; time++) {
      await pause(500);
      peakMiB = Math.max(peakMiB, residentMiB(pid));
    }
    findings.expect(
      peakMiB - baseMiB < growthMiBMax,
      `memory of the gateway: ${Math.round(baseMiB)} → ${Math.round(peakMiB)} MiB`,
    );
    await othersGoOn(stage, findings);
    for (const socket of sockets) socket.destroy();
    return findings.verdict();
  },
};

export const heldResources: readonly Check[] = [
  idleStreams('idle-streams-with-settings', 520, ['PRAGMA busy_timeout = 5000']),
  idleStreams('idle-read-transactions', 520, ['BEGIN', 'SELECT count(*) FROM faults']),
  endlessWrite,
  temporaryTables,
  slowReaders,
];
