/** The process of a drill's load: its own, so that no work of the drill delays what it times. Does what its parent says, and ends with it. */
import { trustAuthority } from '../../certs/trust-authority.ts';
import { type FromLoad, type ToLoad, toLoadSchema } from '../core/load-messages.ts';
import { LoadClients } from './load-clients.ts';

const reportMs = 100;
const pollMs = 20;

let clients: LoadClients | undefined;

/** A drill that was killed hears nothing any more, and word of that may come after what it is told. */
const tell = (message: FromLoad): void =>
  void process.send?.(message, undefined, undefined, (error) => {
    if (error !== null) process.exit(0);
  });

function tellEnded(): void {
  const entries = clients?.takeEnded() ?? [];
  if (entries.length > 0) tell({ kind: 'wrote', entries: [...entries] });
}

async function drained(load: LoadClients, patienceMs: number): Promise<number> {
  const deadline = performance.now() + patienceMs;
  while (load.waiting.length > 0 && performance.now() < deadline)
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  return load.waiting.length;
}

async function obey(order: ToLoad): Promise<void> {
  if (order.kind === 'open') {
    if (order.authority !== null) trustAuthority(order.authority);
    clients = new LoadClients(order);
    await clients.open();
    return tell({ kind: 'opened' });
  }
  const load = clients;
  if (load === undefined) return tell({ kind: 'failed', message: 'the load was not opened' });
  switch (order.kind) {
    case 'run':
      return load.run();
    case 'pause': {
      load.pause();
      const waiting = await drained(load, order.patienceMs);
      tellEnded();
      if (waiting > 0) tell({ kind: 'wrote', entries: [...load.waiting] });
      return tell({ kind: 'paused', waiting });
    }
    case 'read': {
      const regions = await load.read();
      return tell({ kind: 'rows', regions: [...regions] });
    }
    case 'end':
      await load.close(order.dropTable);
      tell({ kind: 'ended' });
      return process.disconnect();
  }
}

process.on('message', (message) => {
  const order = toLoadSchema.safeParse(message);
  if (!order.success) return tell({ kind: 'failed', message: 'an order that this version cannot read' });
  obey(order.data).catch((error: unknown) =>
    tell({ kind: 'failed', message: error instanceof Error ? error.message : String(error) }),
  );
});
setInterval(tellEnded, reportMs).unref();
// The drill has ended, in whatever way: nothing of it goes on.
process.on('disconnect', () => process.exit(0));
// Ctrl-C in a terminal reaches this process too; the drill still needs it to heal and to account.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => undefined);
