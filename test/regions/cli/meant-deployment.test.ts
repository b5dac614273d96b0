/** Commands that send SQL by the files of a deployment do not send it to another one that listens at the same address. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { gatewayOf, targetOf } from '../../../regions/cli/ask/admin-client.ts';
import { prepareDeployment } from '../../../regions/local/data-directory.ts';
import { AskedGateway } from './asked-gateway.ts';

const dataDir = mkdtempSync(join(tmpdir(), 'sx-meant-'));
let asked: AskedGateway;
beforeAll(async () => {
  asked = await AskedGateway.start();
  prepareDeployment({ dataDir, regions: ['a'] });
});
afterAll(() => {
  asked.close();
  rmSync(dataDir, { recursive: true, force: true });
});

/** The deployment of `dataDir`, whose gateway's address is taken by `asked`. */
function target() {
  const own = targetOf({ data: dataDir });
  const endpoints = own.endpoints.map((place) => ({ ...place, gateways: [{ name: 'g1', url: asked.url }] }));
  return { ...own, endpoints };
}

test('a gateway that says it is of another deployment gets nothing', async () => {
  const body = { code: 'OTHER_CLUSTER', message: 'This is a process of the deployment c2' };
  asked.replies['/v1/status'] = () => ({ status: 421, body });
  await expect(gatewayOf(target(), 'a')).rejects.toMatchObject({
    code: 'OTHER_CLUSTER',
    message: expect.stringContaining('c2'),
  });
});

test('nor does one that does not know the secret', async () => {
  asked.replies['/v1/status'] = () => ({
    status: 401,
    body: { code: 'CLUSTER_SECRET_WRONG', message: 'no' },
  });
  await expect(gatewayOf(target(), 'a')).rejects.toMatchObject({
    code: 'OTHER_CLUSTER',
    message: expect.stringMatching(/another deployment listens at this address.*--data/),
  });
});

test('one of the deployment itself does, and where nobody answers the statement tells so', async () => {
  asked.replies['/v1/status'] = () => ({ body: asked.status() });
  expect(await gatewayOf(target(), 'a')).toBe(asked.url);
  asked.close();
  expect(await gatewayOf(target(), 'a')).toBe(asked.url);
});
