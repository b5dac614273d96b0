import { describe, expect, it } from 'vitest';
import { errorTable } from '../../../gateway/sql/errors.ts';
import { expectedChecksum, outcomeOf, payloadOf, refusalCodes } from '../../../regions/drills/core/ledger.ts';
import { accountFor, type LedgerCase } from '../../../regions/drills/core/ledger-account.ts';
import { lossesSince } from '../../../regions/drills/core/losses-since.ts';
import type { LossReport } from '../../../regions/moves/core/loss-report.ts';
import {
  asia,
  drill,
  europe,
  everywhere,
  ledgerCase,
  lossesOf,
  noLosses,
  regions,
  rowsOf,
  write,
} from './samples.ts';

const kinds = (given: LedgerCase): readonly string[] =>
  accountFor(given).discrepancies.map(({ kind }) => kind);

describe('the account of a ledger', () => {
  it('fits when every acknowledged write is in every region', () => {
    expect(accountFor(ledgerCase())).toEqual({
      acknowledged: 10,
      refused: 0,
      unknown: 0,
      lost: [],
      reportedLost: 0,
      reportedBytes: 0,
      regionsEqual: true,
      discrepancies: [],
    });
  });

  it('fits when what is gone is reported, write by write', () => {
    const { entries } = ledgerCase();
    const account = accountFor(
      ledgerCase({ regions: everywhere(rowsOf(entries, 9, 10)), losses: lossesOf(9, 10) }),
    );
    expect(account.discrepancies).toEqual([]);
    expect(account.lost.map(({ id, reported }) => [id, reported])).toEqual([
      [9, true],
      [10, true],
    ]);
  });

  it('fits when an unknown write is there, or is not, or is reported as lost', () => {
    const entries = [1, 2, 3].map((id) => write(id, id, { outcome: 'unknown', code: 'ECONNRESET' }));
    const there = new Map([[2, expectedChecksum(drill, 2, 2)]]);
    expect(kinds(ledgerCase({ entries, regions: everywhere(there), losses: lossesOf(3) }))).toEqual([]);
  });

  it('is red when the loss report drops one write, and names it', () => {
    const { entries } = ledgerCase();
    const account = accountFor(
      ledgerCase({ regions: everywhere(rowsOf(entries, 8, 9, 10)), losses: lossesOf(8, 10) }),
    );
    expect(account.discrepancies).toEqual([
      {
        kind: 'acknowledged-unaccounted',
        text: 'one write acknowledged, in no region, and in no loss report: 9 (3 lost, 2 reported)',
      },
    ]);
    expect(account.lost.map(({ id, reported }) => [id, reported])).toEqual([
      [8, true],
      [9, false],
      [10, true],
    ]);
  });

  it('is red when the report counts as many as are lost and names others', () => {
    const { entries } = ledgerCase();
    const given = ledgerCase({ regions: everywhere(rowsOf(entries, 9)), losses: lossesOf(99) });
    expect(kinds(given)).toEqual(['acknowledged-unaccounted']);
  });

  it('takes the count of a report that was cut short, and no less than that', () => {
    const { entries } = ledgerCase();
    const gone = everywhere(rowsOf(entries, 8, 9, 10));
    const cut = { ...lossesOf(8), complete: false };
    expect(kinds(ledgerCase({ regions: gone, losses: { ...cut, count: 3 } }))).toEqual([]);
    expect(kinds(ledgerCase({ regions: gone, losses: { ...cut, count: 2 } }))).toEqual([
      'acknowledged-unaccounted',
    ]);
  });

  it('is red when a region does not replay, and says which writes it lacks', () => {
    const { entries } = ledgerCase();
    const account = accountFor(
      ledgerCase({
        regions: regions.map((region) => ({
          region,
          rows: region === asia ? rowsOf(entries, 9, 10) : rowsOf(entries),
        })),
      }),
    );
    expect(account.regionsEqual).toBe(false);
    expect(account.lost).toEqual([]);
    expect(account.discrepancies).toEqual([
      {
        kind: 'regions-differ',
        text: 'ap-northeast-1 lacks 2 writes that another region has: 9, 10',
      },
    ]);
  });

  it('is red when the fence let an old writer acknowledge what is in no history: it is gone and nobody reports it', () => {
    const { entries } = ledgerCase();
    const behindTheFence = write(11, 200);
    const given = ledgerCase({
      entries: [...entries, behindTheFence],
      regions: everywhere(rowsOf(entries)),
    });
    expect(kinds(given)).toEqual(['acknowledged-unaccounted']);
  });

  it('say why a region could not be read', () => {
    const mars = { region: 'mars', rows: null, reason: 'SEXTANT_NO_WRITER' };
    const { discrepancies } = accountFor(ledgerCase({ regions: [mars] }));
    expect(discrepancies.map(({ text }) => text)).toContain('mars could not be read (SEXTANT_NO_WRITER)');
  });

  it.each([
    [
      'a region that cannot be read',
      ledgerCase({ regions: [...everywhere(rowsOf(ledgerCase().entries)), { region: 'mars', rows: null }] }),
      'region-unread',
    ],
    [
      'a row with another content',
      ledgerCase({ regions: everywhere(new Map([...rowsOf(ledgerCase().entries), [3, 4_711]])) }),
      'row-damaged',
    ],
    [
      'a row that nobody wrote',
      ledgerCase({ regions: everywhere(new Map([...rowsOf(ledgerCase().entries), [77, 1]])) }),
      'row-unknown',
    ],
    ['a write reported as lost that is there', ledgerCase({ losses: lossesOf(4) }), 'reported-present'],
    [
      'a region that has not answered about losses',
      ledgerCase({ losses: { ...noLosses, missing: ['eu-west-1 has not looked yet'] } }),
      'losses-incomplete',
    ],
  ])('is red for %s', (_what, given, kind) => {
    expect([...new Set(kinds(given))]).toEqual([kind]);
  });

  it('is red for a refused write that is there all the same', () => {
    const entries = [write(1, 0, { outcome: 'refused', code: 'SEXTANT_NO_WRITER' })];
    const there = new Map([[1, expectedChecksum(drill, 1, 1)]]);
    expect(kinds(ledgerCase({ entries, regions: everywhere(there) }))).toEqual(['refused-present']);
  });

  it('sees that two regions show different content under the same id', () => {
    const { entries } = ledgerCase();
    const other = new Map([...rowsOf(entries), [5, 1]]);
    const given = ledgerCase({
      regions: regions.map((region) => ({ region, rows: region === europe ? other : rowsOf(entries) })),
    });
    expect(kinds(given)).toEqual(['regions-differ', 'regions-differ', 'row-damaged']);
  });

  it('claims no loss while nothing can be read', () => {
    const account = accountFor(ledgerCase({ regions: everywhere(null) }));
    expect(account.lost).toEqual([]);
    expect(account.regionsEqual).toBe(false);
    expect(account.discrepancies).toHaveLength(3);
  });
});

