/**
 * Several gateways, each with a writer role, over the twin of the control store: a linearizable register behind a network
 * that loses, delays and lingers. Clocks drift, processes are cut off and restarted, an operator moves the primary.
 *
 * What is promised, and checked after every event:
 * - No two gateways may acknowledge at once, whether of one region or of two, as long as clocks drift no more than the
 *   margin covers.
 * - The exception is a gateway and its own next start: the successor does not wait for its predecessor's lease. When
 *   the predecessor's process has not ended after all, the seal of the successor's recovery stands against it: nothing of the
 *   predecessor can be made durable from then on.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ControlReading } from '../../../../regions/control/core/control-port.ts';
import {
  abortMove,
  beginFailover,
  beginSwitchover,
  initialControlRecord,
  setPolicy,
  type Transition,
} from '../../../../regions/control/core/control-record.ts';
import {
  ChallengerTimer,
  defaultLeaseLimits,
  toleratedDrift,
} from '../../../../regions/control/core/lease.ts';
import { WriterRole } from '../../../../regions/control/writer/core/writer-role.ts';
import type { RoleEvent } from '../../../../regions/control/writer/core/writer-role-events.ts';
import { type Epoch, lsn, type RegionId, regionId } from '../../../../storage/redo/ids.ts';
import { ControlStoreTwin, type ControlTwinClient } from '../../../simulation/twins/control-store-twin.ts';
import { Prng } from '../../../simulation/world/prng.ts';

const limits = defaultLeaseLimits;
const [us, eu, ap] = [regionId('us-east-1'), regionId('eu-west-1'), regionId('ap-northeast-1')];
const tickMs = 100;

type Gateway = { readonly region: RegionId; readonly name: string; readonly drift: number };
/** One start of a gateway. */
type Life = {
  readonly gateway: Gateway;
  readonly role: WriterRole;
  readonly now: () => number;
  readonly client: ControlTwinClient;
  ended: boolean;
};

class Arena {
  readonly twin: ControlStoreTwin;
  /** Pairs of different gateways that could acknowledge at once. */
  overlaps = 0;
  /** A life that could acknowledge, and make durable, beside its own successor. */
  unfenced = 0;
  /** A gateway and its own next start both thought they could; expected when processes linger. */
  twice = 0;
  readonly opened: Epoch[] = [];
  /** Those whose lease was valid then. A suspended one may open late, and answers nothing until it is resumed. */
  readonly openedToAnswer: Epoch[] = [];
  suspensions = 0;
  nowMs = 0;
  quiet = false;
  private readonly random: Prng;
  private readonly lives: Life[] = [];
  private readonly sealed = new Map<RegionId, number>();
  private due: { readonly atMs: number; readonly act: () => void }[] = [];
  private started = 0;
  /** Whether a restarted process's predecessor goes on for a while, unknown to it. */
  private readonly lingering: boolean;

  constructor(seed: number, gateways: readonly Gateway[], lingering: boolean) {
    this.random = Prng.fromSeed(seed);
    this.lingering = lingering;
    const [network, faults] = [this.random.stream('network'), this.random.stream('faults')];
    this.twin = new ControlStoreTwin({
      schedule: (delayMs, act) => this.after(delayMs, act),
      random: () => network.uint32() / 2 ** 32,
      delayMs: { min: 1, max: 60 },
      timeoutMs: limits.attemptMs,
      pollMs: 1_000,
      chance: { lose: 0.05, linger: 0.05, stale: 0.2 },
    });
    this.twin.bootstrap(initialControlRecord(us));
    for (const gateway of gateways) this.start(gateway);
    this.operate();
    this.every(7_000, () => {
      if (this.quiet) return;
      const life = faults.pick(this.lives.filter((each) => !each.ended));
      const what = faults.below(5);
      if (what < 2) {
        life.client.cut();
        this.after(faults.between(500, 25_000), () => life.client.heal());
      } else if (what === 2) this.restart(life);
      else if (what === 3) this.step(life, { kind: 'shutdown' });
      else {
        this.twin.stall();
        this.after(faults.between(500, 9_000), () => this.twin.resume());
      }
    });
    this.every(30_000, () => {
      // A gateway that was shut down is started again.
      if (this.quiet) return;
      for (const life of this.lives.filter((each) => !each.ended))
        if (faults.below(4) === 0) this.restart(life);
    });
  }

  run(forMs: number): this {
    const until = this.nowMs + forMs;
    for (let next = this.due.at(-1); next !== undefined && next.atMs <= until; next = this.due.at(-1)) {
      this.due.pop();
      this.nowMs = next.atMs;
      next.act();
      this.judge();
    }
    this.nowMs = until;
    return this;
  }

