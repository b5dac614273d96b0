import { describe, expect, it } from 'vitest';
import { ControlCopies, controlCopiesLimits } from '../../../regions/control/copies/core/control-copies.ts';
import type { StreamGroup } from '../../../regions/control/copies/core/leader-placement.ts';
import { regionId } from '../../../storage/core.ts';

const [us, eu, ap] = [regionId('us-east-1'), regionId('eu-west-1'), regionId('ap-northeast-1')];
const regions = [us, eu, ap];
const group = (usCurrent: boolean, witnessCurrent = true): StreamGroup => ({
  leader: 'c-eu-west-1',
  replicas: [
    { name: 'c-us-east-1', isCurrent: usCurrent },
    { name: 'c-witness', isCurrent: witnessCurrent },
  ],
});
const { lostMs } = controlCopiesLimits;

describe('copies of the control record', () => {
  it('are current as their leader says, and the leader is', () => {
    const copies = new ControlCopies();
    expect(copies.isUp).toBe(false);
    copies.saw(group(false), 0);
    expect(copies.isUp).toBe(true);
    expect(copies.copies.map(({ server, isCurrent, isLeader }) => [server, isCurrent, isLeader])).toEqual([
      ['c-eu-west-1', true, true],
      ['c-us-east-1', false, false],
      ['c-witness', true, false],
    ]);
  });

  it('are trouble for the agent of their region, once they were lost for longer than an election takes', () => {
    const copies = new ControlCopies();
    copies.saw(group(true), 0);
    copies.saw(group(false), 5_000);
    copies.saw(group(false), 7_000);
    const usEast = { region: us, regions, isPrimary: false };
    expect(copies.trouble(usEast, 5_000 + lostMs - 1)).toBeNull();
    expect(copies.trouble(usEast, 5_000 + lostMs)).toBe(
      'a NATS server has no current copy of the control record, and no vote: c-us-east-1 since 10 s (2 of 3 are current): ' +
        'has it lost its disk, its JetStream or its routes? Start that server again',
    );
    expect(copies.trouble({ region: eu, regions, isPrimary: true }, 60_000)).toBeNull();
    copies.saw(group(true), 61_000);
    expect(copies.trouble(usEast, 61_000)).toBeNull();
  });

  it('of a server that is in no region are trouble for the primary', () => {
    const copies = new ControlCopies();
    copies.saw(group(true, false), 0);
    expect(copies.trouble({ region: eu, regions, isPrimary: true }, lostMs)).toContain(
      'c-witness since 10 s',
    );
    expect(copies.trouble({ region: eu, regions, isPrimary: false }, lostMs)).toBeNull();
  });

  it.each([
    ['nobody answers', null],
    ['nobody leads, as a server that is cut off says', { leader: null, replicas: [] }],
  ])('say nothing new while %s', (_name, answer) => {
    const copies = new ControlCopies();
    copies.saw(group(false), 0);
    copies.saw(answer, 1_000);
    expect(copies.isUp).toBe(false);
    expect(copies.trouble({ region: us, regions, isPrimary: false }, 60_000)).toBeNull();
    copies.saw(group(false), 61_000);
    // It was lost all the while, as far as anybody knows.
    expect(copies.trouble({ region: us, regions, isPrimary: false }, 61_000)).toContain('since 61 s');
  });
});
