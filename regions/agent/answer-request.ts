/** What a region's agent answers to a request, from a gateway or over its own HTTP. */
import type { RegionId } from '../../storage/index.ts';
import { type BranchAnswer, type BranchesOptions, makeBranch, removeBranch } from '../branches/branches.ts';
import type { Replacement } from '../members/replacement.ts';
import { changeMembership, type MembershipOptions } from '../membership/membership.ts';
import type { AgentReply, AgentRequest } from '../moves/core/operations.ts';
import type { LossKeeper } from '../moves/loss-store.ts';
import type { Moves } from '../moves/moves.ts';
import { policyBody } from '../policy/core/policy-request.ts';
import { changePolicy, type PolicyAnswer, type PolicyOptions, readPolicy } from '../policy/policy.ts';
import type { RewindDesk } from '../rewind/rewind-desk.ts';

export interface AnswerParts {
  readonly region: RegionId;
  readonly moves: Moves;
  readonly losses: LossKeeper;
  /** The newest epoch known here, that under which lost writes have been looked for, and branches of which they have yet to be. */
  readonly lookedFor: {
    readonly epoch: number;
    readonly lookedUnder: number;
    readonly branchesToLook: string[];
  };
  readonly policy: PolicyOptions;
  readonly membership: MembershipOptions;
  readonly replacement: Replacement;
  readonly branches: BranchesOptions;
  readonly rewinds: RewindDesk;
}

/** Of a move that another region's agent runs: who does, and how it is reached. */
export const otherRegion = (target: string, region: string): string =>
  `a move to ${target} is run by the agent of ${target}, and this is that of ${region}: ask that one, or any gateway, which passes it on`;

export async function answerRequest(request: AgentRequest, parts: AnswerParts): Promise<AgentReply> {
  const { region, moves, losses, lookedFor, policy, membership, replacement, branches } = parts;
  switch (request.kind) {
    case 'switchover':
    case 'failover': {
      const { target } = request;
      if (target !== region) {
        const message = otherRegion(target, region);
        return { kind: 'refused', code: 'OTHER_REGION', message };
      }
      const { allowDataLoss = false, sacrifice = [] } = request.kind === 'failover' ? request : {};
      const begun =
        request.kind === 'switchover'
          ? await moves.switchover()
          : await moves.failover({ allowDataLoss, sacrifice, maxLossMs: null });
      return 'id' in begun ? { kind: 'operation', operation: begun } : { kind: 'refused', ...begun };
    }
    case 'operation': {
      const operation = moves.get(request.id);
      if (operation !== null) return { kind: 'operation', operation };
      const message = `no operation ${request.id} is known here: the agent of the region that it moves to keeps it`;
      return { kind: 'refused', code: 'UNKNOWN_OPERATION', message };
    }
    case 'cancel': {
      const cancelled = moves.cancel(request.id);
      return 'id' in cancelled
        ? { kind: 'operation', operation: cancelled }
        : { kind: 'refused', ...cancelled };
    }
    case 'losses':
      return { kind: 'losses', reports: [...losses.all], ...lookedFor };
    case 'begin-rewind':
      return parts.rewinds.begin(request.request);
    case 'rewind':
      return parts.rewinds.get(request.id);
    case 'members':
      return { kind: 'members', members: replacement.members };
    case 'change-members':
      return replacement.serve(request.act);
    case 'policy':
      return policyReply(await readPolicy(policy));
    case 'change-policy':
      return policyReply(await changePolicy(request.change, policy));
    case 'create-branch':
      return branchReply(await makeBranch(request.branch, branches));
    case 'delete-branch':
      return branchReply(await removeBranch(request.name, branches));
    case 'change-regions': {
      const answer = await changeMembership(request.change, membership);
      return answer.kind === 'regions' ? { kind: 'regions', membership: answer.body } : answer;
    }
  }
}

function policyReply(answer: PolicyAnswer): AgentReply {
  return answer.kind === 'policy' ? { kind: 'policy', policy: policyBody(answer.policy) } : answer;
}

function branchReply(answer: BranchAnswer): AgentReply {
  if (answer.kind === 'refused') return answer;
  const { name, epoch, parent, forkLsn, createdAtMs } = answer.branch;
  return { kind: 'branch', branch: { name, epoch, lsn: forkLsn, parent, forkLsn, createdAtMs, regions: [] } };
}
