/**
 * One connection for each secondary that all lanes of branches to it share. A lane that begins anew gets a new one, in case the old
 * one is what stands still; the others go on with what they have until they end.
 */
import type { Outlet } from './shipping.ts';

interface Shared {
  readonly outlet: Outlet;
  users: number;
}

export class SharedOutlets {
  private readonly open: (purpose: string) => Outlet;
  private readonly newest = new Map<string, Shared>();

  constructor(open: (purpose: string) => Outlet) {
    this.open = open;
  }

  /** The connection of that purpose; it is closed once all that were given it have closed it. */
  take(purpose: string): Outlet {
    const shared = this.newest.get(purpose) ?? { outlet: this.open(purpose), users: 0 };
    this.newest.set(purpose, shared);
    shared.users += 1;
    let isOpen = true;
    return {
      get maxPayloadBytes() {
        return shared.outlet.maxPayloadBytes;
      },
      publish: (subject, bytes) => shared.outlet.publish(subject, bytes),
      close: async () => {
        if (!isOpen) return;
        isOpen = false;
        shared.users -= 1;
        if (this.newest.get(purpose) === shared) this.newest.delete(purpose);
        if (shared.users === 0) await shared.outlet.close();
      },
    };
  }
}
