/** Branches for tests of gateways: made in the control record and on the storage nodes, as a region's agent makes them. */
import { changeControl } from '../../../regions/control/control-link.ts';
import { branchNamed } from '../../../regions/control/core/branch-list.ts';
import { createBranch, deleteBranch } from '../../../regions/control/core/branch-record.ts';
import type { Fork } from '../../../storage/history/epoch-tree.ts';
import { RegionClient } from '../../../storage/index.ts';
import { type BranchName, branchName, epoch, type Lsn, lsn, mainBranch } from '../../../storage/redo/ids.ts';
import { cluster, eventually, region, secret } from '../../storage/region-harness.ts';
import type { GatewayWorld } from '../process/gateway-harness.ts';

/** What is durable on a branch, as its nodes know. */
export interface Place {
  readonly head: number;
  readonly vdl: Lsn;
}

export class BranchWorld {
  private readonly world: GatewayWorld;
  private readonly nodes: RegionClient;

  constructor(world: GatewayWorld) {
    this.world = world;
    const nodes = world.storage.nodes.map(({ config: { node, az, listen } }) => ({
      node,
      az,
      address: listen,
    }));
    this.nodes = new RegionClient({ cluster, secret, region, nodes });
  }

  /** Where a branch is durable now, by the node that knows most. */
  async placeOf(branch: BranchName = mainBranch): Promise<Place & { readonly forks: readonly Fork[] }> {
    const answers = await Promise.all(
      this.nodes.nodes.map((node) =>
        this.nodes.request(
          node,
          {
            kind: 'fetch',
            branch,
            head: null,
            from: lsn(Number.MAX_SAFE_INTEGER),
            bytesMax: 1,
            waitMs: 0,
            durableOnly: true,
            known: { head: epoch(0), vdl: lsn(0) },
          },
          2_000,
        ),
      ),
    );
    const found = answers.flatMap((answer) => (answer.kind === 'fetched' ? [answer] : []));
    return found.reduce((best, one) =>
      one.head > best.head || (one.head === best.head && one.vdl > best.vdl) ? one : best,
    );
  }

  /** Makes a branch of main as it is durable now. @param isInstalled false leaves the nodes to themselves. */
  async create(name: string, isInstalled = true): Promise<void> {
    // The nodes hear of the last commit with the next one, or a moment later.
    await new Promise((resolve) => setTimeout(resolve, 300));
    const { head, vdl } = await this.placeOf();
    const store = this.world.store();
    const changed = await changeControl(store, ({ record }) =>
      createBranch(record, {
        from: mainBranch,
        name: branchName(name),
        parent: epoch(head),
        forkLsn: vdl,
        createdAtMs: Date.now(),
      }),
    );
    store.close();
    if (changed.kind !== 'changed') throw new Error(changed.reason);
    if (isInstalled) await this.install(name);
  }

  /** Teaches four nodes or more the fork that a branch begins with. */
  async install(name: string): Promise<void> {
    const branch = branchNamed((await this.world.record()).record, name);
    if (branch === undefined) throw new Error(`there is no branch ${name}`);
    const { forks } = await this.placeOf();
    const fork: Fork = {
      epoch: branch.origin,
      branch: branch.name,
      parent: branch.parent,
      forkLsn: branch.forkLsn,
    };
    await eventually(`four nodes know ${name}`, async () => {
      const answers = await Promise.all(
        this.nodes.nodes.map((node) =>
          this.nodes.request(
            node,
            {
              kind: 'fork',
              authority: branch.origin,
              forks: [...forks.filter((one) => one.epoch < branch.origin), fork],
            },
            2_000,
          ),
        ),
      );
      return answers.filter(({ kind }) => kind === 'forked').length >= 4;
    });
  }

  /** Seals three nodes against the reign of main, as a failover does that does not wait for the lease (R28). */
  async sealMain(): Promise<void> {
    const { record } = await this.world.record();
    const request = { kind: 'seal', branch: mainBranch, epoch: epoch(record.epoch + 1) } as const;
    const asked = this.nodes.nodes.slice(0, 3).map((node) => this.nodes.request(node, request, 2_000));
    const answers = await Promise.all(asked);
    if (answers.some(({ kind }) => kind !== 'sealed')) throw new Error(JSON.stringify(answers));
  }

  async delete(name: string): Promise<void> {
    const store = this.world.store();
    const changed = await changeControl(store, ({ record }) =>
      deleteBranch(record, { name: branchName(name) }),
    );
    store.close();
    if (changed.kind !== 'changed') throw new Error(changed.reason);
  }

  close(): void {
    this.nodes.close();
  }
}
