import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, expect, test } from 'vitest';
import { answerHttp } from '../../../storage/node/node-http.ts';
import { nodeId, regionId } from '../../../storage/redo/ids.ts';
import { StorageClient } from '../../../storage/wire/storage-client.ts';
import { MetricRegistry } from '../../../telemetry/index.ts';
import { eventually } from '../region-harness.ts';

const registry = new MetricRegistry();
const server = createServer((request, response) =>
  answerHttp({ kind: 'starting', registry }, request, response),
);
afterAll(() => server.close());

test('a node that is starting says so to whoever asks for a link, who reports no mistake of anybody', async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const reported: string[] = [];
  const client = new StorageClient({
    cluster: 'test',
    secret: 'a secret of the cluster',
    region: regionId('us-east-1'),
    target: { node: nodeId('n1'), az: 'az1', address: `127.0.0.1:${port}` },
    onRefused: (message) => reported.push(message),
  });
  let reason = '';
  await eventually('the node has answered', async () => {
    const answer = await client.request({ kind: 'status' }, 200);
    reason = answer.kind === 'unanswered' ? answer.reason : '';
    return reason.includes('LINK_');
  });
  expect(reason).toContain('LINK_STARTING: this process is starting');
  expect(reported).toEqual([]);
  client.close();
});
