import { describe, expect, it } from 'vitest';
import { drillReportSchema, summaryOf } from '../../../regions/drills/core/drill-report.ts';
import { drillTable } from '../../../regions/drills/core/ledger.ts';
import { accountFor } from '../../../regions/drills/core/ledger-account.ts';
import { ticks } from '../../../regions/drills/core/report/report-charts.ts';
import { reportHtml } from '../../../regions/drills/core/report/report-html.ts';
import { reportJunit } from '../../../regions/drills/core/report/report-junit.ts';
import { notHeld, outcome, rehearsed } from '../../../regions/drills/core/report/report-sentences.ts';
import { type DrillFacts, reportOf } from '../../../regions/drills/core/report-of.ts';
import {
  acknowledgements,
  longestStall,
  recoveryOf,
  throughput,
} from '../../../regions/drills/core/stopwatch.ts';
import {
  dataChecks,
  objectivesOf,
  serviceChecks,
  steadyCheck,
} from '../../../regions/drills/core/verdict.ts';
import {
  asia,
  clients,
  east,
  everywhere,
  facts,
  iso,
  ledgerCase,
  lossesOf,
  planOf,
  request,
  rowsOf,
  traceOf,
  write,
} from './samples.ts';

const report = (more: Partial<DrillFacts> = {}) => reportOf(facts(more), iso);
/** The account that the runner would have made, with its checks. */
const withAccount = (account: DrillFacts['account'] & {}): Partial<DrillFacts> => ({
  account,
  checks: dataChecks(planOf('region-loss'), account, ''),
});

describe('the stopwatch', () => {
  it('finds the longest pause, also one that began before and one that never ends', () => {
    expect(longestStall([10, 20, 90, 100], 0, 100)).toEqual({ beganAtMs: 20, endedAtMs: 90, ms: 70 });
    expect(longestStall([10, 20, 90], 60, 95)).toEqual({ beganAtMs: 20, endedAtMs: 90, ms: 70 });
    expect(longestStall([10, 20], 15, 400)).toEqual({ beganAtMs: 20, endedAtMs: null, ms: 380 });
    expect(longestStall([], 0, 50)).toEqual({ beganAtMs: 0, endedAtMs: null, ms: 50 });
  });

  it('counts from the fault when a region is gone, and from the last write before the pause when service goes on', () => {
    const acks = [900, 1_000, 1_300, 4_000, 4_010];
    expect(recoveryOf(acks, 1_000, 5_000, 'fault')).toMatchObject({ rtoMs: 3_000, writeStallMs: 2_700 });
    expect(recoveryOf(acks, 1_000, 4_500, 'stall')).toMatchObject({ rtoMs: 2_700, writeStallMs: 2_700 });
    expect(recoveryOf([900], 1_000, 5_000, 'fault')).toEqual({
      rtoMs: null,
      writeStallMs: 4_100,
      beganAtMs: 1_000,
      backAtMs: null,
    });
  });

  it('takes the first pause after a region is gone for the outage, also when a longer one follows', () => {
    const acks = [900, 950, 1_000, 3_000, 3_050, 9_000, 9_050];
    expect(recoveryOf(acks, 1_000, 9_500, 'fault')).toEqual({
      rtoMs: 2_000,
      writeStallMs: 5_950,
      beganAtMs: 1_000,
      backAtMs: 3_000,
    });
    // Pauses that were usual before the fault are none.
    expect(recoveryOf([0, 400, 800, 1_200, 2_000, 4_500], 1_000, 4_600, 'fault').rtoMs).toBe(3_500);
  });

  it('listens to the clients that it is told to', () => {
    const entries = [write(0, 10), write(2, 20), write(3, 30, { outcome: 'unknown' })];
    expect(acknowledgements(entries, clients)).toEqual([15, 25]);
    expect(acknowledgements(entries, clients, [east])).toEqual([15]);
  });

  it('puts each write into the second in which it ended', () => {
    const entries = [write(1, 100), write(2, 999), write(3, 1_500, { outcome: 'refused' })];
    expect(throughput(entries, 0, 2_000, 1_000)).toEqual([
      { atMs: 0, acknowledged: 1, refused: 0, unknown: 0 },
      { atMs: 1_000, acknowledged: 1, refused: 1, unknown: 0 },
    ]);
  });
});

