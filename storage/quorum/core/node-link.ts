/** What a quorum writer keeps of one node: what it has sent, and what it was told of what is there. */
import { type Lsn, type NodeId, type PgId, zeroLsn } from '../../redo/ids.ts';

export interface NodeLink {
  readonly node: NodeId;
  up: boolean;
  /** It had everything when the last frames were offered. */
  inStep: boolean;
  /** Number of the next frame to send. */
  cursor: number;
  /** Number of the first frame it has not acknowledged. */
  acked: number;
  inFlight: number;
  retryAtMs: number;
  /** It was asked how far it is, or is to be asked; no frames leave before the answer. */
  probing: boolean;
  /** The question has not left yet. */
  probeDue: boolean;
  toldVdl: Lsn;
  toldAtMs: number;
  /** Times it was asked, while idle, about frames it has answered for and its SCLs do not cover. */
  inquiries: number;
  readonly scls: Map<PgId, Lsn>;
}

export function newLink(node: NodeId): NodeLink {
  return {
    node,
    up: false,
    inStep: false,
    cursor: 0,
    acked: 0,
    inFlight: 0,
    retryAtMs: 0,
    probing: false,
    probeDue: false,
    toldVdl: zeroLsn,
    toldAtMs: 0,
    inquiries: 0,
    scls: new Map(),
  };
}
