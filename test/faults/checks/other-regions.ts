/** What the clients of one region see of a move, of a gateway that dies, and of another region's writes. */
import { type Client, LibsqlError } from '@libsql/client';
import { type Check, Findings } from '../check.ts';
import { once, RawStream, shortly } from '../hrana.ts';
import { pause, primary, regions, type Stage, secondary, third } from '../stage.ts';

const readsDuringSwitchover: Check = {
  name: 'read-transactions-in-a-switchover',
  promise: 'read transactions go on in the region that becomes primary and in the third one',
  run: async (stage) => {
    const findings = new Findings();
    const open = await Promise.all(
      regions.map(async (region) => {
        const stream = new RawStream(stage.address(region));
        const begun = await stream.sql('BEGIN TRANSACTION READONLY');
        const first = await stream.sql(`SELECT count(*) FROM ${stage.table}`);
        return { region, stream, begun: begun.ok && first.ok };
      }),
    );
    const moved = await stage.switchover(secondary, 60_000);
    findings.expect(moved === 'done', `switchover: ${moved}`);
    for (const { region, stream, begun } of open) {
      const again = await stream.sql(`SELECT count(*) FROM ${stage.table}`);
      const ended = await stream.sql('COMMIT');
      const good = begun && again.ok && ended.ok;
      const line = `${region}: ${begun ? shortly(again) : 'could not begin'}, COMMIT ${shortly(ended)}`;
      // On the old writer a read transaction is rolled back, as the README says.
      if (region === primary) findings.fact(line);
      else findings.expect(good, line);
      await stream.close();
    }
    return findings.verdict();
  },
};

const shadowed = 99;

/** What a stream of its own kind holds, and what asking for it again must answer unless the stream is told that it is gone. */
const held = [
  { name: 'setting', make: 'PRAGMA recursive_triggers = ON', ask: 'PRAGMA recursive_triggers', value: '1' },
  {
    name: 'counter',
    make: 'INSERT INTO faults (id, n) VALUES (NULL, 0) RETURNING id',
    ask: 'SELECT last_insert_rowid()',
    value: null,
  },
  {
    name: 'temporary table',
    make: 'CREATE TEMP TABLE faults AS SELECT 7 AS id, 7 AS n',
    ask: 'SELECT n FROM faults',
    value: '7',
  },
  {
    name: 'temporary table that is written',
    make: 'CREATE TEMP TABLE faults AS SELECT 7 AS id, 7 AS n',
    ask: `UPDATE faults SET n = ${shadowed} RETURNING id`,
    value: '7',
  },
] as const;

const stateInSwitchover: Check = {
  name: 'stream-state-in-a-switchover',
  promise: 'what a stream holds is there after a switchover, or the stream is told; nothing is served half',
  run: async (stage) => {
    const findings = new Findings();
    const open = await Promise.all(
      regions.flatMap((region) =>
        held.map(async (what) => {
          const stream = new RawStream(stage.address(region));
          const made = await stream.sql(what.make);
          const value = what.value ?? (made.ok ? String(made.rows[0]?.[0]) : '');
          return { region, what, stream, made, value };
        }),
      ),
    );
    const moved = await stage.switchover(secondary, 60_000);
    findings.expect(moved === 'done', `switchover: ${moved}`);
    for (const { region, what, stream, made, value } of open) {
      const answer = await stream.sql(what.ask);
      const good =
        made.ok && (answer.ok ? String(answer.rows[0]?.[0]) === value : answer.code.startsWith('SEXTANT_'));
      const got = answer.ok ? `${JSON.stringify(answer.rows)}` : shortly(answer);
      findings.expect(good, `${region}, ${what.name}: ${made.ok ? got : shortly(made)}; ${value} is right`);
      await stream.close();
    }
    const real = await once(stage.address(third), `SELECT count(*) FROM main.faults WHERE n = ${shadowed}`);
    findings.expect(
      real.ok && Number(real.rows[0]?.[0]) === 0,
      `rows of the real table that were changed in place of a temporary one's: ${real.ok ? real.rows[0]?.[0] : shortly(real)}`,
    );
    return findings.verdict();
  },
};

/** Beside what ten clients of another region cost the primary's own while they live. */
const gapMsMax = 2_000;

