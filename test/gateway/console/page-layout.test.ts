/** Where the console's page puts things, and what it says about them, without a browser. */
import { describe, expect, it } from 'vitest';
import { drillKinds as kindsOfPage } from '../../../gateway/console/page/core/drill-words.ts';
import { historyOf, type Loss } from '../../../gateway/console/page/core/history.ts';
import { isLand, landDots } from '../../../gateway/console/page/core/land.ts';
import {
  arc,
  layOut,
  mapBounds,
  mapHeight,
  placeLabels,
  project,
} from '../../../gateway/console/page/core/map-layout.ts';
import { consequences, outcome, phaseRows, whyNot } from '../../../gateway/console/page/core/moves.ts';
import { placeOf } from '../../../gateway/console/page/core/places.ts';
import {
  cellOf,
  cursorBody,
  noRows,
  type SqlProgress,
  takeLine,
} from '../../../gateway/console/page/core/sql-rows.ts';
import { quorumOf, zonesOf } from '../../../gateway/console/page/core/zones.ts';
import { drillKinds } from '../../../regions/drills/core/drill-kinds.ts';
import { quorumLimits } from '../../../storage/core.ts';
import { readiness, region } from './live-events.ts';

const size = { width: 700, height: mapHeight(700) };

describe('the map', () => {
  it('has land where there is land', () => {
    const cities = [
      [-77, 39],
      [2, 48],
      [37, 55],
      [116, 40],
      [77, 28],
      [-47, -23],
      [28, -26],
      [134, -25],
      [-100, 50],
    ] as const;
    const seas = [
      [-40, 30],
      [-150, 0],
      [80, -30],
      [160, 40],
      [3, 57],
      [-90, 25],
      [51, 42],
      [5, 40],
    ] as const;
    expect(cities.filter(([longitude, latitude]) => !isLand(longitude, latitude))).toEqual([]);
    expect(seas.filter(([longitude, latitude]) => isLand(longitude, latitude))).toEqual([]);
    const dots = landDots(2.5, mapBounds.north, mapBounds.south);
    expect(dots.length).toBeGreaterThan(1_500);
    expect(dots.length).toBeLessThan(4_000);
  });

  it('puts regions where their clouds have them, and two at one place beside each other', () => {
    const layout = layOut(['us-east-1', 'us-east4', 'ap-southeast-2'], size);
    expect(layout.kind).toBe('world');
    const [first, second, sydney] = [...layout.at.values()];
    expect(first).toEqual(project(-77.5, 39, size));
    expect(
      Math.hypot((second?.x ?? 0) - (first?.x ?? 0), (second?.y ?? 0) - (first?.y ?? 0)),
    ).toBeGreaterThan(13);
    expect(sydney?.y).toBeGreaterThan((first?.y ?? 0) + 100);
  });

  it('puts all of them in a circle when one has a name that no cloud uses, whatever the name is', () => {
    expect(placeOf('constructor')).toBeNull();
    const names = ['us-east-1', 'toString', '<img src=x onerror=alert(1)>'];
    const layout = layOut(names, size);
    expect(layout.kind).toBe('circle');
    expect([...layout.at.keys()]).toEqual(names);
    for (const { x, y } of layout.at.values()) {
      expect(x).toBeGreaterThan(0);
      expect(x).toBeLessThan(size.width);
      expect(y).toBeGreaterThan(0);
      expect(y).toBeLessThan(size.height);
    }
  });

  it.each([328, 700, 1_000])(
    'puts names beside their regions and not over each other, at %s pixels',
    (width) => {
      const own = { width, height: mapHeight(width) };
      const { at } = layOut(['us-east-1', 'eu-west-1', 'ap-northeast-1'], own);
      const labels = [...at].map(([name, point]) => ({ name, at: point, width: 92 }));
      const placed = [...placeLabels(labels, 30, own)];
      for (const [name, { x, y }] of placed) {
        expect(x).toBeGreaterThanOrEqual(0);
        expect(x + 92).toBeLessThanOrEqual(width);
        for (const [other, box] of placed)
          if (other !== name)
            expect(x < box.x + 92 && box.x < x + 92 && y < box.y + 30 && box.y < y + 30, name).toBe(false);
      }
    },
  );

  it('bends links upwards', () => {
    const { path, middle } = arc({ x: 0, y: 100 }, { x: 200, y: 100 });
    expect(path).toBe('M0 100Q100 44 200 100');
    expect(middle).toEqual({ x: 100, y: 72 });
  });
});

