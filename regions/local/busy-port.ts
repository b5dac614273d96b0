/** Whether a port can be had. */
import { createServer } from 'node:net';

/** True when something else listens on the loopback port. */
export function isBusy(port: number): Promise<boolean> {
  return new Promise((done) => {
    const server = createServer();
    server.once('error', () => done(true));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => done(false)));
  });
}
