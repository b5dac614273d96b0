/** Whether ports can be had. */
import { createServer } from 'node:net';
import type { ProcessSpec } from './layout/local-processes.ts';

/** True when something else listens on the loopback port. */
export function isBusy(port: number): Promise<boolean> {
  return new Promise((done) => {
    const server = createServer();
    server.once('error', () => done(true));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => done(false)));
  });
}

/** Ports of `processes` that others hold, who wants them, and the way out; undefined when all are free. */
export async function busyPorts(
  processes: readonly Pick<ProcessSpec, 'id' | 'ports'>[],
): Promise<string | undefined> {
  const wanted = processes.flatMap(({ id, ports }) => ports.map((port) => ({ id, port })));
  const checked = await Promise.all(
    wanted.map(async (entry) => ({ ...entry, busy: await isBusy(entry.port) })),
  );
  const busy = checked.filter((entry) => entry.busy);
  if (busy.length === 0) return undefined;
  const named = busy.slice(0, 4).map(({ id, port }) => `${port} (for ${id})`);
  const more = busy.length > named.length ? ` and ${busy.length - named.length} more` : '';
  return `port ${named.join(', ')}${more} is in use by another program: stop it, or choose other ports with --base-port N`;
}
