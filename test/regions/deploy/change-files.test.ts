import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addRegionFiles, removeRegionFiles } from '../../../regions/deploy/change-files.ts';
import { checkFiles } from '../../../regions/deploy/check-files.ts';
import { edited } from '../../../regions/deploy/edit-text.ts';
import { initialize } from '../../../regions/deploy/initialize.ts';
import { loadMachineFile } from '../../../regions/deploy/region-file.ts';

const dir = mkdtempSync(join(tmpdir(), 'sextant-change-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const gateway = [join(import.meta.dirname, '../../../gateway/main.ts')];
const [east, europe, asia] = ['us-east-1', 'eu-west-1', 'ap-northeast-1'] as const;
const fileOf = (name: string, file = 'region.yaml') => join(dir, name, file);
const textOf = (name: string, file?: string) => readFileSync(fileOf(name, file), 'utf8');
const asked = { dataDir: '/var/lib/sextant', basePort: 7000, gateways: 1 };

beforeAll(async () => {
  const made = await initialize({
    ...asked,
    engine: 'sqlite',
    endpoints: false,
    cluster: 'shop',
    regions: [east, europe],
    hosts: { [east]: '10.0.0.1', [europe]: '10.0.0.2', witness: '10.0.0.9' },
    dir,
    force: false,
  });
  if (made.kind === 'refused') throw new Error(made.reason);
  // What an operator has changed stays.
  const text = textOf(east);
  writeFileSync(fileOf(east), text.replace('gateways:', '# Ours.\npgBytes: 1073741824\ngateways:'));
}, 60_000);

describe('the files of a deployment, when regions come and go', { timeout: 120_000 }, () => {
  test('a region that comes gets a folder that passes with the others, in which three lines have changed', async () => {
    const before = textOf(east);
    const added = await addRegionFiles(dir, { ...asked, region: asia, hosts: { [asia]: '10.0.0.3' } });
    expect(added).toMatchObject({ kind: 'changed', file: fileOf(asia), regions: [east, europe, asia] });
    const after = textOf(east);
    expect(after).toContain(`regions: [${east}, ${europe}, ${asia}]`);
    expect(after).toContain(`voters: [${east}, ${europe}, witness]`);
    const isNew = (line: string) => !before.includes(`${line}\n`);
    expect(after.split('\n').filter((line) => isNew(line) && !line.startsWith('#'))).toHaveLength(2);
    expect(after).toContain('# Ours.');
    const files = [fileOf(east), fileOf(europe), fileOf(asia), fileOf('witness', 'witness.yaml')];
    expect(await checkFiles(files, gateway)).toEqual({ problems: [], absent: [] });
  });

  test('a region on a machine of another has ports of its own, and one without gateways passes', async () => {
    const added = await addRegionFiles(dir, {
      ...asked,
      region: 'sa-east-1',
      gateways: 0,
      hosts: { 'sa-east-1': '10.0.0.3' },
    });
    expect(added.kind).toBe('changed');
    const loaded = loadMachineFile(fileOf('sa-east-1'));
    expect(loaded).toMatchObject({
      value: {
        region: { gateways: [], agent: { address: '10.0.0.3:7030' }, nats: { address: '10.0.0.3:7032' } },
      },
    });
    const files = [fileOf(east), fileOf(europe), fileOf(asia), fileOf('sa-east-1')];
    const { problems } = await checkFiles([...files, fileOf('witness', 'witness.yaml')], gateway);
    expect(problems).toEqual([]);
  });

  test('a region that kept no copy of the record leaves nothing behind', async () => {
    const removed = await removeRegionFiles(dir, { region: 'sa-east-1', voteAt: undefined });
    expect(removed).toMatchObject({ kind: 'changed', file: null, regions: [east, europe, asia] });
    expect(existsSync(fileOf('sa-east-1'))).toBe(false);
    expect(existsSync(fileOf('sa-east-1', 'region.yaml.left'))).toBe(true);
    expect(await removeRegionFiles(dir, { region: 'sa-east-1', voteAt: undefined })).toMatchObject({
      reason: expect.stringContaining('there is no file of a region sa-east-1'),
    });
  });

  test('the vote of a region that is lost goes on at another machine, under its name (R57)', async () => {
    const removed = await removeRegionFiles(dir, { region: europe, voteAt: '10.0.0.7' });
    expect(removed).toMatchObject({
      kind: 'changed',
      file: fileOf(europe, 'witness.yaml'),
      regions: [east, asia],
    });
    const voter = loadMachineFile(fileOf(europe, 'witness.yaml'));
    expect(voter).toMatchObject({
      value: {
        kind: 'witness',
        witness: {
          witness: europe,
          regions: [east, asia],
          voters: [east, europe, 'witness'],
          dataDir: '/var/lib/sextant/nats',
          nats: { address: '10.0.0.7:7012', routeAddress: '10.0.0.7:7013' },
        },
      },
    });
    expect(textOf(east)).toContain('10.0.0.7:7013');
    const files = [
      fileOf(east),
      fileOf(asia),
      fileOf(europe, 'witness.yaml'),
      fileOf('witness', 'witness.yaml'),
    ];
    expect(await checkFiles(files, gateway)).toEqual({ problems: [], absent: [] });
  });

  test('what cannot be is refused with the reason, and nothing is written', async () => {
    const add = (region: string, hosts = {}) => addRegionFiles(dir, { ...asked, region, hosts });
    expect(await add(asia)).toMatchObject({
      reason: expect.stringContaining('is one of the regions already'),
    });
    expect(await add('sa-east-1')).toMatchObject({
      reason: expect.stringContaining('no machine for sa-east-1a'),
    });
    expect(await addRegionFiles(join(dir, 'nowhere'), { ...asked, region: asia, hosts: {} })).toMatchObject({
      reason: expect.stringContaining('there is no folder'),
    });
    const voteless = await removeRegionFiles(dir, { region: asia, voteAt: '10.0.0.8' });
    expect(voteless).toMatchObject({ reason: expect.stringContaining('no vote to move') });
    expect(textOf(asia)).toContain(`regions: [${east}, ${asia}]`);
  });
});

describe('an edit of a file', () => {
  const text =
    'a: 1 # one\nregions: [x, y] # all\nnats:\n  routes:\n    - { region: x, address: h:1 } # x\n    - { region: y, address: h:2 }\nz: 2\n';

  test('changes the values it names and leaves every other byte', () => {
    const routes = [{ region: 'x', address: 'g:9' }];
    expect(edited(text, { regions: ['x'], voters: undefined, routes })).toBe(
      'a: 1 # one\nregions: [x] # all\nnats:\n  routes:\n    - { region: x, address: g:9 } # x\nz: 2\n',
    );
  });

  test('writes voters with their meaning, and takes them away again', () => {
    const named = edited('regions: [x]\nz: 2\n', { regions: ['x', 'y'], voters: ['x', 'y', 'w'] });
    expect(named).toMatch(/^regions: \[x, y\]\n\n# Once regions .*\n(#.*\n)*voters: \[x, y, w\]\nz: 2\n$/);
    expect(edited(named, { regions: ['x', 'y'], voters: ['y'] })).toContain('voters: [y]\nz: 2');
    expect(edited(named, { regions: ['x'], voters: undefined })).not.toContain('voters:');
  });
});

test('a region that comes has PostgreSQL databases where the others have them, and the same users', async () => {
  const own = mkdtempSync(join(tmpdir(), 'sextant-change-postgres-'));
  try {
    const made = await initialize({
      ...asked,
      engine: 'postgres',
      endpoints: true,
      cluster: 'shop',
      regions: [east, europe],
      hosts: { [east]: '10.0.0.1', [europe]: '10.0.0.2', witness: '10.0.0.9' },
      dir: own,
      force: false,
    });
    expect(made.kind).toBe('made');
    const added = await addRegionFiles(own, { ...asked, region: asia, hosts: { [asia]: '10.0.0.3' } });
    if (added.kind === 'refused') throw new Error(added.reason);
    // Its endpoints lead to the gateways of the others, whose certificates have to name its host from now on.
    expect(added.kind === 'changed' && added.certified).toEqual([east, europe]);
    const users = (region: string) =>
      /users: \[.*?\]/.exec(readFileSync(join(own, region, 'region.yaml'), 'utf8'))?.[0];
    expect(users(asia)).toContain('SCRAM-SHA-256$');
    expect(users(asia)).toBe(users(east));
    const files = [east, europe, asia].map((region) => join(own, region, 'region.yaml'));
    expect((await checkFiles(files, gateway)).problems).toEqual([]);
  } finally {
    rmSync(own, { recursive: true, force: true });
  }
}, 120_000);
