/** Finds `nats-server`, or installs it as `sextant up` would, before any test that needs a real one. */
import { findNatsServer } from '../regions/nats/nats-server.ts';

export default async function setup(): Promise<void> {
  const found = await findNatsServer(undefined, (line) => process.stdout.write(`${line}\n`));
  if ('error' in found) throw new Error(found.error);
  process.env.NATS_SERVER = found.path;
}
