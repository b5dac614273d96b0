import { expect, test } from 'vitest';
import { type RemoteWriter, WriterStandings } from '../../../gateway/forward/core/writer-standing.ts';
import { regionId } from '../../../storage/redo/ids.ts';

const inEast = (subject: string): RemoteWriter => ({ subject, region: regionId('us-east-1') });
const x = inEast('x');
const y: RemoteWriter = { subject: 'y', region: regionId('eu-west-1') };

test('a writer is relieved by a switchover, and replaced by another gateway of its region; neither deposes it', () => {
  const standings = new WriterStandings();
  expect(standings.of(x)).toBe('writes');
  standings.saw(x, 'stable');
  standings.saw(x, 'switching');
  standings.saw(null, 'switching');
  expect(standings.of(x)).toBe('writes');
  standings.saw(y, 'stable');
  expect([standings.of(x), standings.of(y)]).toEqual(['relieved', 'writes']);
  standings.saw(inEast('z'), 'stable');
  expect([standings.of(x), standings.of(y)]).toEqual(['replaced', 'relieved']);
});

test('the records between may be missed: what was not seen is no failover', () => {
  const standings = new WriterStandings();
  standings.saw(x, 'stable');
  standings.saw(y, 'stable');
  expect(standings.of(x)).toBe('relieved');
});

test('a failover deposes whoever was named last, also when it had begun to hand over', () => {
  for (const before of [[x], [x, null]] as const) {
    const standings = new WriterStandings();
    for (const holder of before) standings.saw(holder, holder === null ? 'switching' : 'stable');
    standings.saw(null, 'failing-over');
    standings.saw(null, 'failing-over');
    expect(standings.of(x)).toBe('deposed');
    standings.saw(y, 'stable');
    expect([standings.of(x), standings.of(y)]).toEqual(['deposed', 'writes']);
  }
});

test('a failover that was given up deposes nobody: the same start of a gateway may write again', () => {
  const standings = new WriterStandings();
  standings.saw(x, 'stable');
  standings.saw(null, 'failing-over');
  standings.saw(x, 'stable');
  expect(standings.of(x)).toBe('writes');
});

test('a failover that is seen before any writer was deposes nobody', () => {
  const standings = new WriterStandings();
  standings.saw(null, 'failing-over');
  standings.saw(x, 'stable');
  expect([standings.of(x), standings.of(inEast('w'))]).toEqual(['writes', 'replaced']);
});
