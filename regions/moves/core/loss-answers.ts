/** What the answers of several regions about lost writes come to, and whose answer does not count yet. */
import { z } from 'zod';
import type { LossReport } from './loss-report.ts';

/** What one region's agent says about lost writes. */
export interface LossAnswer {
  readonly region: string;
  /** The newest epoch its agent knows of. */
  readonly epoch: number;
  /** The newest epoch under which it has looked at all that its nodes hold, 0 when none. */
  readonly lookedUnder: number;
  /** Branches of which it has not looked yet at all that its nodes hold. */
  readonly branchesToLook?: readonly string[] | undefined;
}

/** As the list of lost writes carries one. */
export const unansweredSchema = z.object({
  region: z.string(),
  epoch: z.int(),
  /** It has looked at `main`, and not yet at what it holds of these branches; left out while it has not looked at all. */
  branches: z.array(z.string()).exactOptional(),
});

/** A region that answers and has not looked yet: it may know of more once it follows `epoch`. */
export type Unanswered = z.output<typeof unansweredSchema>;

/**
 * The regions whose answer is not complete: they have not followed, and looked under, the newest epoch that anybody knows of.
 * @param epoch the newest epoch the one who asks knows of.
 */
export function unansweredOf(answers: readonly LossAnswer[], epoch: number): readonly Unanswered[] {
  const newest = answers.reduce((highest, answer) => Math.max(highest, answer.epoch), epoch);
  return answers
    .flatMap(({ region, lookedUnder, branchesToLook: branches = [] }) => {
      if (lookedUnder < newest) return [{ region, epoch: newest }];
      return branches.length === 0 ? [] : [{ region, epoch: newest, branches: [...branches] }];
    })
    .sort((a, b) => a.region.localeCompare(b.region));
}

export type LossChoice =
  | { readonly kind: 'found'; readonly report: LossReport }
  | { readonly kind: 'none'; readonly reason: string };

/**
 * The report that an operator means by an epoch: of the writes of that reign, or, when there is none, of the one reign
 * whose loss was found under it. Both numbers stand in the list.
 */
export function chooseLoss(reports: readonly LossReport[], epoch: number): LossChoice {
  const lost = reports.find(({ orphanEpoch }) => orphanEpoch === epoch);
  if (lost !== undefined) return { kind: 'found', report: lost };
  const [first, ...more] = reports.filter((report) => report.epoch === epoch);
  if (first !== undefined && more.length === 0) return { kind: 'found', report: first };
  if (first !== undefined) {
    const epochs = [first, ...more].map(({ orphanEpoch }) => orphanEpoch).join(', ');
    return {
      kind: 'none',
      reason: `Under epoch ${epoch} lost writes of several reigns were found: ask for one of the epochs ${epochs}`,
    };
  }
  const known = reports.map((report) => `${report.orphanEpoch} (found under epoch ${report.epoch})`);
  return {
    kind: 'none',
    reason:
      known.length === 0
        ? `No lost writes are known, of epoch ${epoch} or of any other`
        : `No lost writes of epoch ${epoch} are known. There are lost writes of epoch ${known.join(', of epoch ')}`,
  };
}

/** Who has not been heard about lost writes, in words; empty when everybody has been. */
export function whoIsMissing(
  unreachable: readonly string[],
  unanswered: readonly Unanswered[],
): readonly string[] {
  const lines = unanswered.map(({ region, epoch, branches }) =>
    branches === undefined
      ? `${region} has not looked yet: it answers once it follows epoch ${epoch}, and may know of more then`
      : `${region} has not looked yet at what it holds of ${namesOf(branches)}: it answers once it follows the newest reign of each, and ` +
        'may know of more then',
  );
  return unreachable.length === 0
    ? lines
    : [...lines, `${unreachable.join(', ')} did not answer and may know of more`];
}

const namesOf = (branches: readonly string[]): string =>
  branches.length === 1 ? `branch ${branches[0]}` : `branches ${branches.join(', ')}`;
