/**
 * The branches of a simulated gateway: the production role of each that is written here, over a volume like that of `main`. Some
 * are written by a workload of the gateway's own while it writes `main`, and every gateway reads one now and then.
 */
import { BranchDriver } from '../../../gateway/database/branch-driver.ts';
import type { Line } from '../../../gateway/reign/follower.ts';
import type { RoleDriver } from '../../../gateway/reign/role-driver.ts';
import { type Branch, branchesOf } from '../../../regions/control/core/branch-list.ts';
import type { Holder } from '../../../regions/control/core/control-record.ts';
import type { BranchName, Epoch, Lsn, NodeId, PageNo, RegionId } from '../../../storage/redo/ids.ts';
import { pathRequest } from '../../../storage/wire/core/path-request.ts';
import type { SimContext, SimRuntime } from '../deployment/sim-types.ts';
import { drawWrite, workloadPages } from '../deployment/sim-workload.ts';
import { silentLog } from '../ports/log.ts';
import type { RuntimeTwin } from '../ports/runtime.ts';
import type { Prng } from '../world/prng.ts';
import type { SimControlStore } from './control-store.ts';
import { recoveryNodes } from './drivers.ts';
import type { ProofWatch } from './proofs.ts';
import type { RegionLinks } from './region-links.ts';
import { SimVolume } from './volume.ts';

const tickMs = 100;
const readEveryMs = 900;
const answerMs = 2_000;
const answerWaitMs = 3_000;
/** A branch is written about twice a second. */
const writesPerMille = 200;

export interface SimBranchesOptions {
  readonly runtime: SimRuntime;
  readonly context: SimContext;
  readonly time: RuntimeTwin;
  readonly links: RegionLinks;
  readonly region: string;
  readonly me: Holder;
  /** As the judges call this start of the gateway. */
  readonly writer: string;
  readonly role: RoleDriver;
  readonly store: SimControlStore;
  readonly proofs: ProofWatch;
}

interface OpenBranch {
  readonly line: Line;
  readonly driver: BranchDriver;
  readonly volume: SimVolume;
}

export class SimBranches {
  private readonly options: SimBranchesOptions;
  private readonly opened = new Map<BranchName, OpenBranch>();
  private readonly chance: Prng;
  private readonly patience: Prng;
  private writes = 0;

  constructor(options: SimBranchesOptions) {
    this.options = options;
    this.chance = options.runtime.random.stream('branches');
    this.patience = options.runtime.random.stream('branch recoveries');
  }

  start(): void {
    const { context, role, time } = this.options;
    if (context.branches === null) return;
    role.watch(() => this.look());
    time.every(tickMs, () => {
      this.look();
      this.write();
    });
    time.every(readEveryMs, () => this.read());
  }

  /** Whether a move to a region leaves nothing of any branch behind. */
  haveArrivedIn(region: RegionId): boolean {
    return [...this.opened.values()].every(({ driver }) => driver.hasArrivedIn(region));
  }

  private get named(): readonly Branch[] {
    return branchesOf(this.options.role.record);
  }

  private look(): void {
    for (const [name, { line, driver }] of [...this.opened]) {
      if (this.named.some((branch) => branch.name === name && branch.origin === line.origin)) {
        driver.look();
        continue;
      }
      this.opened.delete(name);
      driver.close();
    }
  }

  private write(): void {
    const { context, role } = this.options;
    if (role.phase !== 'writing' || context.branches?.goesOn() !== true) return;
    for (const branch of this.named) {
      if (!context.branches.isWritten(branch.origin) || !this.chance.perMille(writesPerMille)) continue;
      const open = this.opened.get(branch.name) ?? this.open(branch);
      if (open.driver.phase !== 'writing') open.driver.want();
      else if (role.suspendedMs === null) this.writeTo(open);
    }
  }

  private writeTo({ line, volume }: OpenBranch): void {
    const { context, region, me, writer } = this.options;
    const { reign } = volume;
    if (reign === null || !reign.hasRoom) return;
    this.writes += 1;
    const writeId = `b${line.origin}-${me.incarnation.replaceAll('.', '-')}-${this.writes}`;
    const write = drawWrite(this.chance, writeId);
    const witness = context.witness.branch(line.origin);
    witness.issued(writeId, write.parts.length);
    volume.execute(reign, write, (executed) => {
      if (executed.kind !== 'committed') return;
      witness.acknowledged({ writer, region, writeId, ...executed });
    });
  }

  private open({ name, origin }: Branch): OpenBranch {
    const { runtime, context, time, links, region, role, store, proofs, me } = this.options;
    const line = { branch: name, origin };
    const volume = new SimVolume(runtime, context, time, links, region);
    const nodes = recoveryNodes(links, time, context, region, this.patience);
    const driver = new BranchDriver({
      line,
      me,
      main: role,
      store,
      nodes: {
        get membership() {
          return links.membership;
        },
        get nodes() {
          return links.nodes;
        },
        ask: nodes.ask,
        request: (node, request, timeoutMs) => links.request(node, request, timeoutMs),
      },
      volume,
      watchProofs: (onProof) => proofs.watch(onProof),
      answerWaitMs,
      // Gateways hear no reports here (G70).
      owedBytes: () => 0,
      metrics: { controlUpdate: () => undefined },
      log: silentLog,
      onChange: () => undefined,
      runtime: time,
      recovery: () => ({
        timeoutMs: this.patience.within(context.recoveryMs),
        fetchBytesMax: context.bounds.fetchBytesMax,
      }),
    });
    const open = { line, driver, volume };
    this.opened.set(name, open);
    driver.look();
    return open;
  }

  /** Asks a node where a branch stands, and reads a page there from that one and from another. */
  private read(): void {
    const { links } = this.options;
    const { named, chance } = this;
    if (named.length === 0) return;
    const { name: branch, origin } = chance.pick(named);
    const [first, second] = chance.shuffle(links.nodes);
    if (first === undefined || second === undefined) return;
    const page = chance.pick(workloadPages);
    const request = pathRequest(branch, null);
    links.ask(first, request, answerMs, (reply) => {
      if (reply.kind !== 'fetched' || !reply.forks.some(({ epoch }) => epoch === origin)) return;
      const { head, vdl: readPoint } = reply;
      for (const node of [first, second]) this.readAt(node, { head, readPoint, page });
    });
  }

  private readAt(
    node: NodeId,
    { head, readPoint, page }: { readonly head: Epoch; readonly readPoint: Lsn; readonly page: PageNo },
  ): void {
    const { links, context, region } = this.options;
    links.ask(node, { kind: 'readPages', head, readPoint, pages: [page] }, answerMs, (reply) => {
      if (reply.kind === 'pages')
        context.witness.pageRead(`${region}/${node}`, head, readPoint, page, reply.pages[0] ?? null);
    });
  }
}
