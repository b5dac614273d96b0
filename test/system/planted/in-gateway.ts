/** Defects of a gateway. */
import { Follower } from '../../../gateway/reign/follower.ts';
import { Reign, type Release } from '../../../gateway/reign/reign.ts';
import { sameHolder } from '../../../regions/control/core/control-record.ts';
import { type HolderEffect, HolderLease } from '../../../regions/control/core/lease.ts';
import { WriterRole } from '../../../regions/control/writer/core/writer-role.ts';
import type { RoleEffect, RoleEvent } from '../../../regions/control/writer/core/writer-role-events.ts';
import type { NodeLink } from '../../../storage/quorum/core/node-link.ts';
import {
  type QuorumEffect,
  type QuorumEvent,
  QuorumWriter,
} from '../../../storage/quorum/core/quorum-writer.ts';
import { QuorumDriver } from '../../../storage/quorum/quorum-driver.ts';
import { type Lsn, minLsn, type NodeId, type PgId, zeroLsn } from '../../../storage/redo/ids.ts';
import { isPlanted, replaceMethod } from './planted.ts';

/** How long a gateway that ignores its lease does not see that it was deposed. */
const lingerMs = 6_000;
/** How late redo leaves where answers are early, and how late a storage node may be where that ends a reign. */
const lateMs = 200;
const oldMs = 50;

// ignore-lease, never-renews

replaceMethod<HolderLease, [number], boolean>(
  HolderLease,
  'isValid',
  (was) =>
    function (nowMs) {
      return isPlanted('ignore-lease') || was.call(this, nowMs);
    },
);

const lapses: readonly HolderEffect['kind'][] = ['suspended', 'resumed'];

replaceMethod<HolderLease, Parameters<HolderLease['step']>, readonly HolderEffect[]>(
  HolderLease,
  'step',
  (was) =>
    function (...args) {
      const effects = was.apply(this, args);
      const hidden = [
        ...(isPlanted('ignore-lease') ? lapses : []),
        ...(isPlanted('never-renews') ? (['renew'] as const) : []),
      ];
      return hidden.length === 0 ? effects : effects.filter(({ kind }) => !hidden.includes(kind));
    },
);

/** Since when each role is shown no record that deposes it. */
const deposedAtMs = new WeakMap<WriterRole, number>();

replaceMethod<WriterRole, [RoleEvent, number], readonly RoleEffect[]>(
  WriterRole,
  'step',
  (was) =>
    function (event, nowMs) {
      if (!isPlanted('ignore-lease') || this.epoch === null) {
        deposedAtMs.delete(this);
        return was.call(this, event, nowMs);
      }
      const isDeposed =
        event.kind === 'fenced' ||
        (event.kind === 'record' && !sameHolder(this.record?.holder ?? null, event.view.record.holder));
      if (isDeposed && !deposedAtMs.has(this)) deposedAtMs.set(this, nowMs);
      const isOver = nowMs - (deposedAtMs.get(this) ?? nowMs) >= lingerMs;
      return was.call(this, isDeposed && !isOver ? { kind: 'tick' } : event, nowMs);
    },
);

// answers-early

replaceMethod<Reign, [Lsn, (release: Release) => void], void>(
  Reign,
  'settle',
  (was) =>
    function (seen, done) {
      was.call(this, isPlanted('answers-early') ? minLsn(seen, this.vdl) : seen, done);
    },
);

replaceMethod<QuorumDriver, [QuorumEffect], void>(
  QuorumDriver,
  'carryOutOne',
  (was) =>
    function (effect) {
      const isLate = effect.kind === 'append' && effect.request.frames.length > 0;
      if (isLate && isPlanted('answers-early')) setTimeout(() => was.call(this, effect), lateMs);
      else was.call(this, effect);
    },
);

// needs-five, needs-six, age-ends-reign

const linksOf = (writer: QuorumWriter): ReadonlyMap<NodeId, NodeLink> => Reflect.get(writer, 'links');

replaceMethod<QuorumWriter, [PgId], void>(
  QuorumWriter,
  'count',
  (was) =>
    function (pg) {
      const needed = isPlanted('needs-six') ? 6 : isPlanted('needs-five') ? 5 : 4;
      if (needed === 4) {
        was.call(this, pg);
        return;
      }
      const scls = [...linksOf(this).values()].map(({ scls: known }) => known.get(pg) ?? zeroLsn);
      const pgcls: Map<PgId, Lsn> = Reflect.get(this, 'pgcls');
      pgcls.set(pg, scls.sort((a, b) => b - a)[needed - 1] ?? zeroLsn);
    },
);

replaceMethod<QuorumWriter, [QuorumEvent, number], readonly QuorumEffect[]>(
  QuorumWriter,
  'step',
  (was) =>
    function (event, nowMs) {
      const effects = was.call(this, event, nowMs);
      if (event.kind !== 'tick' || !isPlanted('age-ends-reign')) return effects;
      const end: number = Reflect.get(this, 'end');
      const late = [...linksOf(this).values()].find(
        ({ up, acked, toldAtMs }) => up && acked < end && nowMs - toldAtMs > oldMs,
      );
      if (late === undefined) return effects;
      Reflect.set(this, 'over', true);
      return [{ kind: 'quorumLost', reason: `the defect: ${late.node} is late` }];
    },
);

// shows-the-past

replaceMethod<Follower, [unknown], void>(
  Follower,
  'frames',
  (was) =>
    function (tail) {
      if (!isPlanted('shows-the-past')) was.call(this, tail);
    },
);
