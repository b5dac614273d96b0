/**
 * A deployment on machines of a test, as its operator has it: the folders that `sextant init` wrote, the processes of its units,
 * tokens, and the commands of the runbook. Everything is asked over HTTPS with the deployment's own authority.
 */
import assert from 'node:assert/strict';
import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { trustAuthority } from '../../regions/certs/trust-authority.ts';
import type { Machines, Ran } from './machines.ts';
import type { Machine } from './network.ts';
import { ask, pemIn } from './probe.ts';

const statusSchema = z.object({
  epoch: z.int(),
  primary: z.string().nullable(),
  state: z.string(),
  policy: z.unknown(),
  regions: z.array(
    z.object({
      name: z.string(),
      role: z.string(),
      vdl: z.number().nullable(),
      lagBytes: z.number().nullable(),
      ready: z.boolean(),
      versions: z.record(z.string(), z.string().nullable()),
      nodes: z.array(z.object({ id: z.string(), state: z.string(), pid: z.int().nullish() })),
    }),
  ),
});
export type ShopStatus = z.output<typeof statusSchema>;

export const nodeNames = ['n1', 'n2', 'n3', 'n4', 'n5', 'n6'] as const;
/** The nodes of each zone, as `init` places them. */
export const zones = [
  ['n1', 'n2'],
  ['n3', 'n4'],
  ['n5', 'n6'],
] as const;
export const gatewayNames = ['g1', 'g2'] as const;
const witness = 'witness';
const askMs = 3_000;
const patientTurns = 5;
const readyMs = 120_000;

const isWell = ({ state, regions }: ShopStatus): boolean =>
  state === 'stable' &&
  regions.every(
    ({ ready, nodes }) =>
      ready && nodes.length === nodeNames.length && nodes.every(({ state: node }) => node === 'up'),
  );

const isGateway = (id: string): boolean => /\/g\d$/.test(id);

/** Clients that can be told to leave a gateway. */
export interface Leaving {
  avoid(gateway: string): Promise<void>;
  use(gateway: string): void;
}

export interface ShopPlace {
  readonly machines: Machines;
  /** Where the folders lie, and below them the data of each machine. */
  readonly dir: string;
  /** The machine of each region, and of the witness where there is one. */
  readonly on: ReadonlyMap<string, Machine>;
  /** The operator's own. */
  readonly operator: Machine;
  readonly cluster: string;
  readonly basePort: number;
  /** The code that processes are started from. */
  readonly tree: string;
  readonly say: (line: string) => void;
}

export class Shop {
  readonly place: ShopPlace;
  readonly regions: readonly string[];
  /** Of scope admin. */
  token = '';
  /** Code of processes that run another one than the rest. */
  readonly trees = new Map<string, string>();
  /** Ends what a procedure that failed goes on with, such as its clients. */
  readonly leavings: (() => void)[] = [];
  /** Machines of processes that are not on that of their region. */
  readonly moved = new Map<string, Machine>();
  /** Files of processes that run from another one than that of their region. */
  readonly files = new Map<string, string>();
  /** The storage nodes of each region in which some have been replaced. */
  private readonly nodes = new Map<string, readonly string[]>();

  constructor(place: ShopPlace) {
    this.place = place;
    this.regions = [...place.on.keys()].filter((name) => name !== witness);
  }

  get folder(): string {
    return join(this.place.dir, this.place.cluster);
  }
  get authority(): string {
    return join(this.folder, 'authority');
  }
  get tokenKey(): string {
    return join(this.authority, 'token-key.pem');
  }
  /** Certificate of the operator. */
  get identity(): string {
    return join(this.authority, this.regions[0] ?? '', 'operator', 'admin');
  }
  get clusterSecret(): string {
    return readFileSync(join(this.folderOf(this.regions[0] ?? ''), 'secrets/cluster'), 'utf8').trim();
  }
  say(line: string): void {
    this.place.say(line);
  }

  folderOf(region: string): string {
    return join(this.folder, region);
  }
  fileOf(region: string): string {
    return join(this.folderOf(region), region === witness ? 'witness.yaml' : 'region.yaml');
  }
  machineOf(id: string): Machine {
    const [region = ''] = id.split('/');
    const machine = this.moved.get(id) ?? this.place.on.get(region);
    assert(machine !== undefined, `${id} has a machine`);
    return machine;
  }

  /** What a process has logged so far. */
  logOf(id: string): string {
    return readFileSync(this.place.machines.logOf(id), 'utf8');
  }

