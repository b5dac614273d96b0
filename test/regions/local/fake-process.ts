/**
 * Stands in for a storage node, agent or gateway: reads its configuration, listens where it says and answers /readyz.
 * The file `data/ended-badly` in its directory makes it end at once, saying so.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';

const file = process.argv[process.argv.indexOf('--config') + 1] ?? '';
const config: { listen: string; region: string; node?: string } = JSON.parse(readFileSync(file, 'utf8'));
if (existsSync(join('data', 'ended-badly'))) {
  console.log('cannot go on: the disk is upside down');
  process.exit(3);
}
mkdirSync('data', { recursive: true });
writeFileSync(join('data', `written-by-${process.pid}`), '');
const status = {
  cluster: 'fake',
  epoch: 1,
  primary: config.region,
  state: 'stable',
  regions: [
    {
      name: config.region,
      role: 'primary',
      vdl: 42,
      ready: true,
      nodes: [{ id: 'n1', az: 'a', state: 'running' }],
    },
  ],
};
const server = createServer((request, response) => {
  response.end(request.url === '/v1/status' ? JSON.stringify(status) : 'ready');
});
const [host, port] = config.listen.split(':');
server.listen(Number(port), host);
process.on('SIGTERM', () => process.exit(0));
