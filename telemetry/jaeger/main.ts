/** `node telemetry/jaeger/main.ts --listen 127.0.0.1:16690 --prometheus http://127.0.0.1:9090`: what Jaeger asks instead of Prometheus. */
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { createLogger } from '../log/log.ts';
import { lagServiceName } from '../trace/names.ts';
import { windowServer } from './window-server.ts';

const usage =
  'usage: node telemetry/jaeger/main.ts [--listen HOST:PORT] [--prometheus URL] (defaults: 127.0.0.1:16690, http://127.0.0.1:9090)';
const optionsSchema = z.object({
  listen: z.string().regex(/^.+:\d{1,5}$/),
  prometheus: z.url({ protocol: /^https?$/ }),
});

const { values } = parseArgs({
  options: {
    listen: { type: 'string', default: '127.0.0.1:16690' },
    prometheus: { type: 'string', default: 'http://127.0.0.1:9090' },
  },
});
const options = optionsSchema.safeParse(values);
if (!options.success) fail(`${z.prettifyError(options.error)}\n${usage}`);
const { listen, prometheus } = options.data;
const colon = listen.lastIndexOf(':');

const log = createLogger({ service: lagServiceName, region: 'local', component: 'window' });
const server = windowServer(prometheus);
server.once('error', (error) => fail(`cannot listen at ${listen}: ${error.message}`));
server.listen(Number(listen.slice(colon + 1)), listen.slice(0, colon), () =>
  log.info({ listen, prometheus }, 'window listens'),
);
for (const signal of ['SIGTERM', 'SIGINT'] as const)
  process.once(signal, () => {
    server.close(() => process.exit(0));
    server.closeAllConnections();
  });

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
