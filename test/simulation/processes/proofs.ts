/** What other regions acknowledge of the redo of a gateway's region, for all of its reigns over one connection. */
import type { Proof } from '../../../gateway/reign/core/elsewhere.ts';
import { decodeAck } from '../../../regions/bus/core/messages.ts';
import type { BusPayload, SimRuntime } from '../deployment/sim-types.ts';
import type { BusClient } from '../twins/bus.ts';

/** The name of that connection. */
export const proofsClient = 'proofs';

export class ProofWatch {
  private readonly runtime: Pick<SimRuntime, 'connectBus'>;
  private readonly subject: string;
  private readonly watchers = new Set<(proof: Proof) => void>();
  /** Opened for the first that asks. */
  private client: BusClient<BusPayload> | null = null;
  private subscription: number | null = null;

  constructor(runtime: Pick<SimRuntime, 'connectBus'>, subject: string) {
    this.runtime = runtime;
    this.subject = subject;
  }

  /** @returns how to stop. */
  watch(onProof: (proof: Proof) => void): () => void {
    this.watchers.add(onProof);
    this.client ??= this.runtime.connectBus(proofsClient);
    const { client } = this;
    this.subscription ??= client.subscribe(this.subject);
    return () => {
      if (!this.watchers.delete(onProof) || this.watchers.size > 0 || this.subscription === null) return;
      client.unsubscribe(this.subscription);
      this.subscription = null;
    };
  }

  heard(payload: BusPayload): void {
    const ack = decodeAck(payload);
    if (ack.kind === 'ok') for (const watcher of [...this.watchers]) watcher(ack.value);
  }
}