  /** Where a process listens. */
  addressOf(id: string): string {
    const name = id.split('/')[1] ?? '';
    const offsets: Readonly<Record<string, number>> = { agent: 10, g1: 11, nats: 12, routes: 13, g2: 14 };
    const offset = offsets[name] ?? Number(name.slice(1));
    return `${this.machineOf(id).address}:${this.place.basePort + offset}`;
  }
  gateway(region: string, name: string = 'g1'): string {
    return `https://${this.addressOf(`${region}/${name}`)}`;
  }

  /** Ids of the processes of a region, in the order in which they start. */
  processesOf(region: string): readonly string[] {
    const nodes = this.nodes.get(region) ?? nodeNames;
    const names = region === witness ? ['nats'] : ['nats', ...nodes, 'agent', ...gatewayNames];
    return names.map((name) => `${region}/${name}`);
  }

  /** From now on a region has another storage node in the place of one. */
  hasReplaced(region: string, old: string, next: string): void {
    const nodes = this.nodes.get(region) ?? nodeNames;
    this.nodes.set(
      region,
      nodes.map((name) => (name === old ? next : name)),
    );
  }

  /** Writes the folders, checks them, and makes the operator's token, by the commands of the runbook. */
  async init(): Promise<void> {
    const { on, cluster, basePort } = this.place;
    const hosts = [...on].flatMap(([name, { address }]) => ['--host', `${name}=${address}`]);
    await this.must(
      ...['init', '--cluster', cluster, '--regions', this.regions.join(), ...hosts],
      ...['--gateways', `${gatewayNames.length}`, '--base-port', `${basePort}`],
      ...['--dir', this.folder, '--data-dir', 'data'],
    );
    await this.check();
    this.trust();
    this.token = await this.tokenOf('admin');
  }

  async check(): Promise<void> {
    await this.must('config', 'check', ...[...this.place.on.keys()].map((name) => this.fileOf(name)));
  }

  /** This process is a client of the deployment: it trusts what `ca.pem` says now. */
  trust(): void {
    trustAuthority(readFileSync(join(this.authority, 'ca.pem'), 'utf8'));
  }

  async tokenOf(scope: 'read' | 'write' | 'admin', key: string = this.tokenKey, ttl = '1h'): Promise<string> {
    const made = await this.must(
      ...[
        'token',
        'create',
        '--scope',
        scope,
        '--ttl',
        ttl,
        '--subject',
        'rehearsal',
        '--key',
        key,
        '--json',
      ],
    );
    return z.object({ token: z.string() }).parse(JSON.parse(made.slice(made.indexOf('{')))).token;
  }

  start(id: string): void {
    const [region = '', name = ''] = id.split('/');
    const config = ['--config', this.files.get(id) ?? this.fileOf(region)];
    const args =
      name === 'nats' || name === 'agent'
        ? [name, ...config]
        : name.startsWith('g')
          ? ['gateway', ...config, '--name', name]
          : ['storage', ...config, '--node', name];
    this.place.machines.start(this.machineOf(id), id, args, this.trees.get(id) ?? this.place.tree);
  }

  startRegion(region: string): void {
    for (const id of this.processesOf(region)) this.start(id);
  }

  /** Starts what a procedure that failed has left stopped, or left running from other code. */
  async mend(): Promise<void> {
    for (const leave of this.leavings.splice(0)) leave();
    for (const id of this.trees.keys()) await this.stop(id);
    this.trees.clear();
    const running = new Set(this.place.machines.running);
    for (const name of this.place.on.keys())
      for (const id of this.processesOf(name)) if (!running.has(id)) this.start(id);
    await this.settled();
  }

  stop(id: string): Promise<void> {
    return this.place.machines.stop(id, 'SIGTERM');
  }

  /** Stops processes together, starts them again, and waits until they are what they were. */
  async restart(...ids: readonly string[]): Promise<void> {
    await Promise.all(ids.map((id) => this.stop(id)));
    for (const id of ids) this.start(id);
    for (const id of ids) await this.up(id);
  }

  /** The same under load: a gateway is left by its clients first, as a load balancer has them do. */
  async restartUnder(load: Leaving, ...ids: readonly string[]): Promise<void> {
    for (const id of ids) if (isGateway(id)) await load.avoid(id);
    await this.restart(...ids);
    for (const id of ids) if (isGateway(id)) load.use(id);
  }

