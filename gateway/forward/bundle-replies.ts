/** The answers to one bundle: those that are ready in the same turn leave together, and none waits for a slower one. */
import type { NatsMessage } from '../../regions/index.ts';
import type { Runtime } from '../../storage/index.ts';
import { sendSoon } from './bundle-pace.ts';
import { bundlesOf, joinPieces, type Piece, pieceBytes } from './core/forward-bundle.ts';
import { encodeReply, type ForwardReply } from './core/forward-messages.ts';

export class BundleReplies {
  private readonly asker: Pick<NatsMessage, 'respond'>;
  private readonly bytesMax: number;
  private readonly runtime: Pick<Runtime, 'nowMs' | 'after' | 'turn'>;
  private ready: Piece[] = [];
  private sentAtMs = Number.NEGATIVE_INFINITY;
  private isScheduled = false;

  /** @param bytesMax of one message, without its header. */
  constructor(
    asker: Pick<NatsMessage, 'respond'>,
    bytesMax: number,
    runtime: Pick<Runtime, 'nowMs' | 'after' | 'turn'>,
  ) {
    this.asker = asker;
    this.bytesMax = bytesMax;
    this.runtime = runtime;
  }

  /** @param id under which it was asked. */
  add(id: number, reply: ForwardReply): void {
    this.ready.push({ id, message: encodeReply(reply) });
    if (this.isScheduled) return;
    this.isScheduled = true;
    sendSoon(this.runtime, this.sentAtMs, () => this.send());
  }

  private send(): void {
    this.isScheduled = false;
    this.sentAtMs = this.runtime.nowMs();
    const { ready } = this;
    this.ready = [];
    for (const pieces of bundlesOf(ready, ({ message }) => pieceBytes(message), this.bytesMax))
      this.asker.respond(encodeReply({ kind: 'bundle', bytes: joinPieces(pieces) }));
  }
}
