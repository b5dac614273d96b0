/**
 * Proves that a reign was not fenced at a moment after it was asked for. A commit proves that by its own four votes. What
 * commits nothing and yet asks the writer has none, and a challenger that has sealed three nodes does not wait for the lease
 * (R28): so four nodes are asked, without redo, whether they still take this reign's authority.
 *
 * G37. An answer that asks the writer, ends outside a transaction and commits nothing leaves only after a write quorum has
 * voted for the reign upon a question that was sent after the answer was there.
 */
import {
  type Epoch,
  isWriteQuorum,
  type Lsn,
  type NodeId,
  type NodeLinks,
  nodesIn,
  type Runtime,
  setsOf,
  type Timer,
  zeroLsn,
} from '../../storage/index.ts';

export interface WriterProofOptions {
  readonly region: Pick<NodeLinks, 'membership' | 'ask'>;
  readonly epoch: Epoch;
  readonly vdl: () => Lsn;
  readonly runtime: Runtime;
  readonly onFenced: (by: Epoch) => void;
}

/** For one question to one node. */
const askMs = 1_000;
/** While too few nodes answer: the quorum is watched elsewhere, and ends the reign. */
const againMs = 100;

export class WriterProof {
  private readonly options: WriterProofOptions;
  private waiting: (() => void)[] = [];
  /** Who waits for the questions that are out. */
  private asked: (() => void)[] | null = null;
  private again: Timer | null = null;
  private over = false;

  constructor(options: WriterProofOptions) {
    this.options = options;
  }

  /** Calls back once it is proved, or the reign is over. One round of questions serves all who came before it. */
  prove(done: () => void): void {
    if (this.over) {
      done();
      return;
    }
    this.waiting.push(done);
    if (this.asked === null && this.again === null) this.ask();
  }

  close(): void {
    this.over = true;
    this.again?.stop();
    for (const done of [...(this.asked ?? []), ...this.waiting.splice(0)]) done();
    this.asked = null;
  }

  private ask(): void {
    const { region, epoch, vdl } = this.options;
    const round = this.waiting;
    this.asked = round;
    this.waiting = [];
    this.again = null;
    const sets = setsOf(region.membership);
    const votes = new Set<NodeId>();
    const possible = new Set<NodeId>(nodesIn(sets));
    const durable = { head: epoch, vdl: vdl() };
    for (const node of nodesIn(sets)) {
      const request = {
        kind: 'append',
        authority: epoch,
        durable,
        lowWater: zeroLsn,
        frames: new Uint8Array(),
      } as const;
      region.ask(node, request, askMs, (answer) => {
        if (answer.kind === 'acked') votes.add(node);
        else possible.delete(node);
        if (this.asked !== round) return;
        if (answer.kind === 'refused' && answer.code === 'SEALED') this.options.onFenced(answer.sealed);
        else if (isWriteQuorum(sets, (other) => votes.has(other))) this.proved(round);
        else if (!isWriteQuorum(sets, (other) => possible.has(other))) this.askAgain(round);
      });
    }
  }

  private proved(round: readonly (() => void)[]): void {
    this.asked = null;
    if (this.waiting.length > 0) this.ask();
    for (const done of round) done();
  }

  private askAgain(round: readonly (() => void)[]): void {
    this.asked = null;
    this.waiting = [...round, ...this.waiting];
    this.again = this.options.runtime.after(againMs, () => this.ask());
  }
}