describe('zones and quorum', () => {
  it('are grouped by zone, named by what tells zones apart', () => {
    const zones = zonesOf('us-east-1', region('us-east-1').nodes);
    expect(zones.map(({ short, nodes }) => [short, nodes.map(({ id }) => id)])).toEqual([
      ['a', ['n1', 'n2']],
      ['b', ['n3', 'n4']],
      ['c', ['n5', 'n6']],
    ]);
    expect(zonesOf('paris', region('us-east-1').nodes)[0]?.short).toBe('us-east-1a');
  });

  it.each([
    [6, 'whole'],
    [5, 'degraded'],
    [quorumLimits.writeQuorum, 'degraded'],
    [quorumLimits.writeQuorum - 1, 'no-writes'],
    [quorumLimits.readQuorum, 'no-writes'],
    [quorumLimits.readQuorum - 1, 'no-reads'],
  ])('%s nodes up: %s', (up, health) => {
    const nodes = region('x').nodes.map((node, at) => (at < up ? node : { ...node, state: 'down' as const }));
    expect(quorumOf({ nodes, role: 'primary' })).toMatchObject({ up, health });
  });

  it('a node that takes no writes does not count, and a region that is not heard is not known', () => {
    const nodes = region('x').nodes.map((node, at) =>
      at === 0 ? { ...node, trouble: 'its disk is full' } : node,
    );
    expect(quorumOf({ nodes, role: 'secondary' }).up).toBe(5);
    expect(quorumOf({ nodes, role: 'offline' }).health).toBe('unknown');
  });
});

describe('history', () => {
  const fork = (epoch: number, parent: number, forkLsn: number) => ({ epoch, parent, forkLsn });
  const lost = (orphanEpoch: number): Loss => ({
    v: 1,
    epoch: 9,
    orphanEpoch,
    region: 'us-east-1',
    fromLsn: 10,
    toLsn: 20,
    lostBytes: 10,
    count: 2,
    firstCommitTimeUs: null,
    lastCommitTimeUs: null,
    truncated: false,
    foundAtMs: 1,
  });

  it('is the path to the newest epoch; what left it stands aside, with what it lost', () => {
    const forks = [fork(1, 0, 0), fork(2, 1, 50), fork(3, 1, 40), fork(4, 3, 90)];
    const { rows, hasOlder } = historyOf(forks, [lost(1)], [1, 2]);
    expect(rows.map(({ epoch, kind, untilLsn }) => [epoch, kind, untilLsn])).toEqual([
      [4, 'head', null],
      [3, 'path', 90],
      [2, 'aside', null],
      [1, 'path', 40],
    ]);
    expect(rows[3]?.loss?.count).toBe(2);
    expect(rows[2]).toMatchObject({ loss: null, hasUnreadLoss: true });
    expect(hasOlder).toBe(false);
  });

  it('says that there is more than it shows, and follows no fork that is its own parent', () => {
    const forks = Array.from({ length: 20 }, (_, at) => fork(at + 1, at, at * 10));
    expect(historyOf(forks, [], [])).toMatchObject({ hasOlder: true, rows: { length: 12 } });
    expect(historyOf([fork(7, 7, 0)], [], []).rows).toHaveLength(1);
    expect(historyOf([], [], [])).toEqual({ rows: [], hasOlder: false });
  });
});

