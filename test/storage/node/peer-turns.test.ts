import { expect, test } from 'vitest';
import { PeerTurns } from '../../../storage/node/core/peer-turns.ts';
import { epoch, lsn, zeroLsn } from '../../../storage/redo/ids.ts';

const peers = ['n2', 'n3', 'n4', 'n5', 'n6'];
const floor = (at: number) => ({ epoch: epoch(1), lsn: lsn(at) });

test('a peer that gives what is lacking is asked again', () => {
  const turns = new PeerTurns<string>();
  expect(turns.choose(epoch(1), zeroLsn, peers)).toBe('n2');
  turns.brought(epoch(1));
  expect(turns.choose(epoch(1), lsn(80), peers)).toBe('n2');
});

test.each([1, 2, 4, 5, 7, 10])(
  'each of %i lines of history hears all five peers within five questions of its own',
  (lines) => {
    const turns = new PeerTurns<string>();
    const heads = Array.from({ length: lines }, (_, at) => epoch(at + 1));
    for (let round = 1; round <= peers.length; round++)
      for (const head of heads) {
        const peer = turns.choose(head, zeroLsn, peers);
        if (peer === null) throw new Error('there are peers');
        const lowest = turns.lacks(head, peer, floor(5_000 + peers.indexOf(peer)), peers);
        expect(lowest).toEqual(round === peers.length ? floor(5_000) : null);
      }
  },
);

test('what every peer lacks is asked again, and each answer says so again', () => {
  const turns = new PeerTurns<string>();
  for (const peer of peers) {
    expect(turns.choose(epoch(1), zeroLsn, peers)).toBe(peer);
    turns.lacks(epoch(1), peer, floor(70), peers);
  }
  expect(turns.choose(epoch(1), zeroLsn, peers)).toBe('n2');
  expect(turns.lacks(epoch(1), 'n2', floor(60), peers)).toEqual(floor(60));
});

test('peers that are down are not waited for, and those that hold nothing have no floor', () => {
  const turns = new PeerTurns<string>();
  expect(turns.choose(epoch(1), zeroLsn, ['n3', 'n4'])).toBe('n3');
  expect(turns.lacks(epoch(1), 'n3', null, ['n3', 'n4'])).toBeNull();
  expect(turns.choose(epoch(1), zeroLsn, ['n3', 'n4'])).toBe('n4');
  expect(turns.lacks(epoch(1), 'n4', floor(9), ['n3', 'n4'])).toEqual(floor(9));
  expect(turns.choose(epoch(1), zeroLsn, [])).toBeNull();
});

test('what one peer lacks at one place says nothing of another place', () => {
  const turns = new PeerTurns<string>();
  turns.choose(epoch(1), zeroLsn, ['n2']);
  expect(turns.lacks(epoch(1), 'n2', floor(9), ['n2'])).toEqual(floor(9));
  turns.choose(epoch(1), lsn(9), ['n2', 'n3']);
  expect(turns.lacks(epoch(1), 'n2', null, ['n2', 'n3'])).toBeNull();
});