  /** From here on nothing fails any more, and every gateway that should run runs. */
  heal(): void {
    this.quiet = true;
    this.twin.resume();
    for (const life of this.lives.filter((each) => !each.ended)) {
      life.client.heal();
      this.restart(life);
    }
  }

  writers(): readonly Life[] {
    return this.lives.filter((life) => !life.ended && life.role.mayAcknowledge(life.now()));
  }

  private judge(): void {
    const valid = this.writers();
    for (const [index, a] of valid.entries()) {
      for (const b of valid.slice(index + 1)) {
        if (a.gateway !== b.gateway) this.overlaps += 1;
        else {
          this.twice += 1;
          const durable = [a, b].filter(
            (life) =>
              (life.role.epoch ?? 0) >= (this.sealed.get(life.gateway.region) ?? 0) &&
              life.role.phase === 'writing',
          );
          if (durable.length > 1) this.unfenced += 1;
        }
      }
    }
  }

  private after(ms: number, act: () => void): void {
    const atMs = this.nowMs + Math.max(0, ms);
    const index = this.due.findLastIndex((other) => other.atMs > atMs);
    this.due.splice(index + 1, 0, { atMs, act });
  }

  private every(ms: number, act: () => void): void {
    this.after(ms, () => {
      act();
      this.every(ms, act);
    });
  }

  private start(gateway: Gateway): void {
    this.started += 1;
    const rate = 1 + gateway.drift;
    const base = this.random.below(1_000_000);
    const now = () => base + this.nowMs * rate;
    const client = this.twin.client();
    const role = new WriterRole(
      gateway.region,
      { gateway: gateway.name, incarnation: `${this.started}` },
      limits,
    );
    const life: Life = { gateway, role, now, client, ended: false };
    this.lives.push(life);
    client.watch((reading) => this.read(life, reading));
    const tick = () => {
      if (life.ended) return;
      const head = role.record?.epoch;
      if (head !== undefined) this.step(life, { kind: 'regionVdl', head, vdl: lsn(1_000_000) });
      this.step(life, { kind: 'tick' });
      this.after(tickMs / rate, tick);
    };
    tick();
  }

  private restart(life: Life): void {
    const end = () => {
      life.ended = true;
      life.client.stop();
    };
    if (this.lingering && !this.quiet) this.after(this.random.below(20_000), end);
    else end();
    this.start(life.gateway);
  }

  private read(life: Life, reading: ControlReading): void {
    this.step(life, reading.kind === 'record' ? { kind: 'record', view: reading.view } : { kind: 'unseen' });
  }

  private step(life: Life, event: RoleEvent): void {
    if (life.ended) return;
    const { role, client } = life;
    for (const effect of role.step(event, life.now())) {
      switch (effect.kind) {
        case 'write':
          client.compareAndSet(effect.expectedSeq, effect.record, (write) =>
            this.step(life, { kind: 'written', write }),
          );
          break;
        case 'read':
          client.read((reading) => this.read(life, reading));
          break;
        case 'recover':
          this.after(this.random.between(5, 400), () => this.recover(life, effect.epoch));
          break;
        case 'open':
          this.opened.push(effect.epoch);
          if (role.mayAcknowledge(life.now())) this.openedToAnswer.push(effect.epoch);
          break;
        case 'drain':
          this.after(this.random.between(5, 600), () =>
            this.step(life, { kind: 'drained', epoch: effect.epoch, lsn: lsn(effect.epoch * 10) }),
          );
          break;
        case 'suspend':
          this.suspensions += 1;
          break;
        case 'resume':
        case 'reopen':
        case 'close':
          break;
      }
    }
  }

  /** The region's nodes take the seal of the newest reign, and refuse an older one. */
  private recover(life: Life, reign: Epoch): void {
    const { region } = life.gateway;
    if (life.ended) return;
    if (reign < (this.sealed.get(region) ?? 0)) {
      this.step(life, { kind: 'fenced', epoch: reign });
      return;
    }
    this.sealed.set(region, reign);
    for (const other of this.lives) {
      const { epoch } = other.role;
      if (
        other !== life &&
        !other.ended &&
        other.gateway.region === region &&
        epoch !== null &&
        epoch < reign
      ) {
        this.after(this.random.between(1, 3_000), () => this.step(other, { kind: 'fenced', epoch }));
      }
    }
    const failed = !this.quiet && this.random.below(10) === 0;
    const slow = !this.quiet && !failed && this.random.below(10) === 0;
    if (failed) this.step(life, { kind: 'recoveryFailed', epoch: reign });
    else if (slow)
      this.after(this.random.between(100, 9_000), () =>
        this.step(life, {
          kind: 'recoveryTimedOut',
          epoch: reign,
          mayHaveForked: this.random.below(3) === 0,
        }),
      );
    else this.step(life, { kind: 'recovered', epoch: reign, vdl: lsn(1_000_000) });
    if (!failed && !slow && !this.quiet && this.random.below(8) === 0) {
      this.after(this.random.between(100, 9_000), () =>
        this.step(life, { kind: 'quorumLost', epoch: reign }),
      );
    }
  }

