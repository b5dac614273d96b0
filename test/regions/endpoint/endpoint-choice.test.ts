import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  EndpointChoice,
  endpointLimits,
  type Probe,
} from '../../../regions/endpoint/core/endpoint-choice.ts';

const inOrder = (a: string, b: string): number => a.localeCompare(b);

const known = ['us/g1', 'us/g2', 'us/g3', 'eu/g1', 'eu/g2'].map((id) => ({
  id,
  region: id.slice(0, 2),
  address: '',
}));
const reads: Probe = { kind: 'answered', ready: true, phase: 'reading', epoch: 4 };
const writes: Probe = { kind: 'answered', ready: true, phase: 'writing', epoch: 4 };
const unready: Probe = { kind: 'answered', ready: false, phase: 'reading', epoch: 4 };
const refused: Probe = { kind: 'refused' };
const silent: Probe = { kind: 'silent' };

/** Gateways of which all have been heard, the first of the first region as the writer. */
function choice(region: string, probes: Readonly<Record<string, Probe>> = {}): EndpointChoice {
  const made = new EndpointChoice(region);
  made.know(known);
  for (const { id } of known) {
    const probe = probes[id] ?? (id === 'us/g1' ? writes : reads);
    made.probed(id, probe, 0);
    if (probe.kind === 'silent') made.probed(id, probe, 1);
  }
  return made;
}
const none = new Set<string>();
/** Every gateway that so many connections are handed to, in order of their names. */
const handedTo = (made: EndpointChoice, kind: 'writer' | 'reader', count: number): readonly string[] => {
  const found: string[] = [];
  for (let at = 0; at < count; at += 1) {
    const id = made.pick(kind, none);
    if (id === null) continue;
    made.connected(id);
    found.push(id);
  }
  return found.sort(inOrder);
};

describe('the endpoint of the writer', () => {
  test.each(['us', 'eu'])('leads to the gateway that writes, from region %s', (region) => {
    expect(handedTo(choice(region), 'writer', 3)).toEqual(['us/g1', 'us/g1', 'us/g1']);
  });

  test('follows the writer to another region', () => {
    const moved = choice('us', { 'us/g1': reads, 'eu/g2': { ...writes, epoch: 5 } });
    expect(moved.pick('writer', none)).toBe('eu/g2');
  });

  test('of two that say that they write takes the newer reign', () => {
    const both = choice('us', { 'eu/g1': { ...writes, epoch: 5 } });
    expect(both.pick('writer', none)).toBe('eu/g1');
  });

  test('while nobody writes leads to this region, where writes wait', () => {
    const lost = choice('eu', { 'us/g1': refused });
    expect(lost.pick('writer', none)).toMatch(/^eu/);
    const waiting = choice('us', {
      'us/g1': refused,
      'us/g2': unready,
      'us/g3': unready,
      'eu/g1': refused,
      'eu/g2': refused,
    });
    expect(waiting.pick('writer', none)).toMatch(/^us.g[23]$/);
  });
});

describe('the endpoint of readers', () => {
  test('spreads connections over the gateways of its region that do not write', () => {
    expect(handedTo(choice('us'), 'reader', 4)).toEqual(['us/g2', 'us/g2', 'us/g3', 'us/g3']);
    expect(handedTo(choice('eu'), 'reader', 4)).toEqual(['eu/g1', 'eu/g1', 'eu/g2', 'eu/g2']);
  });

  test('hands the next connection to the gateway that has lost some', () => {
    const made = choice('us');
    handedTo(made, 'reader', 4);
    made.disconnected('us/g3');
    expect(made.pick('reader', none)).toBe('us/g3');
  });

  test.each([
    ['has ended', refused],
    ['is silent', silent],
    ['is not ready', unready],
  ])('leaves a gateway out that %s', (_, probe) => {
    expect(handedTo(choice('us', { 'us/g2': probe }), 'reader', 3)).toEqual(['us/g3', 'us/g3', 'us/g3']);
  });

  test('takes the writer where no other gateway of the region is left, and another region only after that', () => {
    expect(choice('us', { 'us/g2': refused, 'us/g3': refused }).pick('reader', none)).toBe('us/g1');
    expect(
      choice('us', { 'us/g1': refused, 'us/g2': refused, 'us/g3': refused }).pick('reader', none),
    ).toMatch(/^eu/);
  });
});

describe('a gateway that does not answer', () => {
  test('once is not left out, twice it is, and at its next answer it is back', () => {
    const made = choice('eu');
    made.probed('eu/g1', silent, 10);
    expect(handedTo(made, 'reader', 2)).toEqual(['eu/g1', 'eu/g2']);
    made.probed('eu/g1', silent, 260);
    expect(handedTo(made, 'reader', 2)).toEqual(['eu/g2', 'eu/g2']);
    made.probed('eu/g1', reads, 500);
    expect(made.pick('reader', none)).toBe('eu/g1');
  });

  test('loses its connections after cutMs, and not before (R79)', () => {
    const made = choice('us');
    const lostAt = (nowMs: number): readonly string[] =>
      known.flatMap(({ id }) => (made.isLost(id, 0, nowMs) ? [id] : []));
    made.connected('us/g2');
    made.probed('us/g2', silent, 1_000);
    expect(lostAt(1_000 + endpointLimits.cutMs - 1)).toEqual([]);
    expect(lostAt(1_000 + endpointLimits.cutMs)).toEqual(['us/g2']);
    // What was handed over since has not waited for so long.
    const sinceMs = 1_000 + endpointLimits.cutMs;
    expect(made.isLost('us/g2', sinceMs, sinceMs + endpointLimits.cutMs - 1)).toBe(false);
    expect(made.isLost('us/g2', sinceMs, sinceMs + endpointLimits.cutMs)).toBe(true);
    made.probed('us/g2', reads, 5_000);
    expect(lostAt(9_000)).toEqual([]);
  });

  test('a gateway that is gone for good is forgotten with its last connection', () => {
    const made = choice('us');
    made.connected('us/g3');
    made.know(known.filter(({ id }) => id !== 'us/g3'));
    expect(made.connectionsOf('us/g3')).toBe(1);
    made.disconnected('us/g3');
    made.know(known.filter(({ id }) => id !== 'us/g3'));
    made.probed('us/g3', reads, 0);
    expect(handedTo(made, 'reader', 2)).toEqual(['us/g2', 'us/g2']);
  });
});

test('whatever is heard, a gateway that answers is chosen before one that does not, and none twice (R79)', () => {
  const probes = [reads, writes, unready, refused, silent] as const;
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(...probes), { minLength: known.length, maxLength: known.length }),
      fc.constantFrom('writer', 'reader'),
      fc.constantFrom('us', 'eu'),
      (heard, kind, region) => {
        const said = Object.fromEntries(known.map(({ id }, at) => [id, heard[at] ?? reads]));
        const made = choice(region, said);
        const tried = new Set<string>();
        const order: string[] = [];
        for (let id = made.pick(kind, tried); id !== null; id = made.pick(kind, tried)) {
          order.push(id);
          tried.add(id);
        }
        expect(order.toSorted(inOrder)).toEqual(known.map(({ id }) => id).sort(inOrder));
        const answers = order.map((id) => said[id]?.kind === 'answered');
        expect(answers).toEqual([...answers].sort((a, b) => Number(b) - Number(a)));
      },
    ),
  );
});
