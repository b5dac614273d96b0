/**
 * Stands in for a storage node, agent or gateway: reads its region's file, listens where that says and answers /readyz.
 * The file `data/ended-badly` in its directory makes it end at once, saying so.
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { loadMachineFile } from '../../../regions/deploy/region-file.ts';

const { values } = parseArgs({
  options: { config: { type: 'string' }, node: { type: 'string' }, name: { type: 'string' } },
});
const loaded = loadMachineFile(values.config ?? '');
if (loaded.kind === 'invalid' || loaded.value.kind !== 'region') throw new Error('not the file of a region');
const { region } = loaded.value;
const entries = [
  ...region.nodes.filter(({ node }) => node === values.node),
  ...region.gateways.filter(({ gateway }) => gateway === values.name),
];
const listen = (entries[0] ?? region.agent).address;
if (existsSync(join('data', 'ended-badly'))) {
  console.log('cannot go on: the disk is upside down');
  process.exit(3);
}
mkdirSync('data', { recursive: true });
writeFileSync(join('data', `written-by-${process.pid}`), '');
const status = {
  cluster: 'fake',
  epoch: 1,
  primary: region.region,
  state: 'stable',
  regions: [
    {
      name: region.region,
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
const [host, port] = listen.split(':');
server.listen(Number(port), host);
process.on('SIGTERM', () => process.exit(0));