const killedSecondary: Check = {
  name: 'secondary-killed-with-open-transactions',
  promise: `the primary's own clients write on within ${gapMsMax} ms when a secondary's gateway dies with ten transactions open or waiting`,
  run: async (stage) => {
    const findings = new Findings();
    const others = stage.others(primary);
    await pause(1_500);
    const remote = Array.from({ length: 10 }, () => new RawStream(stage.address(secondary)));
    let busy = true;
    // Interactive clients: each begins, changes a row, thinks, and commits, again and again.
    const working = remote.map(async (stream) => {
      while (busy) {
        await stream.sql('BEGIN IMMEDIATE');
        await stream.sql(`UPDATE ${stage.table} SET n = n + 1 WHERE id = 2`);
        await pause(50);
        await stream.sql('COMMIT');
      }
    });
    await pause(1_000);
    others.mark();
    await pause(4_000);
    const before = others.timing('write');
    others.mark();
    await stage.deployment.run('gateway', 'kill', secondary);
    busy = false;
    await pause(20_000);
    const { longestGapMs, failed, firstError } = others.timing('write');
    findings.expect(
      longestGapMs < before.longestGapMs + gapMsMax && failed === 0,
      `longest time without a write: ${Math.round(before.longestGapMs)} → ${Math.round(longestGapMs)} ms; ${failed} failed${firstError === null ? '' : ` (${firstError})`}`,
    );
    await others.stop();
    await Promise.all(working);
    await stage.deployment.run('gateway', 'start', secondary);
    return findings.verdict();
  },
};

const rounds = 40;
const ask = "PRAGMA sextant_read = 'global'";

interface Way {
  readonly name: string;
  read(client: Client, table: string): Promise<number>;
}

const ways: readonly Way[] = [
  {
    name: "batch([PRAGMA, SELECT], 'read')",
    read: async (client, table) => {
      const results = await client.batch([ask, `SELECT n FROM ${table} WHERE id = 1`], 'read');
      return Number(results[1]?.rows[0]?.n);
    },
  },
  {
    name: "batch([PRAGMA, SELECT], 'deferred')",
    read: async (client, table) => {
      const results = await client.batch([ask, `SELECT n FROM ${table} WHERE id = 1`], 'deferred');
      return Number(results[1]?.rows[0]?.n);
    },
  },
  {
    name: "transaction('read') that begins with the PRAGMA",
    read: async (client, table) => {
      const transaction = await client.transaction('read');
      try {
        await transaction.execute(ask);
        const { rows } = await transaction.execute(`SELECT n FROM ${table} WHERE id = 1`);
        return Number(rows[0]?.n);
      } finally {
        transaction.close();
      }
    },
  },
];

async function readWay(stage: Stage, transport: 'http' | 'ws', way: Way, findings: Findings): Promise<void> {
  const writer = stage.deployment.client(secondary, transport);
  const reader = stage.deployment.client(third, transport);
  let stale = 0;
  let refused = 0;
  let broken = 0;
  let reason = '';
  for (let round = 0; round < rounds; round++) {
    const { rows } = await writer.execute(`UPDATE ${stage.table} SET n = n + 1 WHERE id = 1 RETURNING n`);
    const written = Number(rows[0]?.n);
    try {
      if ((await way.read(reader, stage.table)) < written) stale++;
    } catch (error) {
      // A refusal has a name; what is only unreachable proves nothing.
      const named = error instanceof LibsqlError && /^(?:SEXTANT|SQLITE|BLOCKED)/.test(error.code);
      if (named) refused++;
      else broken++;
      reason = String(error).slice(0, 150);
    }
  }
  findings.expect(
    stale === 0 && broken === 0,
    `${way.name} over ${transport}: ${stale} of ${rounds} stale, ${refused} refused, ${broken} without an answer ${reason}`,
  );
}

const globalReads: Check = {
  name: 'global-in-read-batches',
  promise: "PRAGMA sextant_read = 'global' of a stock client is honoured or refused, wherever it stands",
  run: async (stage) => {
    const findings = new Findings();
    for (const way of ways)
      for (const transport of ['http', 'ws'] as const) await readWay(stage, transport, way, findings);
    return findings.verdict();
  },
};

export const otherRegions: readonly Check[] = [
  readsDuringSwitchover,
  stateInSwitchover,
  killedSecondary,
  globalReads,
];