describe('the verdict', () => {
  it('is green when all of it held, and states what it cost', () => {
    expect(report()).toMatchObject({
      passed: true,
      kind: 'region-loss',
      rtoMs: 4_005,
      writeStallMs: expect.any(Number),
      rpoCommits: 1,
      // Write 398 was sent 30 ms before the fault.
      rpoMs: 30,
      rpoBytes: 50,
      detectionMs: 300,
      lostWrites: 1,
      reportedLost: 1,
      regionsEqual: true,
      acknowledgedWrites: 700,
      failbackMs: 1_200,
      lost: [{ id: 398, traceId: traceOf(398), reported: true }],
    });
  });

  it('says what the recovery time was made of, and the parts are its sum', () => {
    const { rtoPhases, rtoMs } = report();
    expect(rtoPhases.map(({ name }) => name)).toEqual([
      'detection',
      'command',
      'waiting-for-lease',
      'promoting',
      'first write',
    ]);
    expect(rtoPhases.reduce((sum, { ms }) => sum + ms, 0)).toBe(rtoMs);
  });

  it.each([
    ['an RTO bound that is too small', { request: request({ rtoMs: 4_000 }) }],
    ['a loss above the bound', { request: request({ rpoCommits: 0 }) }],
    ['a check that did not hold', { checks: [{ name: 'x', held: false, detail: 'y' }] }],
    ['a phase that failed', { phases: [{ name: 'fault', startedAtMs: 0, endedAtMs: 1, outcome: 'failed' }] }],
    ['a drill that was stopped', { interrupted: true }],
    ['data that were not compared', { account: null }],
    ['writes that did not come back', { entries: facts().entries.slice(0, 400) }],
    [
      'a loss report that drops the one lost write',
      withAccount(
        accountFor(
          ledgerCase({
            entries: facts().entries,
            regions: everywhere(rowsOf(facts().entries, 398)),
          }),
        ),
      ),
    ],
    [
      'a region that does not replay',
      withAccount(
        accountFor(
          ledgerCase({
            entries: facts().entries,
            regions: [...everywhere(rowsOf(facts().entries)).slice(1), { region: asia, rows: new Map() }],
          }),
        ),
      ),
    ],
  ] satisfies (readonly [string, Partial<DrillFacts>])[])('is red for %s', (_what, more) => {
    expect(report(more).passed).toBe(false);
  });

  it('holds an objective at its limit and not above, and never one that could not be measured', () => {
    const held = (rtoMs: number | null) =>
      objectivesOf(request({ rtoMs: 100 }), { rtoMs, rpoCommits: 0 }).map((objective) => objective.held);
    expect(held(100)).toEqual([true]);
    expect(held(101)).toEqual([false]);
    expect(held(null)).toEqual([false]);
    expect(objectivesOf(request(), { rtoMs: 1, rpoCommits: 1 })).toEqual([]);
  });

  it('demands of a fault that service survives: no failed request, no long pause, nothing lost', () => {
    const plan = planOf('az-loss');
    const names = (stallMs: number, outcome: 'acknowledged' | 'refused') =>
      serviceChecks(plan, { rtoMs: 1, writeStallMs: stallMs, beganAtMs: 0, backAtMs: 1 }, [
        write(1, 0, { outcome, code: 'SEXTANT_NO_WRITER' }),
      ])
        .filter(({ held }) => !held)
        .map(({ detail }) => detail);
    expect(names(2_000, 'acknowledged')).toEqual([]);
    expect(names(2_001, 'acknowledged')).toEqual(['longest pause: 2001 ms']);
    expect(names(5, 'refused')).toEqual(['1 × SEXTANT_NO_WRITER']);
    const { entries } = ledgerCase();
    const lost = accountFor(ledgerCase({ regions: everywhere(rowsOf(entries, 3)), losses: lossesOf(3) }));
    expect(dataChecks(plan, lost, '').filter(({ held }) => !held)).toEqual([
      { name: 'nothing acknowledged is lost', held: false, detail: 'lost: 3' },
    ]);
    expect(dataChecks(planOf('region-loss'), lost, '').every(({ held }) => held)).toBe(true);
  });

  it('begins only when every client is served', () => {
    const all = clients.map((_, client) => write(client, 0, { client }));
    expect(steadyCheck(all, clients).held).toBe(true);
    expect(steadyCheck(all.slice(1), clients)).toMatchObject({
      held: false,
      detail: 'no write acknowledged to us-east-1 (http)',
    });
    expect(
      steadyCheck([...all, write(9, 0, { outcome: 'unknown', code: 'ECONNRESET' })], clients),
    ).toMatchObject({
      held: false,
      detail: '1 × ECONNRESET',
    });
  });
});

