/** What a shipper under test is told, and what it asks for, in few words. */
import {
  Shipper,
  type ShipperEffect,
  type ShipperEvent,
} from '../../../../regions/replication/core/shipper.ts';
import { shippingLimits } from '../../../../regions/replication/core/shipping-limits.ts';
import { epoch, lsn, regionId } from '../../../../storage/redo/ids.ts';

export const head = epoch(3);

type AckFields = {
  readonly head?: number;
  readonly vcl?: number;
  readonly vdl?: number;
  readonly gap?: boolean;
};
export function ack(received: number, fields: AckFields = {}): ShipperEvent {
  const { vcl = received, vdl = vcl, gap = false } = fields;
  return {
    kind: 'acked',
    ack: {
      region: regionId('eu-west-1'),
      head: epoch(fields.head ?? head),
      received: lsn(received),
      vcl: lsn(vcl),
      vdl: lsn(vdl),
      gap,
      ackSentAtUs: 0,
    },
  };
}
/** The log answers a fetch; `commits` are `[lsn, commitTimeUs]`. */
export function fetched(
  from: number,
  next: number,
  vdl = next,
  commits: readonly (readonly [number, number])[] = [],
): ShipperEvent {
  return {
    kind: 'fetched',
    from: lsn(from),
    next: lsn(next),
    vdl: lsn(vdl),
    frames: new Uint8Array(next - from),
    commits: marksOf(commits),
  };
}
export const marksOf = (commits: readonly (readonly [number, number])[]) =>
  commits.map(([at, commitTimeUs]) => ({ lsn: lsn(at), commitTimeUs, commits: 1 }));
/** What a look into the log found. */
export const looked = (
  from: number,
  next: number,
  commits: readonly (readonly [number, number])[] = [],
): ShipperEvent => ({ kind: 'looked', from: lsn(from), next: lsn(next), commits: marksOf(commits) });
export const tick: ShipperEvent = { kind: 'tick' };
export const kinds = (effects: readonly ShipperEffect[]): readonly string[] =>
  effects.map((effect) => effect.kind);
/** What a shipper asks of the log while it knows nothing of the line. */
export const fetchFrom = (from: number, known: number, afterMs = 0): ShipperEffect => ({
  kind: 'fetch',
  from: lsn(from),
  known: lsn(known),
  afterMs,
  bytesMax: shippingLimits.messageBytes / shippingLimits.messageParts,
});

/** A shipper whose secondary has joined at `at` and asked for more. */
export function joined(at: number, vdl = at, nowMs = 0): Shipper {
  const shipper = new Shipper(head, lsn(vdl));
  shipper.step(ack(at, { gap: true }), nowMs);
  return shipper;
}
