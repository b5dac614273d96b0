/**
 * How long a writer is asked after a statement that it may have got, when no answer comes. Pure.
 *
 * G113. Silence makes the fate of a statement unknown only after two questions in turn were left unanswered, and sooner than
 *   `forwardSilenceMs` only when the writer was seen to be deposed, or nobody listens and its own region has another writer.
 *
 * A question that the server says reached nobody is no sign of death: a writer that connects to NATS again is not listening for
 * a moment, and has the statement, and its answer, all the while. Nor does a question that could not leave say anything about the
 * writer; the statement's client is not kept for ever all the same.
 */
import type { ForwardLimits } from './forward-limits.ts';
import type { WriterStanding } from './writer-standing.ts';

/** What came of a question that brought no answer. */
export type InVain =
  /** Nothing came back. */
  | 'silent'
  /** The server says that nobody listens: this message reached nobody. */
  | 'nobody'
  /** It did not leave: there is no connection. */
  | 'unsent';

/** A writer that a failover has deposed is waited for no longer than this: what it was doing will not be found out. */
const deposedSilenceMs = 1_500;
/** So often it was asked in vain, too: a process that stood still itself has not heard what lies in its own socket. */
const asksInVainMin = 2;
/** A gateway without a connection asks for so many times `forwardSilenceMs`. */
const unsentFactor = 2;

export class WriterSilence {
  private readonly silenceMs: number;
  private heardAtMs: number;
  private asksInVain = 0;
  private last: InVain = 'silent';

  /** @param nowMs monotonic; when the writer was asked first. */
  constructor({ forwardSilenceMs }: Pick<ForwardLimits, 'forwardSilenceMs'>, nowMs: number) {
    this.silenceMs = forwardSilenceMs;
    this.heardAtMs = nowMs;
  }

  /** It has answered, be it that the statement still runs. */
  heard(nowMs: number): void {
    this.heardAtMs = nowMs;
    this.asksInVain = 0;
  }

  /** A question brought no answer. */
  unanswered(how: InVain): void {
    this.last = how;
    if (how !== 'unsent') this.asksInVain += 1;
  }

  /** Why the fate of the statement cannot be found out; null while the writer is to be asked again. */
  verdict(standing: WriterStanding, nowMs: number): string | null {
    const silentMs = nowMs - this.heardAtMs;
    if (this.last === 'nobody' && (standing === 'replaced' || standing === 'deposed'))
      return 'the writer has gone since it got the statement';
    if (silentMs > unsentFactor * this.silenceMs && this.last === 'unsent')
      return `this gateway has had no connection to NATS for ${unsentFactor} times forwardSilenceMs = ${this.silenceMs}`;
    if (this.asksInVain < asksInVainMin) return null;
    if (silentMs > this.silenceMs)
      return this.last === 'nobody'
        ? `nobody has listened in the writer's place for forwardSilenceMs = ${this.silenceMs}`
        : `the writer has said nothing for forwardSilenceMs = ${this.silenceMs}`;
    return silentMs > deposedSilenceMs && standing === 'deposed'
      ? 'the writer says nothing, and a failover has deposed it'
      : null;
  }
}
