/** A writer role on a bench: with a control store that a test carries out step by step. */
import { expect } from 'vitest';
import type { ControlView } from '../../../../regions/control/core/control-port.ts';
import {
  beginFailover,
  beginSwitchover,
  type ControlRecord,
  type Holder,
  initialControlRecord,
} from '../../../../regions/control/core/control-record.ts';
import { defaultLeaseLimits } from '../../../../regions/control/core/lease.ts';
import { WriterRole } from '../../../../regions/control/writer/core/writer-role.ts';
import type {
  RoleEffect,
  RoleEvent,
  WriterPhase,
} from '../../../../regions/control/writer/core/writer-role-events.ts';
import { type Epoch, lsn, regionId } from '../../../../storage/redo/ids.ts';
import { next } from '../../control-records.ts';

export const us = regionId('us-east-1');
export const eu = regionId('eu-west-1');
export const me: Holder = { gateway: 'g1', incarnation: 'a' };
export const other: Holder = { gateway: 'g2', incarnation: 'x' };
export const limits = defaultLeaseLimits;

export const switchingTo = (record: ControlRecord, to = eu): ControlRecord =>
  next(beginSwitchover(record, { id: `to-${to}`, to, startedAtMs: 0 }));
export const failingOverTo = (record: ControlRecord, to = eu): ControlRecord =>
  next(beginFailover(record, { id: 'f', to, allowDataLoss: true, startedAtMs: 0, lapsed: true }));

/** A role with the store it talks to: a register that changes only by compare-and-set. */
export class Bench {
  readonly role: WriterRole;
  readonly effects: RoleEffect[] = [];
  seq = 1;
  record: ControlRecord;
  nowMs = 0;
  /** The write under way; at most one. */
  write: Extract<RoleEffect, { kind: 'write' }> | null = null;

  constructor(record = initialControlRecord(us), region = us) {
    this.record = record;
    this.role = new WriterRole(region, me, limits);
  }

  step(event: RoleEvent): readonly RoleEffect['kind'][] {
    const effects = this.role.step(event, this.nowMs);
    for (const effect of effects) {
      this.effects.push(effect);
      if (effect.kind !== 'write') continue;
      expect(this.write, 'one change of the record is under way at a time').toBeNull();
      this.write = effect;
    }
    return effects.map((effect) => effect.kind);
  }

  tick(ms = 0): readonly RoleEffect['kind'][] {
    this.nowMs += ms;
    return this.step({ kind: 'tick' });
  }

  /** The role sees the record as it is. */
  show(): readonly RoleEffect['kind'][] {
    const view: ControlView = { seq: this.seq, record: this.record };
    return this.step({ kind: 'record', view });
  }

  /** Somebody else changes the record; the role has not seen it yet. */
  change(record: ControlRecord): void {
    this.record = record;
    this.seq += 1;
  }

  /** The store carries out the write under way, without an answer. */
  apply(): 'won' | 'lost' {
    const { write } = this;
    if (write === null) throw new Error('no write is under way');
    if (write.expectedSeq === this.seq) {
      this.change(write.record);
      return 'won';
    }
    const same =
      write.expectedSeq === this.seq - 1 && JSON.stringify(write.record) === JSON.stringify(this.record);
    return same ? 'won' : 'lost';
  }

  answer(kind: 'won' | 'lost' | 'unknown'): readonly RoleEffect['kind'][] {
    const { write } = this;
    if (write === null) throw new Error('no write is under way');
    this.write = null;
    if (kind === 'won') return this.step({ kind: 'written', write: { kind, seq: write.expectedSeq + 1 } });
    return this.step({ kind: 'written', write: kind === 'lost' ? { kind } : { kind, reason: 'timeout' } });
  }

  /** Carries out and answers the write under way, and any that follow at once. */
  settle(): void {
    while (this.write !== null) this.answer(this.apply());
  }

  get epoch(): Epoch {
    const { epoch: reign } = this.role;
    if (reign === null) throw new Error('no reign is under way');
    return reign;
  }

  recovered(vdl = 0): readonly RoleEffect['kind'][] {
    return this.step({ kind: 'recovered', epoch: this.epoch, vdl: lsn(vdl) });
  }

  drained(at: number): readonly RoleEffect['kind'][] {
    return this.step({ kind: 'drained', epoch: this.epoch, lsn: lsn(at) });
  }
}

/** A role that got to `phase` the shortest way. */
export function bench(phase: WriterPhase): Bench {
  const made = new Bench(phase === 'reading' ? initialControlRecord(eu) : initialControlRecord(us));
  made.show();
  if (phase === 'claiming' || phase === 'reading') return made;
  made.settle();
  if (phase === 'recovering') return made;
  made.recovered();
  if (phase === 'writing') return made;
  made.change(switchingTo(made.record));
  made.show();
  if (phase === 'draining') return made;
  made.drained(700);
  return made;
}
