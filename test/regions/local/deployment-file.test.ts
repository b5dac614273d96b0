import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { KeptDeployment, readDeployment } from '../../../regions/local/deployment-file.ts';
import { withoutRegion, withRegion } from '../../../regions/local/layout/core/region-slots.ts';
import { type Deployment, deploymentSchema } from '../../../regions/local/layout/local-layout.ts';
import { type ProcessSpec, sextantProcesses } from '../../../regions/local/layout/local-processes.ts';
import { LocalMembers } from '../../../regions/local/local-members.ts';

let dataDir: string;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'sx-kept-'));
});
afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

const programs = { storage: ['storage'], agent: ['agent'], gateway: ['gateway'], endpoint: ['endpoint'] };

function kept(): KeptDeployment {
  const deployment = deploymentSchema.parse({
    version: 1,
    cluster: 'shop',
    secret: 's'.repeat(32),
    natsToken: 'token',
    regions: ['us', 'eu'],
    basePort: 29_300,
    nats: { servers: ['nats://127.0.0.1:29222'] },
  });
  return new KeptDeployment({ dataDir, deployment, jaeger: undefined, dialled: () => [] });
}

/** Replaces a node of `region` as the supervisor does, with nothing started. */
function members(of: KeptDeployment) {
  const run: string[] = [];
  const supervisor = {
    extend: async (specs: readonly ProcessSpec[]) => void run.push(...specs.map(({ id }) => `+${id}`)),
    dismiss: async (ids: readonly string[]) => {
      run.push(...ids.map((id) => `-${id}`));
      return ids;
    },
  };
  const onProgress = () => undefined;
  return {
    run,
    local: new LocalMembers({
      kept: of,
      dataDir,
      supervisor: supervisor as never,
      programs,
      jaeger: undefined,
      onProgress,
    }),
  };
}

const storageOf = (deployment: Deployment, region: string): readonly (string | number | undefined)[] =>
  sextantProcesses(deployment, dataDir, programs)
    .filter((spec) => spec.region === region && spec.role === 'storage')
    .map(({ id, ports }) => `${id}:${ports[0]}`);

test('a region that comes or goes after a node was replaced leaves that node where it is', async () => {
  const deployment = kept();
  const { run, local } = members(deployment);
  expect(await local.answer({ act: 'add', region: 'eu', out: 'n6' })).toEqual({
    node: 'n7',
    address: '127.0.0.1:29327',
  });
  const after = ['n1', 'n2', 'n3', 'n4', 'n5', 'n7'];
  expect(await local.answer({ act: 'settle', region: 'eu', members: after })).toEqual({ stopped: 'n6' });
  expect(run).toEqual(['+eu/n7', '-eu/n6']);
  const more = withRegion(deployment.now, 'ap', { headless: false, ownServers: false });
  if (more.kind !== 'placed') throw new Error(more.reason);
  deployment.keep(more.placed);
  deployment.keep(withoutRegion(deployment.now, 'us', { ownServers: false }));
  const written = readDeployment(dataDir);
  expect(written?.regions).toEqual(['eu', 'ap']);
  // Ports stay with the region, whatever place it has now.
  expect(storageOf(deployment.now, 'eu')).toEqual(after.map((name) => `eu/${name}:2932${name.slice(1)}`));
  expect(written?.nodes).toEqual({ eu: after });
});

test('a node is not replaced while a region comes or goes', async () => {
  const deployment = kept();
  const { local } = members(deployment);
  let done = (): void => undefined;
  const under = deployment.alone(
    () =>
      new Promise<void>((resolve) => {
        done = resolve;
      }),
  );
  const add = { act: 'add', region: 'eu', out: 'n6' };
  expect(await local.answer(add)).toMatchObject({ error: expect.stringContaining('coming or going') });
  expect(deployment.now.replacing).toBeUndefined();
  done();
  await under;
  expect(await local.answer(add)).toMatchObject({ node: 'n7' });
});
