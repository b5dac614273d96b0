/**
 * The membership in which the sender of a request believes, in front of the request: `epoch u32 LE | kind u8 | body`, as a message
 * of its own kind. A sender that knows only its configuration, epoch 0, leaves it out. See S29.
 */

import { viewOf } from '../../redo/bytes.ts';
import type { MessageBody } from './message-codec.ts';

/** Kind of a request with a membership epoch in front. */
export const scopedKind = 32;

const scopeBytes = 5;

/** A request on a link, as the node reads it. */
export interface ScopedMessage {
  /** Membership epoch in which its sender believes. */
  readonly members: number;
  readonly kind: number;
  readonly body: Uint8Array;
}

/** Puts the epoch in front, unless it is 0. The body is not copied. */
export function scoped(
  members: number,
  kind: number,
  body: MessageBody,
): { readonly kind: number; readonly body: MessageBody } {
  if (members === 0) return { kind, body };
  const scope = new Uint8Array(scopeBytes);
  const view = viewOf(scope);
  view.setUint32(0, members, true);
  view.setUint8(4, kind);
  return { kind: scopedKind, body: [scope, ...(body instanceof Uint8Array ? [body] : body)] };
}

/** Takes the epoch off again; null when the message is too short to hold one. */
export function unscoped(kind: number, body: Uint8Array): ScopedMessage | null {
  if (kind !== scopedKind) return { members: 0, kind, body };
  if (body.length < scopeBytes) return null;
  const view = viewOf(body);
  return { members: view.getUint32(0, true), kind: view.getUint8(4), body: body.subarray(scopeBytes) };
}