describe('moves', () => {
  const operation = {
    id: 'eu-west-1.1',
    kind: 'switchover' as const,
    target: 'eu-west-1',
    from: 'us-east-1',
    phases: [
      { name: 'waiting-for-lease', startedAtMs: 100, endedAtMs: 150 },
      { name: 'opening', startedAtMs: 150, endedAtMs: null },
    ],
  };

  it('say what they will do and cost before they begin', () => {
    expect(consequences('switchover', 'eu-west-1', 'us-east-1', readiness('eu-west-1'))[1]).toBe(
      'Writes wait for about 1.9 s.',
    );
    expect(consequences('failover', 'eu-west-1', 'us-east-1', null).join(' ')).toContain('not known');
    expect(whyNot('failover', null)).not.toBeNull();
    const refused = {
      ...readiness('x'),
      switchover: { possible: false, reason: 'it lags', aboutMs: null, madeOf: null },
    };
    expect([whyNot('switchover', refused), whyNot('failover', refused)]).toEqual(['it lags', null]);
  });

  it('show their phases while they run, and end with a sentence', () => {
    expect(phaseRows({ ...operation, state: 'running' })).toEqual([
      { name: 'waiting for lease', tookMs: 50, isRunning: false },
      { name: 'opening', tookMs: null, isRunning: true },
    ]);
    expect(outcome({ ...operation, state: 'running' })).toBeNull();
    expect(outcome({ ...operation, state: 'done', result: { epoch: 4, pauseMs: 82 } })).toBe(
      'eu-west-1 is primary since epoch 4. Writes waited for 82 ms.',
    );
    const error = { code: 'TIMEOUT', message: 'it took too long' };
    expect(outcome({ ...operation, state: 'failed', error })).toContain('it took too long (TIMEOUT)');
  });

  it('the page has words for every kind of drill', () => {
    expect([...kindsOfPage].sort()).toEqual([...drillKinds].sort());
  });
});

describe('rows of a statement', () => {
  const lines = (...entries: readonly object[]): SqlProgress => {
    let progress = noRows;
    for (const entry of entries) progress = takeLine(progress, JSON.stringify(entry), 2);
    return progress;
  };
  const row = (value: string) => ({ type: 'row', row: [{ type: 'text', value }] });

  it('are kept up to the limit, and it is said that there are more', () => {
    const begin = { type: 'step_begin', step: 0, cols: [{ name: 'a' }, { name: null }] };
    expect(lines(begin, row('1'), row('2')).hasMore).toBe(false);
    const { columns, rows, hasMore } = lines(begin, row('1'), row('2'), row('3'));
    expect([columns, rows.length, hasMore]).toEqual([['a', ''], 2, true]);
    expect(lines(begin, { type: 'step_end', affected_row_count: 3 }).affected).toBe(3);
  });

  it('every value has a text, and long ones are cut', () => {
    expect(cellOf({ type: 'integer', value: '9223372036854775807' })).toEqual({
      text: '9223372036854775807',
      kind: 'number',
    });
    expect(cellOf({ type: 'null' }).text).toBe('NULL');
    expect(cellOf({ type: 'blob', base64: 'AAEC' }).text).toBe('blob of 3 bytes');
    expect(cellOf({ type: 'text', value: '<script>alert(1)</script>' }).text).toBe(
      '<script>alert(1)</script>',
    );
    expect(cellOf({ type: 'text', value: 'x'.repeat(5_000) }).text).toHaveLength(
      2_000 + '… (5000 characters)'.length,
    );
    expect(cellOf(undefined).kind).toBe('null');
  });

  it('errors of the statement and of the request are told alike', () => {
    const error = { message: 'no such table: t', code: 'SQLITE_ERROR' };
    expect(lines({ type: 'step_error', step: 0, error }).error).toEqual(error);
    expect(lines({ type: 'error', error: {} }).error?.code).toBe('UNKNOWN');
    expect(JSON.parse(cursorBody('SELECT 1'))).toEqual({
      batch: { steps: [{ stmt: { sql: 'SELECT 1', want_rows: true } }] },
    });
  });
});
