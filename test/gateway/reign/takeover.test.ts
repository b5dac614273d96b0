/** How often a gateway looks after the writer of its region; what follows from a doubt is simulated. */
import { expect, test } from 'vitest';
import { Takeover } from '../../../gateway/reign/takeover.ts';
import { type ControlRecord, initialControlRecord } from '../../../regions/control/core/control-record.ts';
import { machine } from '../../../storage/index.ts';
import { configured, type Membership } from '../../../storage/members/core/membership.ts';
import { genesisEpoch, regionId } from '../../../storage/redo/ids.ts';

const region = regionId('us-east-1');
const me = { gateway: 'g1', incarnation: 'a' };
const other = { gateway: 'g2', incarnation: 'b' };
const membership: Membership = configured([]);

function watched() {
  const asked: string[] = [];
  const paces: number[] = [];
  const role = {
    phase: 'reading' as const,
    record: null as ControlRecord | null,
    holderFenced: () => undefined,
  };
  const looks: (() => void)[] = [];
  const takeover = new Takeover({
    region,
    me,
    role,
    nodes: { membership, ask: () => undefined },
    ask: (writer) => {
      asked.push(writer.gateway);
      return Promise.resolve('alive');
    },
    isConnected: () => true,
    metrics: { takenOver: () => undefined },
    log: { warn: () => undefined, info: () => undefined },
    runtime: {
      ...machine,
      every: (periodMs, run) => {
        paces.push(periodMs);
        looks.push(run);
        return { stop: () => void looks.splice(looks.indexOf(run), 1) };
      },
    },
  });
  const writes = (holder: ControlRecord['holder']): void => {
    role.record = { ...initialControlRecord(region, genesisEpoch), holder };
  };
  takeover.start();
  return { takeover, asked, paces, looks, writes };
}

test('a gateway that nobody of its region writes beside looks half as often, and asks nobody', () => {
  const { asked, paces, looks, writes } = watched();
  looks[0]?.();
  expect(paces).toEqual([50, 100]);
  writes(me);
  looks[0]?.();
  expect([paces, asked]).toEqual([[50, 100], []]);
});

test('another gateway that begins to write is asked at once, and looked after at full pace', () => {
  const { takeover, asked, paces, looks, writes } = watched();
  looks[0]?.();
  writes(other);
  takeover.roleChanged();
  expect([asked, paces]).toEqual([['g2'], [50, 100, 50]]);
  writes(null);
  looks[0]?.();
  expect(paces).toEqual([50, 100, 50, 100]);
  takeover.close();
  writes(other);
  takeover.roleChanged();
  expect([asked, looks]).toEqual([['g2'], []]);
});