describe('what is said in short', () => {
  const said = (more: Partial<DrillFacts> = {}) => outcome(report(more)).join(' ');

  it('tells what was done, what it cost, and that each lost write is named', () => {
    expect(rehearsed(report())).toBe(
      'Rehearsed at us-east-1, the primary: kill a whole region, fail over to the best survivor, take the region back, move back.',
    );
    expect(said()).toContain('Writes were acknowledged again 4.00 s after the fault.');
    expect(said()).toContain(
      'Of 700 acknowledged writes 1 was lost, each is named below; every region shows',
    );
    expect(said()).toContain('The primary moved back to us-east-1 within 1.20 s');
    expect(notHeld(report())).toEqual([]);
  });

  it('names what did not hold, objectives first', () => {
    const checks = [
      { name: 'a', held: true, detail: '' },
      { name: 'b', held: false, detail: '' },
    ];
    expect(notHeld(report({ request: request({ rtoMs: 100 }), checks }))).toEqual(['rtoMs at most 100', 'b']);
  });

  it('claims no loss, and none that there was not, where the data were not compared', () => {
    const blind = report({ account: null });
    expect(blind.dataCompared).toBe(false);
    expect(summaryOf(blind)).toMatchObject({ rpoCommits: null, lostWrites: null });
    expect(outcome(blind).join(' ')).toContain('is not known: the data could not be compared');
    expect(outcome(blind).join(' ')).toContain(`kept as evidence in the table ${drillTable(blind.id)}.`);
    expect(reportHtml(blind)).not.toMatch(/none was lost|No acknowledged write was lost/);
  });

  it('says so when writes did not come back, nothing was broken, or the primary is elsewhere', () => {
    expect(said({ entries: facts().entries.slice(0, 400) })).toContain('Writes did not come back.');
    expect(said({ entries: facts().entries.slice(0, 400), interrupted: true })).toContain(
      'The drill was stopped before writes were back.',
    );
    expect(said({ phases: [] })).toBe('Nothing was broken: the drill ended before its fault.');
    const after = { primary: asia, epoch: 5 };
    expect(said({ failback: null, after })).toContain('The primary is ap-northeast-1 now, and was us-east-1');
  });
});

describe('the report', () => {
  it('has the keys that are promised, and reads back as it was written', () => {
    const made = report();
    const keys = (
      'kind passed objectives rtoMs rpoMs rpoCommits writeStallMs acknowledgedWrites refusedWrites unknownWrites ' +
      'lostWrites reportedLost regionsEqual failbackMs traceId timeline'
    ).split(' ');
    expect(Object.keys(made)).toEqual(expect.arrayContaining(keys));
    expect(drillReportSchema.parse(JSON.parse(JSON.stringify(made)))).toEqual(made);
  });

  it('is one page without a script or an address, and escapes what it was told', () => {
    const html = reportHtml(report({ request: request({ rtoMs: 100 }) }));
    expect(html).toMatch(/^<!doctype html>/);
    expect(html).not.toMatch(/<script|https?:|@import|url\(/);
    expect(html).toContain('&lt;seen&gt; &amp; heard');
    expect(html).toContain('objective: rtoMs at most 100');
    expect(html).toContain(traceOf(398));
    expect(html.match(/<svg /g)).toHaveLength(4);
    expect(html).not.toMatch(/NaN|undefined|Infinity/);
  });

  it('shades the pause where it was, and not from the fault on when it began later', () => {
    const shaded = (made: ReturnType<typeof report>) =>
      [...reportHtml(made).matchAll(/class="outage" x="([\d.]+)" y="\d+" width="([\d.]+)"/g)].map(
        ([, x, width]) => [Number(x), Number(width)],
      );
    // 15 s are 880 wide, from 64 on; the fault is at 5 s, and writes were back at 9.005 s.
    const made = report({
      phases: [
        {
          name: 'fault',
          startedAtMs: facts().faultAtMs ?? 0,
          endedAtMs: facts().endedAtMs,
          outcome: 'passed',
        },
      ],
    });
    expect(made.outage).toEqual({ fromMs: 5_000, toMs: 9_005 });
    const from = 64 + 880 / 3;
    for (const [x = 0, width = 0] of shaded(made)) {
      expect(x).toBeCloseTo(from, 0);
      expect(width).toBeCloseTo((880 * 4_005) / 15_000, 0);
    }
    const later = shaded({ ...made, outage: { fromMs: 6_000, toMs: 7_500 } });
    expect(later).toHaveLength(2);
    for (const [x = 0, width = 0] of later) {
      expect(x).toBeCloseTo(64 + (880 * 6) / 15, 0);
      expect(width).toBeCloseTo(88, 0);
    }
  });

  it('is drawn also when nothing was measured', () => {
    const bare = report({
      entries: [],
      account: null,
      lag: [],
      phases: [],
      timeline: [],
      faultAtMs: null,
      failback: null,
    });
    expect(bare).toMatchObject({ passed: false, rtoMs: null, failbackMs: null, detectionMs: null });
    expect(reportHtml(bare)).not.toMatch(/NaN|undefined|Infinity/);
  });

  it('has a test case for each check and objective in JUnit', () => {
    const xml = reportJunit(report({ request: request({ rtoMs: 100, rpoCommits: 5 }) }));
    expect(xml).toMatch(/<testsuite name="sextant drill region-loss" tests="4" failures="1"/);
    expect(xml).toContain('name="rtoMs at most 100"><failure message="rtoMs 4005"/>');
    expect(xml).toContain('&lt;seen&gt; &amp; heard');
  });

  it('marks axes in steps that people count in', () => {
    expect(ticks(100, 4)).toEqual([0, 50, 100]);
    expect(ticks(0.7, 4)).toEqual([0, 0.2, 0.4, 0.6]);
    expect(ticks(0, 4)).toEqual([0]);
  });
});
