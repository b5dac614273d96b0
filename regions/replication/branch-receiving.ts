/**
 * Receives the branches that a primary ships, each by a receiver of its own that is like that of `main`. One begins with the first
 * message of its branch and ends when nothing has come for a while, or when the branch is deleted.
 */
import type { BranchName, Runtime } from '../../storage/index.ts';
import type { BranchPlace } from './core/branch-lanes.ts';
import type { Inlet, Receiving, ReceivingOptions } from './receiving.ts';

export const branchReceivingLimits = {
  /** A receiver that has heard nothing for so long ends: its primary has nothing to send, or is gone. */
  silentMs: 60_000,
} as const;

export interface BranchReceivingOptions {
  /** Begins to receive a branch. */
  readonly receive: (own: Pick<ReceivingOptions, 'branch' | 'connection'>) => Receiving;
  readonly publish: Inlet['publish'];
  readonly runtime: Runtime;
}

interface Line {
  readonly run: Receiving;
  readonly arrived: (bytes: Uint8Array) => void;
  heardAtMs: number;
}

export class BranchReceiving {
  private readonly options: BranchReceivingOptions;
  private readonly lines = new Map<BranchName, Line>();
  private known: ReadonlySet<BranchName> = new Set();

  constructor(options: BranchReceivingOptions) {
    this.options = options;
  }

  /** The branches that there are: what others ship is passed over. */
  keep(names: ReadonlySet<BranchName>): void {
    this.known = names;
    const since = this.options.runtime.nowMs() - branchReceivingLimits.silentMs;
    for (const [name, line] of [...this.lines]) {
      if (names.has(name) && line.heardAtMs >= since) continue;
      this.lines.delete(name);
      line.run.close();
    }
  }

  /** A message that carries a branch. */
  arrived(name: BranchName, bytes: Uint8Array): void {
    if (!this.known.has(name)) return;
    const line = this.lines.get(name) ?? this.begin(name);
    line.heardAtMs = this.options.runtime.nowMs();
    line.arrived(bytes);
  }

  /** Where this region is on a branch that it receives now; null for one that it does not. */
  position(name: BranchName): BranchPlace | null {
    const line = this.lines.get(name);
    return line?.run.following === true ? line.run.position : null;
  }

  close(): void {
    for (const { run } of this.lines.values()) run.close();
    this.lines.clear();
  }

  private begin(name: BranchName): Line {
    const { receive, publish, runtime } = this.options;
    let deliver: Parameters<Inlet['subscribe']>[1] = () => undefined;
    const connection: Inlet = {
      publish,
      subscribe: (_, onMessage) => {
        deliver = onMessage;
        return () => {
          deliver = () => undefined;
        };
      },
    };
    const run = receive({ branch: name, connection });
    const line = {
      run,
      arrived: (data: Uint8Array) => deliver({ data }),
      heardAtMs: runtime.nowMs(),
    };
    this.lines.set(name, line);
    return line;
  }
}
