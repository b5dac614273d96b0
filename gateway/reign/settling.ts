/** How an answer of a reign's engine comes to leave: proved where its own commit does not prove it, and let out by the gate. */
import type { EngineAnswer } from '../engine/core/engine-protocol.ts';
import type { Reign, Release } from './reign.ts';
import type { Settled } from './volume-options.ts';

/** A reign, and what proves that nobody has taken its place. */
export interface Reigning {
  readonly reign: Reign;
  /** Of a branch's reign: where main's is, which it is part of (G49). Undefined for a reign of main. */
  readonly main: { readonly standing: Reign | null } | undefined;
}

/** What an answer is to. */
export interface AskedHow {
  /** False for a read that asks for no more than something durable. */
  readonly asksWriter: boolean;
  /** It comes from a thread that reads. */
  readonly reads: boolean;
}

/** Main's engine opens: its reign is there in a moment, or over. */
const openingMs = 10;

/**
 * Calls back once four nodes have said, upon a question sent now, that nobody has taken this reign's place, or it is over (G37).
 * Who takes the place of a branch's reign has taken main's before, so main's is what is asked for.
 */
export function proveReign({ reign, main }: Reigning, done: () => void): void {
  if (main === undefined) reign.prove(done);
  else if (reign.isOver) done();
  else if (main.standing !== null) main.standing.prove(done);
  else setTimeout(() => proveReign({ reign, main }, done), openingMs);
}

/** Decides about an answer that saw redo of a reign; see `GatewayVolume.settle`. */
export function settleUnder(
  reigning: Reigning,
  answer: EngineAnswer<unknown>,
  { asksWriter, reads }: AskedHow,
  done: (settled: Settled) => void,
): void {
  const { reign, main } = reigning;
  const { seenLsn, commits, autocommit } = answer;
  const ended = (release: Release): void => {
    if (release === 'over') done(afterwards(answer, reign));
    else done(release === 'free' ? 'released' : 'held');
  };
  const settle = (): void => reign.settle(seenLsn, ended);
  const hasCommitted = commits.length > 0;
  // A reader engine that has just replaced the writer shows nothing beyond what was durable.
  if (reign.isOver) done(afterwards(answer, reign));
  // Readers see what is durable: more than that is of a path that this reign has left.
  else if (reads && seenLsn > reign.vdl) done('stale');
  else if (!asksWriter && reign.covers(seenLsn)) done('released');
  // What is part of a transaction is proved by its COMMIT, and what commits by its own votes, unless those are a branch's.
  else if (hasCommitted ? main === undefined : !autocommit) settle();
  else if (!hasCommitted) proveReign(reigning, settle);
  else
    reign.settle(seenLsn, (release) => {
      if (release === 'free') proveReign(reigning, settle);
      else ended(release);
    });
}

/** What becomes of an answer whose reign is over, or that waited too long for the lease. */
function afterwards(answer: EngineAnswer<unknown>, reign: Reign): Settled {
  const { commits, seenLsn } = answer;
  if (commits.length === 0) return seenLsn <= reign.free ? 'stale' : 'discarded';
  return commits.every((commit) => commit.lsn > reign.takenTo) ? 'discarded' : 'lost';
}
