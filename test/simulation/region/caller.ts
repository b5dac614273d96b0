/** One who calls storage nodes and is none: a process of its own, some of whose nodes are out of its reach now and then. */
import type { NodeId } from '../../../storage/redo/ids.ts';
import type { StorageReply, StorageRequest } from '../../../storage/wire/core/messages.ts';
import { sixNodes } from '../../storage/samples.ts';
import type { Address, RuleId } from '../deployment/topology.ts';
import type { Cluster } from './cluster.ts';
import { addressOf, Rpc } from './rpc.ts';

const cutForMs = 100;

export class Caller {
  private readonly cluster: Cluster;
  private readonly address: Address;
  private readonly rpc: Rpc;
  private readonly onNode: (kind: 'nodeUp' | 'nodeDown', node: NodeId) => void;
  private cuts: RuleId[] = [];
  private isClosed = false;

  /**
   * @param onNode hears of links to nodes that come and go.
   * @param reach whether some nodes are out of its reach now and then.
   */
  constructor(cluster: Cluster, onNode: Caller['onNode'] = () => undefined, reach: 'some' | 'all' = 'some') {
    this.cluster = cluster;
    this.onNode = onNode;
    this.address = cluster.newCaller();
    this.rpc = new Rpc(cluster, this.address);
    cluster.network.attach(this.address, {
      onLink: (event) => {
        this.rpc.onLink(event);
        const node = event.peer.slice(2) as NodeId;
        this.onNode(event.kind === 'open' ? 'nodeUp' : 'nodeDown', node);
      },
      onMessage: (_from, message) => {
        if (message.kind === 'reply') this.rpc.received(message);
      },
    });
    if (reach === 'some') this.cutSometimes();
  }

  dial(node: NodeId): void {
    this.rpc.dial(node);
  }

  /** @param done gets the reply, or null after a loss, once; nothing once the caller is closed. */
  call(node: NodeId, request: StorageRequest, done: (reply: StorageReply | null) => void, members = 0): void {
    this.rpc.call(node, request, (reply) => void (this.isClosed || done(reply)), members);
  }

  notice(node: NodeId, request: StorageRequest, members = 0): void {
    this.rpc.notice(node, request, members);
  }

  /** The process is gone. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.cluster.network.detach(this.address);
    this.mend();
  }

  private mend(): void {
    for (const rule of this.cuts.splice(0)) this.cluster.topology.removeRule(rule);
  }

  /** Nodes that it cannot reach change as time goes by. */
  private cutSometimes(): void {
    const { cluster, address } = this;
    this.mend();
    if (this.isClosed) return;
    const { dice, faults, topology } = cluster;
    if (dice.perMille(faults.cutPerMille))
      for (const node of [dice.pick(sixNodes), dice.pick(sixNodes)])
        this.cuts.push(topology.addRule({ from: address, to: addressOf(node), effect: { kind: 'cut' } }));
    cluster.after(cutForMs, () => this.cutSometimes());
  }
}
