/**
 * A simulated operating-system process. The host outlives it: it keeps the disk and the clock, starts a fresh process
 * object on every start, and sees to it that a dead or frozen one receives nothing.
 *
 * Fault model:
 * - A crash takes the process object and everything in it. Timers, deliveries and disk completions of the dead one never
 *   reach the next one.
 * - A pause (SIGSTOP) queues everything, while both clocks run on. On resume all of it arrives in one burst, sometimes timers
 *   first, as an event loop does, sometimes in order of arrival. Peers notice a long pause by their heartbeats.
 */
import assert from 'node:assert/strict';
import { type Address, regionOf, type Topology } from '../deployment/topology.ts';
import type { Prng } from '../world/prng.ts';
import type { EventId, World } from '../world/world.ts';
import type { Bus, BusClient, BusMessage } from './bus.ts';
import { type ClockOptions, ProcessClock } from './clock.ts';
import type { ControlBucket, ControlClient, ControlEvent } from './control-bucket.ts';
import { type CrashKind, Disk, type DiskCompletion, type DiskOptions } from './disk.ts';
import type { ConnectionId, LinkEvent, Network, SendResult } from './network.ts';

/**
 * What a simulated process does with what happens to it. `M` travels on links, `P` over NATS, `V` lies in the control bucket. Each call runs to its end before anything else happens. A missing
 * handler for something that arrives is a defect of the process and fails the run.
 */
export type Process<M, P, V> = {
  readonly onStart: () => void;
  readonly onMessage?: (from: Address, message: M, connection: ConnectionId) => void;
  readonly onLink?: (event: LinkEvent) => void;
  readonly onTimer?: (name: string) => void;
  readonly onDisk?: (completion: DiskCompletion) => void;
  readonly onBus?: (client: string, message: BusMessage<P>) => void;
  /** Nobody listens to what `client` asked with this subject for the answer. */
  readonly onBusNobody?: (client: string, reply: string) => void;
  readonly onBusStatus?: (client: string, status: 'connected' | 'disconnected') => void;
  readonly onControl?: (client: string, event: ControlEvent<V>) => void;
  /** For observers (judges, counters): the object is dead when this returns and cannot act any more. */
  readonly onCrash?: (kind: CrashKind) => void;
};

/** All a process may ask of the world. Valid until its process dies; used after that it throws. */
export type Runtime<M, P, V> = {
  readonly address: Address;
  /** Counts the starts of this host, from 1. */
  readonly incarnation: number;
  readonly disk: Disk;
  /** This incarnation's chance: identifiers, jitter of back-off. */
  readonly random: Prng;
  /** Microseconds, monotonic, comparable only within this process. */
  readonly nowUs: () => number;
  /** Microseconds since 1970 by this process's wall clock, which may be wrong and may jump. */
  readonly wallUs: () => number;
  /** Calls `onTimer(name)` when this process's clock has advanced by `delayUs`; replaces a running timer of that name. */
  readonly setTimer: (name: string, delayUs: number) => void;
  readonly clearTimer: (name: string) => void;
  /** Connects and stays connected until `hangUp`; `onLink` tells when. */
  readonly dial: (to: Address) => void;
  readonly hangUp: (to: Address) => void;
  /** Sends on the given connection, or on the one open to `to`. */
  readonly send: (to: Address, message: M, connection?: ConnectionId) => SendResult;
  /** Bytes sent to `to` and not delivered yet. */
  readonly bufferedBytes: (to: Address) => number;
  /** Opens the NATS connection `name`. */
  readonly connectBus: (name: string) => BusClient<P>;
  /** Opens the connection `name` to the control bucket. */
  readonly connectControl: (name: string) => ControlClient<V>;
  /** Ends the process after what it does now; its supervisor starts it again a second later. */
  readonly exit: (why: string) => void;
  /** Adds a line to the trace. */
  readonly note: (line: string) => void;
};

export type Role = 'node' | 'gateway' | 'agent' | 'client';

export type HostSpec<M, P, V> = {
  readonly address: Address;
  readonly role: Role;
  readonly az: string;
  readonly disk: DiskOptions;
  readonly clock: ClockOptions;
  /** Makes the process object of one incarnation; it acts only from `onStart` on. */
  readonly boot: (runtime: Runtime<M, P, V>) => Process<M, P, V>;
  /** The process uses promises: what follows from an event is not over when its handler returns. */
  readonly usesPromises?: boolean;
};

/** What connects processes: links, NATS and the control bucket, on one topology. */
export type Media<M, P, V> = {
  readonly topology: Topology;
  readonly network: Network<M>;
  readonly bus: Bus<P>;
  readonly control: ControlBucket<V>;
};