  /** Begins and gives up moves, by its own clock and over its own connection. */
  private operate(): void {
    const random = this.random.stream('operator');
    const client = this.twin.client();
    const timer = new ChallengerTimer(limits);
    let view: Extract<ControlReading, { kind: 'record' }>['view'] | null = null;
    client.watch((reading) => {
      if (reading.kind !== 'record') return;
      view = reading.view;
      timer.saw(view.seq, this.nowMs);
    });
    let moves = 0;
    this.every(1_500, () => {
      if (view === null || this.quiet) return;
      const { seq, record } = view;
      const to = random.pick([us, eu, ap]);
      moves += 1;
      const id = `m${moves}`;
      if (random.below(10) === 0) {
        const decided = setPolicy(record, { rpoMs: random.below(3) });
        if (decided.kind === 'next') client.compareAndSet(seq, decided.record, () => undefined);
        return;
      }
      const lapsed = timer.mayChallenge(seq, this.nowMs);
      const transition: Transition | null =
        record.move !== null && random.below(8) === 0
          ? abortMove(record, { id: record.move.id })
          : lapsed
            ? beginFailover(record, { id, to, allowDataLoss: true, startedAtMs: 0, lapsed })
            : random.below(8) === 0
              ? beginSwitchover(record, { id, to, startedAtMs: 0 })
              : null;
      if (transition?.kind === 'next') client.compareAndSet(seq, transition.record, () => undefined);
    });
  }
}

const tolerated = toleratedDrift(limits);
const drifts = fc.tuple(
  ...Array.from({ length: 4 }, () => fc.double({ min: -tolerated, max: tolerated, noNaN: true })),
);
const gatewaysOf = ([a, b, c, d]: readonly number[]): readonly Gateway[] => [
  { region: us, name: 'g1', drift: a ?? 0 },
  { region: us, name: 'g2', drift: b ?? 0 },
  { region: eu, name: 'g1', drift: c ?? 0 },
  { region: ap, name: 'g1', drift: d ?? 0 },
];
const faultyMs = 120_000;

describe('writer roles against each other', { retry: 0 }, () => {
  test('never may two acknowledge at once, epochs only rise, and when all is quiet one writes', () => {
    let [reigns, primaries, suspensions] = [0, 0, 0];
    fc.assert(
      fc.property(fc.nat(), drifts, (seed, drift) => {
        const arena = new Arena(seed, gatewaysOf(drift), false).run(faultyMs);
        expect(arena.overlaps).toBe(0);
        arena.heal();
        arena.run(90_000);
        // The store still loses an answer now and then, and five in a row cost a reign: the next one must follow.
        for (let more = 0; more < 3 && arena.writers().length === 0; more++) arena.run(30_000);
        expect(arena.overlaps + arena.twice).toBe(0);
        expect(arena.writers().map((life) => life.role.phase)).toEqual(['writing']);
        expect(arena.twin.current?.record).toMatchObject({ state: 'stable' });
        expect(new Set(arena.opened).size).toBe(arena.opened.length);
        expect(arena.openedToAnswer).toEqual([...arena.openedToAnswer].sort((a, b) => a - b));
        reigns += arena.opened.length;
        suspensions += arena.suspensions;
        primaries += new Set(arena.twin.history.map((record) => record.primary)).size;
      }),
      {
        numRuns: 150,
        examples: [
          [1_784_027_369, [0.13333333240558756, 0, 0, 0]],
          [2_147_481_586, [0, 0, 0, 0]],
        ],
      },
    );
    expect(reigns).toBeGreaterThan(150 * 5);
    expect(primaries).toBeGreaterThan(150 * 1.5);
    expect(suspensions).toBeGreaterThan(150 * 3);
  });

  test('of a gateway and its own next start at most one can make anything durable', () => {
    let twice = 0;
    fc.assert(
      fc.property(fc.nat(), drifts, (seed, drift) => {
        const arena = new Arena(seed, gatewaysOf(drift), true).run(faultyMs);
        expect(arena.unfenced).toBe(0);
        twice += arena.twice;
      }),
      { numRuns: 100 },
    );
    expect(twice).toBeGreaterThan(0);
  });

  test('can overlap once clocks drift well beyond the margin, so the first test can fail', () => {
    let overlaps = 0;
    for (let seed = 0; seed < 40; seed++)
      overlaps += new Arena(seed, gatewaysOf([-0.6, 0.6, 0.6, 0.6]), false).run(faultyMs).overlaps;
    expect(overlaps).toBeGreaterThan(0);
  });
});
