/** What an operator is told who asks for a move that cannot be: the code, what stands in the way by its name, and the way out. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { otherRegion } from '../../../regions/agent/answer-request.ts';
import { beginSwitchover } from '../../../regions/control/core/control-record.ts';
import { policyProblem, whyNotAutomatic } from '../../../regions/control/core/policy.ts';
import { judgeFailover } from '../../../regions/control/core/survivors.ts';
import {
  alreadyPrimary,
  type SwitchoverQuestion,
  switchoverProblem,
} from '../../../regions/control/core/switchover-rules.ts';
import { next } from '../control-records.ts';
import { Agent, ap, eu, us } from './moving/moves-agent.ts';

vi.mock('../../../storage/process/ticker.ts', () => import('../../storage/process/plain-ticker.ts'));

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'setInterval', 'performance', 'Date'] }));
afterEach(() => void vi.useRealTimers());

type Told = { readonly code: string; readonly message: string };

const { record } = new Agent();
const question: SwitchoverQuestion = {
  target: eu,
  record,
  writer: 'g1',
  primaryHeard: true,
  following: true,
  lagMs: 0,
  stalledMs: 0,
  writableNodes: 6,
  gateways: 1,
  headless: false,
};
const switchover = (change: Partial<SwitchoverQuestion>): Told => {
  const told = switchoverProblem({ ...question, ...change });
  if (told === null) throw new Error('it is not refused');
  return told;
};
/** Of a failover to a region of whose nodes too few answer. */
function unknownTarget(): Told {
  const me = { region: eu, held: null, followed: us, heardMsAgo: 0, primaryVdl: null, levelMsAgo: null };
  const verdict = judgeFailover({ target: eu, record, survivors: [me], sacrifice: [] });
  if (verdict.kind !== 'refused') throw new Error('it is not refused');
  return { code: verdict.code, message: verdict.reason };
}
async function failover(arrange: (agent: Agent) => void, allowDataLoss = true): Promise<Told> {
  const agent = new Agent();
  arrange(agent);
  const told = await agent.moves.failover({ allowDataLoss, sacrifice: [], maxLossMs: null });
  if ('id' in told) throw new Error('it is not refused');
  return told;
}
async function twoAtOnce(kind: 'switchover' | 'failover'): Promise<Told> {
  const agent = new Agent();
  await agent.begin(kind);
  const wish = { allowDataLoss: true, sacrifice: [], maxLossMs: null };
  const told = await (kind === 'switchover' ? agent.moves.switchover() : agent.moves.failover(wish));
  if ('id' in told) throw new Error('it is not refused');
  return told;
}

describe('a move is refused, with the way out:', () => {
  const cases: readonly (readonly [
    what: string,
    ask: () => Told | Promise<Told>,
    code: string,
    names: RegExp,
    wayOut: RegExp,
  ])[] = [
    [
      'a switchover to the primary',
      () => alreadyPrimary(record),
      'ALREADY_PRIMARY',
      /us-east-1 is the primary region already/,
      /name another one/,
    ],
    [
      'a failover to the primary',
      () => failover((agent) => agent.takes(eu)),
      'ALREADY_PRIMARY',
      /eu-west-1 is the primary region already/,
      /name another one/,
    ],
    [
      'a target without a write quorum',
      () => switchover({ writableNodes: 3 }),
      'TARGET_NOT_READY',
      /3 of its 6 storage nodes/,
      /Start the others, or wait/,
    ],
    [
      'a target whose gateways are all down',
      () => switchover({ gateways: 0 }),
      'TARGET_NOT_READY',
      /none of its gateways is heard/,
      /Start one/,
    ],
    [
      'a target that receives nothing',
      () => switchover({ following: false }),
      'TARGET_NOT_READY',
      /eu-west-1 is not receiving from us-east-1/,
      /`sextant status` says/,
    ],
    [
      'a target that stands still',
      () => switchover({ stalledMs: 4_000 }),
      'TARGET_BEHIND',
      /stored nothing for 4000 ms/,
      /begins anew by itself/,
    ],
    [
      'a target that is late',
      () => switchover({ lagMs: 9_000 }),
      'TARGET_BEHIND',
      /9000 ms behind; a switchover begins at 5000 ms or less/,
      /Wait until it has caught up/,
    ],
    [
      'a primary without a writer',
      () => switchover({ writer: null }),
      'NO_WRITER',
      /no writer to take over from/,
      /use a failover/,
    ],
    [
      'a target whose own nodes do not answer',
      unknownTarget,
      'TARGET_NOT_READY',
      /fewer than three of the six/,
      /Start them, and ask again/,
    ],
    [
      'a loss that is not allowed',
      () => failover(() => undefined, false),
      'DATA_LOSS_POSSIBLE',
      /durable to LSN 90; us-east-1 was last heard at 100/,
      /use a switchover.*--allow-data-loss/,
    ],
    [
      'a second switchover, by its own agent',
      () => twoAtOnce('switchover'),
      'MOVE_IN_PROGRESS',
      /switchover eu-west-1\.[0-9a-f]{12} to eu-west-1 is under way/,
      /`sextant cancel eu-west-1\.[0-9a-f]{12}`/,
    ],
    [
      'a second failover, by its own agent',
      () => twoAtOnce('failover'),
      'MOVE_IN_PROGRESS',
      /failover eu-west-1\.[0-9a-f]{12} to eu-west-1 is under way/,
      /`sextant cancel eu-west-1\.[0-9a-f]{12}`/,
    ],
    [
      'a move while the record names another',
      () => switchover({ record: next(beginSwitchover(record, { id: 'm', to: ap, startedAtMs: 0 })) }),
      'MOVE_IN_PROGRESS',
      /switchover m to ap-northeast-1 is under way/,
      /`sextant cancel m`/,
    ],
    [
      'an agent whose record others have outrun',
      () =>
        failover((agent) => {
          agent.takes(eu);
          agent.third({ epoch: 3, vdl: 90 });
        }),
      'NO_CONTROL_RECORD',
      /it says epoch 2, and ap-northeast-1 follows epoch 3 already/,
      /ask again in a second/,
    ],
    [
      'the agent of another region',
      () => ({ code: 'OTHER_REGION', message: otherRegion(us, eu) }),
      'OTHER_REGION',
      /a move to us-east-1 is run by the agent of us-east-1/,
      /ask that one, or any gateway/,
    ],
  ];
  for (const [what, ask, code, names, wayOut] of cases)
    it(what, async () => {
      const told = await ask();
      expect(told.code).toContain(code);
      expect(told.message).toMatch(names);
      expect(told.message).toMatch(wayOut);
    });

  it('a policy of failing over by itself, in a deployment without a witness', () => {
    const policy = { automatic: true, maxLossMs: null, rpoMs: null, prefer: [] };
    expect(policyProblem(policy, [us, eu])).toMatch(
      /never automatic without a witness: .*Add a third region, or keep automatic off/,
    );
    expect(whyNotAutomatic(policy, 2)).toMatch(/without a witness: who is left cannot tell/);
  });
});