export type HostState = 'down' | 'up' | 'paused';

type Waiting = { readonly timer: boolean; readonly what: string; readonly run: () => void };

const waitingMax = 1_000_000;
/** A supervisor's pause before it starts what has ended by itself. */
const restartUs = 1_000_000;

export class Host<M, P, V> {
  readonly address: Address;
  readonly role: Role;
  readonly az: string;
  readonly region: string;
  readonly disk: Disk;
  readonly clock: ProcessClock;
  private readonly world: World;
  private readonly network: Network<M>;
  private readonly bus: Bus<P>;
  private readonly control: ControlBucket<V>;
  private readonly spec: HostSpec<M, P, V>;
  private readonly prng: Prng;
  private readonly timers = new Map<string, EventId>();
  private busClients: BusClient<P>[] = [];
  private controlClients: ControlClient<V>[] = [];
  private current: Process<M, P, V> | undefined;
  private generation = 0;
  /** The incarnation that may act now: from its boot until its crash. */
  private acting = 0;
  private pauses = 0;
  private motion: 'running' | 'frozen' = 'running';
  private waiting: Waiting[] = [];

  constructor(media: Media<M, P, V>, spec: HostSpec<M, P, V>) {
    assert(!spec.address.endsWith('/nats'), 'that name belongs to the NATS server');
    this.world = media.topology.world;
    this.network = media.network;
    this.bus = media.bus;
    this.control = media.control;
    this.spec = spec;
    this.address = spec.address;
    this.role = spec.role;
    this.az = spec.az;
    this.region = regionOf(spec.address);
    media.topology.place(spec.address, spec.az);
    this.prng = this.world.prng(`host ${spec.address}`);
    this.clock = new ProcessClock(() => this.world.nowUs, this.prng.stream('clock'), spec.clock);
    this.disk = new Disk(this.world, spec.address, spec.disk, (completion) => {
      this.deliver('disk', false, (process) => process.onDisk?.bind(process, completion));
    });
  }

  get state(): HostState {
    if (this.current === undefined) return 'down';
    return this.motion === 'frozen' ? 'paused' : 'up';
  }

  /** Starts a new incarnation; does nothing when one lives. */
  start(): void {
    if (this.current !== undefined) return;
    this.generation += 1;
    this.world.note(`start ${this.address} incarnation ${this.generation}`);
    this.network.attach(this.address, {
      isFrozen: () => this.motion === 'frozen',
      onLink: (event) => this.deliver('link', false, (process) => process.onLink?.bind(process, event)),
      onMessage: (from, message, connection) => {
        this.deliver('message', false, (process) =>
          process.onMessage?.bind(process, from, message, connection),
        );
      },
    });
    this.acting = this.generation;
    const process = this.spec.boot(this.runtime());
    this.current = process;
    if (this.spec.usesPromises === true) this.world.unsettle();
    process.onStart();
  }

  /** Kills the process, or the machine under it; does nothing when it is down. */
  crash(kind: CrashKind): void {
    const dying = this.current;
    if (dying === undefined) return;
    this.world.note(`crash ${this.address} (${kind})`);
    this.current = undefined;
    this.acting = 0;
    this.motion = 'running';
    this.waiting = [];
    for (const timer of this.timers.values()) this.world.cancel(timer);
    this.timers.clear();
    for (const client of [...this.busClients, ...this.controlClients]) client.close();
    this.busClients = [];
    this.controlClients = [];
    this.network.detach(this.address);
    this.disk.crash(kind);
    dying.onCrash?.(kind);
  }

  /** Freezes the process; does nothing unless it is up. */
  pause(): void {
    if (this.state !== 'up') return;
    this.world.note(`pause ${this.address}`);
    this.motion = 'frozen';
    this.pauses += 1;
    const { pauses, generation } = this;
    this.world.schedule(this.network.heartbeatUs(), `heartbeat of frozen ${this.address}`, () => {
      if (this.motion === 'running' || this.pauses !== pauses || this.generation !== generation) return;
      this.network.breakLinks(this.address);
      this.bus.breakLinks(this.address);
      this.control.breakLinks(this.address);
    });
  }

  /** Thaws the process: what queued up arrives at once. */
  resume(): void {
    if (this.state !== 'paused') return;
    this.motion = 'running';
    const burst = this.waiting;
    this.waiting = [];
    const timersFirst = this.prng.perMille(500);
    this.world.note(`resume ${this.address} with ${burst.length} waiting`);
    const timers = timersFirst ? burst.filter((item) => item.timer) : [];
    const rest = timersFirst ? burst.filter((item) => !item.timer) : burst;
    const { generation } = this;
    for (const item of [...timers, ...rest]) {
      // A handler may end its own process; the rest of the burst dies with it.
      if (this.current === undefined || this.generation !== generation) return;
      if (this.spec.usesPromises === true) this.world.unsettle();
      this.world.note(`${item.what} to ${this.address} late`);
      item.run();
    }
  }