describe('what a client was told', () => {
  it('counts as refused only when the gateway’s own table says that nothing happened, or nobody listened', () => {
    const certain = [...refusalCodes].filter((code) => code !== 'ECONNREFUSED');
    for (const code of certain) {
      expect(Object.keys(errorTable)).toContain(code);
      expect(outcomeOf(code)).toBe('refused');
    }
    for (const code of ['SEXTANT_COMMIT_UNKNOWN', 'ECONNRESET', 'HRANA_WEBSOCKET_ERROR', 'fetch failed'])
      expect(outcomeOf(code)).toBe('unknown');
  });

  it('is checked row by row: another drill, id or client makes another checksum', () => {
    const sums = [
      expectedChecksum(drill, 1, 1),
      expectedChecksum(drill, 2, 1),
      expectedChecksum(drill, 1, 2),
      expectedChecksum('other', 1, 1),
    ];
    expect(new Set(sums).size).toBe(sums.length);
    expect(payloadOf(drill, 1).length).toBeGreaterThan(64);
  });
});

describe('losses since a moment', () => {
  const report = (orphanEpoch: number, ...lsns: readonly number[]): LossReport => ({
    v: 1,
    epoch: orphanEpoch + 1,
    orphanEpoch,
    region: 'us-east-1',
    fromLsn: 0,
    toLsn: 10,
    lostBytes: 100 * lsns.length,
    count: lsns.length,
    firstCommitTimeUs: null,
    lastCommitTimeUs: null,
    truncated: false,
    commits: lsns.map((lsn) => ({ lsn, commitTimeUs: 0, traceId: `t${orphanEpoch}.${lsn}` })),
    foundAtMs: 0,
  });
  const look = (...reports: readonly LossReport[]) => ({ reports, unreachable: [], unanswered: [] });

  it('are those that were not reported before, also within a reign that was known', () => {
    expect(lossesSince(look(report(3, 1, 2)), look(report(3, 1, 2, 4), report(7, 9)))).toEqual({
      count: 2,
      bytes: 200,
      traceIds: ['t3.4', 't7.9'],
      complete: true,
      missing: [],
    });
  });

  it('say that their list is cut short, and who has not been heard', () => {
    const after = {
      ...look({ ...report(7, 9), truncated: true, count: 60_000 }),
      unreachable: ['eu-west-1'],
      unanswered: [{ region: 'us-east-1', epoch: 8 }],
    };
    expect(lossesSince(look(), after)).toMatchObject({
      count: 60_000,
      complete: false,
      missing: [
        'us-east-1 has not looked yet: it answers once it follows epoch 8, and may know of more then',
        'eu-west-1 did not answer and may know of more',
      ],
    });
  });
});