  /** Waits until a process does its work: a gateway or an agent is ready, a node is complete. Old words do not count. */
  async up(id: string): Promise<void> {
    const [region = '', name = ''] = id.split('/');
    if (isGateway(id) || name === 'agent') return this.ready(id);
    const pid = this.place.machines.pid(id);
    await this.until(`${id} is up`, ({ regions }) => {
      const nodes = regions.find((one) => one.name === region)?.nodes ?? [];
      return nodes.some((node) => node.id === name && node.state === 'up' && node.pid === pid);
    });
  }

  private async ready(id: string): Promise<void> {
    const deadline = performance.now() + readyMs;
    const pem = isGateway(id) ? {} : { pem: pemIn(this.identity) };
    for (;;) {
      const said = await ask(`https://${this.addressOf(id)}/readyz`, pem)
        .then(({ status, body }) => (status === 200 ? null : body))
        .catch((error: unknown) => String(error));
      if (said === null) return;
      assert(performance.now() < deadline, `${id} is not ready: ${said}`);
      await sleep(100);
    }
  }

  /** Runs a command on the operator's machine, against the first gateway of `region`. */
  ask(region: string, ...args: readonly string[]): Promise<Ran> {
    return this.askWith(this.place.tree, region, ...args);
  }

  /** The same by the command of other code. */
  askWith(tree: string, region: string, ...args: readonly string[]): Promise<Ran> {
    const { machines, operator } = this.place;
    const environment = {
      SEXTANT_URL: this.gateway(region),
      SEXTANT_TOKEN: this.token,
      NODE_EXTRA_CA_CERTS: join(this.authority, 'ca.pem'),
    };
    return machines.run(operator, args, environment, tree);
  }

  /** A command that has to succeed, wherever it is asked. */
  must(...args: readonly string[]): Promise<string> {
    return this.mustAt(this.regions[0] ?? '', ...args);
  }

  async mustAt(region: string, ...args: readonly string[]): Promise<string> {
    let ran = await this.ask(region, ...args);
    // A command gives an answer three seconds, which a machine with thirty processes of ours does not always have.
    for (let turn = 0; turn < patientTurns && /does not answer \(.*timeout\)/.test(ran.out); turn++)
      ran = await this.ask(region, ...args);
    assert.equal(ran.code, 0, `sextant ${args.join(' ')} at ${region}:\n${ran.out}`);
    return ran.out;
  }

  sql(region: string, statement: string): Promise<string> {
    return this.mustAt(region, 'sql', region, statement);
  }

  /** What any gateway says of the whole; null when none answers. */
  async status(): Promise<ShopStatus | null> {
    for (const region of this.regions)
      for (const name of gatewayNames)
        try {
          const response = await fetch(`${this.gateway(region, name)}/v1/status`, {
            headers: { authorization: `Bearer ${this.token}` },
            signal: AbortSignal.timeout(askMs),
          });
          if (response.ok) return statusSchema.parse(await response.json());
        } catch {
          // The next one may answer.
        }
    return null;
  }

  /** Asks again and again until it holds. */
  async until(what: string, holds: (status: ShopStatus) => boolean, withinMs = 240_000): Promise<ShopStatus> {
    const deadline = performance.now() + withinMs;
    let last: ShopStatus | null = null;
    for (;;) {
      last = await this.status();
      if (last !== null && holds(last)) return last;
      assert(performance.now() < deadline, `not within ${withinMs} ms: ${what}\n${JSON.stringify(last)}`);
      await sleep(200);
    }
  }

  /** Every region ready and every node up, which holds under load as well. */
  well(withinMs?: number): Promise<ShopStatus> {
    return this.until('every region ready, every node up', isWell, withinMs);
  }

  /** The same, and nothing is on its way any more: for when nobody writes. */
  settled(withinMs?: number): Promise<ShopStatus> {
    const isLevel = ({ regions }: ShopStatus): boolean => regions.every(({ lagBytes }) => lagBytes === 0);
    return this.until(
      'every region ready and level',
      (status) => isWell(status) && isLevel(status),
      withinMs,
    );
  }

  async switchover(to: string): Promise<void> {
    await this.mustAt(to, 'switchover', '--to', to);
    await this.well();
  }

  /** Copies what the authority has issued to the machines, as the runbook says. */
  copyCertificates(): void {
    for (const name of this.place.on.keys())
      cpSync(join(this.authority, name), join(this.folderOf(name), 'certs', name), { recursive: true });
  }

  /** NATS servers read their files when they are told, one region after another: `systemctl reload sextant-nats`. */
  async reloadNats(): Promise<void> {
    for (const name of this.place.on.keys()) {
      this.place.machines.signal(`${name}/nats`, 'SIGHUP');
      await sleep(1_000);
    }
  }
}