  /** Hands something to the living process, now or when it thaws. */
  private deliver(
    what: string,
    timer: boolean,
    choose: (process: Process<M, P, V>) => (() => void) | undefined,
  ): void {
    const process = this.current;
    if (process === undefined) return;
    const run = choose(process);
    assert(run !== undefined, `${this.address} has no handler for: ${what}`);
    if (this.spec.usesPromises === true) this.world.unsettle();
    if (this.motion === 'running') {
      run();
      return;
    }
    assert(this.waiting.length < waitingMax, `${this.address} was frozen under too much load`);
    this.waiting.push({ timer, what, run });
  }

  private runtime(): Runtime<M, P, V> {
    const { generation } = this;
    const check = (): void => {
      assert(this.acting === generation, `${this.address} acts after its death`);
    };
    return {
      address: this.address,
      incarnation: generation,
      disk: this.disk,
      random: this.prng.stream(`incarnation ${generation}`),
      nowUs: () => this.clock.monotonicUs(),
      wallUs: () => this.clock.wallUs(),
      setTimer: (name, delayUs) => {
        check();
        this.setTimer(name, delayUs);
      },
      clearTimer: (name) => {
        check();
        this.clearTimer(name);
      },
      dial: (to) => {
        check();
        this.network.dial(this.address, to);
      },
      hangUp: (to) => {
        check();
        this.network.hangUp(this.address, to);
      },
      send: (to, message, connection) => {
        check();
        const chosen = connection ?? this.network.connectionTo(this.address, to);
        return chosen === undefined ? 'no-link' : this.network.send(chosen, this.address, message);
      },
      bufferedBytes: (to) => {
        const connection = this.network.connectionTo(this.address, to);
        return connection === undefined ? 0 : this.network.inFlightBytes(connection, this.address);
      },
      connectBus: (name) => {
        check();
        return this.connectBus(name);
      },
      connectControl: (name) => {
        check();
        return this.connectControl(name);
      },
      exit: (why) => this.exit(generation, why),
      note: (line) => this.world.note(`${this.address}: ${line}`),
    };
  }

  private exit(generation: number, why: string): void {
    this.world.note(`${this.address} ends itself: ${why}`);
    this.world.schedule(0, `exit ${this.address}`, () => {
      if (this.acting !== generation) return;
      this.crash('process');
      this.world.schedule(restartUs, `restart ${this.address}`, () => this.start());
    });
  }

  private setTimer(name: string, delayUs: number): void {
    this.clearTimer(name);
    const delay = this.clock.worldDelayUs(delayUs);
    const event = this.world.schedule(delay, `timer ${this.address} ${name}`, () => {
      this.deliver(`timer ${name}`, true, (process) => () => {
        // It may have been cleared, or set anew, by something that ran before it in the burst after a pause.
        if (this.timers.get(name) !== event) return;
        this.timers.delete(name);
        assert(process.onTimer !== undefined, `${this.address} has no handler for timer ${name}`);
        process.onTimer(name);
      });
    });
    this.timers.set(name, event);
  }

  private clearTimer(name: string): void {
    const running = this.timers.get(name);
    if (running !== undefined) this.world.cancel(running);
    this.timers.delete(name);
  }

  private connectBus(name: string): BusClient<P> {
    const client = this.bus.connect(this.address, name, {
      isFrozen: () => this.motion === 'frozen',
      inProcess: (what, run) => this.deliver(what, false, () => run),
      onMessage: (message) => {
        assert(this.current?.onBus !== undefined, `${this.address} has no handler for: bus ${name}`);
        this.current.onBus(name, message);
      },
      // Not every process cares; the others find out by missing messages.
      onNobody: (reply) => this.current?.onBusNobody?.(name, reply),
      onStatus: (status) => this.current?.onBusStatus?.(name, status),
    });
    this.busClients.push(client);
    return client;
  }

  private connectControl(name: string): ControlClient<V> {
    const client = this.control.connect(this.address, name, {
      isFrozen: () => this.motion === 'frozen',
      inProcess: (what, run) => this.deliver(what, false, () => run),
      onEvent: (event) => {
        assert(this.current?.onControl !== undefined, `${this.address} has no handler for: control ${name}`);
        this.current.onControl(name, event);
      },
    });
    this.controlClients.push(client);
    return client;
  }
}
