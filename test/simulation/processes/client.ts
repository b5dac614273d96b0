/** An application: a few writes at a time through its region's gateway, and a note of what it was told. */

import type { LinkMessage, SimProcess, SimRuntime, WriteOutcome } from '../deployment/sim-types.ts';
import { drawWrite } from '../deployment/sim-workload.ts';
import type { Address } from '../deployment/topology.ts';
import type { LinkEvent } from '../twins/network.ts';

export type ClientOptions = {
  readonly region: string;
  /** The gateway it talks to. */
  readonly gateway: Address;
  /** Writes that may be open at a time, and the mean pause between two. */
  readonly openMax: number;
  readonly pauseUs: number;
  readonly largePerMille: number;
  readonly largePagesMax: number;
  readonly onIssued: (writeId: string, parts: number) => void;
  readonly onOutcome: (writeId: string, outcome: WriteOutcome) => void;
};

const giveUpUs = 12_000_000;

export class SimClient implements SimProcess {
  private readonly runtime: SimRuntime;
  private readonly options: ClientOptions;
  private readonly open = new Map<string, number>();
  private count = 0;
  private writing = true;
  private connection: number | undefined;

  constructor(runtime: SimRuntime, options: ClientOptions) {
    this.runtime = runtime;
    this.options = options;
  }

  /** Sends nothing more. */
  stop(): void {
    this.writing = false;
  }

  /** Nothing is open. */
  get idle(): boolean {
    return this.open.size === 0;
  }

  onStart(): void {
    this.runtime.dial(this.options.gateway);
    this.pause();
  }

  onLink(event: LinkEvent): void {
    if (event.kind === 'open') this.connection = event.connection;
    else if (event.connection === this.connection) this.connection = undefined;
    else return;
    // What was open on the old connection is never answered on the new one.
    for (const writeId of [...this.open.keys()]) this.ended(writeId, { kind: 'unknown' });
  }

  onMessage(_from: Address, message: LinkMessage): void {
    if (message.kind === 'outcome') this.ended(message.writeId, message.outcome);
  }

  onTimer(): void {
    const nowUs = this.runtime.nowUs();
    for (const [writeId, sinceUs] of [...this.open]) {
      if (nowUs - sinceUs > giveUpUs) this.ended(writeId, { kind: 'unknown' });
    }
    if (this.writing && this.connection !== undefined && this.open.size < this.options.openMax) this.write();
    this.pause();
  }

  private pause(): void {
    const { pauseUs } = this.options;
    this.runtime.setTimer('next', this.runtime.random.between(Math.floor(pauseUs / 4), 2 * pauseUs));
  }

  private write(): void {
    this.count += 1;
    const write = drawWrite(this.runtime.random, `${this.options.region}-${this.count}`, this.options);
    this.open.set(write.writeId, this.runtime.nowUs());
    this.options.onIssued(write.writeId, write.parts.length);
    this.runtime.send(this.options.gateway, { kind: 'write', write }, this.connection);
  }

  private ended(writeId: string, outcome: WriteOutcome): void {
    if (this.open.delete(writeId)) this.options.onOutcome(writeId, outcome);
  }
}
