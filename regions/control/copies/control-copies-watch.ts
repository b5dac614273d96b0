/** Asks the leader of the control stream now and then which servers have current copies (`core/control-copies.ts`). */
import { machine, type Runtime, type Timer } from '../../../storage/index.ts';
import { controlStream } from '../../bus/core/control-subjects.ts';
import type { NatsConnection } from '../../bus/nats-connection.ts';
import { jsonBytes } from '../control-store-wire.ts';
import { ControlCopies, controlCopiesLimits } from './core/control-copies.ts';
import { parseGroup } from './stream-group.ts';

export interface ControlCopiesWatchOptions {
  /** Not owned. */
  readonly connection: Pick<NatsConnection, 'request'>;
  readonly cluster: string;
  readonly runtime?: Runtime;
}

const answerMs = 1_500;

export class ControlCopiesWatch {
  readonly seen = new ControlCopies();
  private readonly options: ControlCopiesWatchOptions;
  private readonly runtime: Runtime;
  private readonly timer: Timer;
  private looking = false;

  constructor(options: ControlCopiesWatchOptions) {
    this.options = options;
    this.runtime = options.runtime ?? machine;
    this.timer = this.runtime.every(controlCopiesLimits.lookEveryMs, () => void this.look());
  }

  close(): void {
    this.timer.stop();
  }

  /** Resolves when the answer is in, or there is none. */
  async look(): Promise<void> {
    if (this.looking) return;
    this.looking = true;
    const { connection, cluster } = this.options;
    const subject = `$JS.API.STREAM.INFO.${controlStream(cluster)}`;
    const answer = await connection.request(subject, jsonBytes({}), answerMs);
    const group = answer.kind === 'reply' ? parseGroup(answer.data) : null;
    this.seen.saw(group?.kind === 'ok' ? group.value : null, this.runtime.nowMs());
    this.looking = false;
  }
}
