/** Hears of moves that end, from what is kept of them: for metrics. */
import type { KeptOperation } from './core/operation-log.ts';
import type { Operation } from './core/operations.ts';
import type { OperationKeeper } from './operation-store.ts';

export class EndedMoves implements OperationKeeper {
  private readonly store: OperationKeeper;
  private readonly running = new Set<string>();
  private readonly watchers: ((operation: Operation) => void)[] = [];

  /** @param store where they are kept. */
  constructor(store: OperationKeeper) {
    this.store = store;
    this.note(store.kept);
  }

  get kept(): readonly KeptOperation[] {
    return this.store.kept;
  }

  /** Tells `watcher` of every move that ends from now on. */
  watch(watcher: (operation: Operation) => void): void {
    this.watchers.push(watcher);
  }

  keep(operations: readonly KeptOperation[]): void {
    this.store.keep(operations);
    for (const { operation } of operations) {
      if (operation.state === 'running' || !this.running.delete(operation.id)) continue;
      for (const watcher of this.watchers) watcher(operation);
    }
    this.note(operations);
  }

  /** One that ends was seen to run: a move is kept when it begins. */
  private note(operations: readonly KeptOperation[]): void {
    for (const { operation } of operations) if (operation.state === 'running') this.running.add(operation.id);
  }
}
