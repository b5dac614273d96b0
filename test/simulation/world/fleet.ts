/** All processes of a simulated deployment and what connects them: the thing that `faults.ts` does its work on. */
import assert from 'node:assert/strict';
import { type Address, regionOf, Topology } from '../deployment/topology.ts';
import type { SimulationOptions } from '../options.ts';
import { Bus } from '../twins/bus.ts';
import { ControlBucket } from '../twins/control-bucket.ts';
import { Network } from '../twins/network.ts';
import { Host, type Process, type Role, type Runtime } from '../twins/process.ts';
import type { World } from './world.ts';

export type ProcessSpec<M, P, V> = {
  readonly address: Address;
  readonly role: Role;
  /** Availability zone, such as `az1`; processes of one zone are lost together. */
  readonly az: string;
  /** Makes the process object of one incarnation. */
  readonly boot: (runtime: Runtime<M, P, V>) => Process<M, P, V>;
  /** See `HostSpec`. */
  readonly usesPromises?: boolean;
};

/** `M` travels on links, `P` over NATS, `V` lies in the control bucket. */
export class Fleet<M, P, V> {
  readonly world: World;
  readonly options: SimulationOptions;
  readonly topology: Topology;
  readonly network: Network<M>;
  readonly bus: Bus<P>;
  readonly control: ControlBucket<V>;
  private readonly byAddress = new Map<Address, Host<M, P, V>>();

  constructor(world: World, options: SimulationOptions) {
    this.world = world;
    this.options = options;
    this.topology = new Topology(world, options.latency);
    this.network = new Network(this.topology, 'net', options.network);
    this.bus = new Bus(this.topology, options.regions, {
      network: options.network,
      reconnectBufferBytes: 8 * 1024 * 1024,
    });
    this.control = new ControlBucket(this.topology, options.regions, {
      network: options.network,
      electionUs: { min: 4_000_000, max: 9_000_000 },
      reviewUs: 250_000,
    });
  }

  /** Adds a process, which is down until `start`. */
  add(spec: ProcessSpec<M, P, V>): Host<M, P, V> {
    assert(!this.byAddress.has(spec.address), `${spec.address} exists already`);
    const host = new Host(this, { ...spec, disk: this.options.disk, clock: this.options.clock });
    this.byAddress.set(spec.address, host);
    return host;
  }

  /** The host at `address`. @throws Error when there is none. */
  host(address: Address): Host<M, P, V> {
    const found = this.byAddress.get(address);
    assert(found !== undefined, `there is no ${address}`);
    return found;
  }

  /** Hosts in the order they were added. */
  hosts(region?: string): readonly Host<M, P, V>[] {
    const all = [...this.byAddress.values()];
    return region === undefined ? all : all.filter((host) => host.region === region);
  }

  /** Starts every process that is down. */
  startAll(): void {
    for (const host of this.byAddress.values()) host.start();
  }

  /** Kills a region's NATS server, and with it its replica of the control bucket. */
  crashNats(region: string): void {
    this.bus.crashServer(region);
    this.control.crashServer(region);
  }

  startNats(region: string): void {
    this.bus.startServer(region);
    this.control.startServer(region);
  }

  /** Breaks every link and NATS connection of a process once. */
  breakLinks(address: Address): void {
    assert(regionOf(address) !== '', 'an address without a region');
    this.network.breakLinks(address);
    this.bus.breakLinks(address);
    this.control.breakLinks(address);
  }
}
