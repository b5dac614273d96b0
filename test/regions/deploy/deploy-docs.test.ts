import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { buildProgram } from '../../../regions/cli/main.ts';
import { gatewayStop, gatewayStopMs } from '../../../regions/deploy/core/gateway-stop.ts';
import { regionKeys } from '../../../regions/deploy/core/region-keys.ts';

const regions = join(import.meta.dirname, '../../../regions');
const page = readFileSync(join(regions, 'DEPLOY.md'), 'utf8');

test('DEPLOY.md has every key of a region’s file, in the words of its comment', () => {
  const rows = [...page.matchAll(/^\| `([a-zA-Z0-9.[\]]+)` \| (.+) \|$/gm)].map(([, key, meaning]) => ({
    key,
    meaning,
  }));
  expect(rows).toEqual(regionKeys);
});

test('each systemd unit runs a command that there is, with the options that it takes', () => {
  const dir = join(regions, 'deploy/systemd');
  const units = readdirSync(dir);
  expect(units).toHaveLength(5);
  for (const unit of units) {
    const text = readFileSync(join(dir, unit), 'utf8');
    const [, name = '', rest = ''] = /^ExecStart=.*sextant\.mjs (\S+) (.*)$/m.exec(text) ?? [];
    const command = buildProgram().commands.find((one) => one.name() === name);
    const known = command?.options.map(({ long }) => long) ?? [];
    expect(known).toEqual(expect.arrayContaining(rest.match(/--\S+/g) ?? ['none']));
    expect(page).toContain(`\`sextant ${name} `);
    expect(text).toContain('\nStartLimitIntervalSec=0\n');
    const stopMs = 1_000 * Number(/^TimeoutStopSec=(\d+)$/m.exec(text)?.[1]);
    // A gateway that is killed before it has given its lease back makes others wait for that.
    expect(stopMs).toBeGreaterThan(gatewayStopMs(gatewayStop.clientsMsMax));
    for (const hardened of ['NoNewPrivileges=yes', 'ProtectSystem=strict', 'User=sextant', 'Restart=always'])
      expect(text).toContain(`\n${hardened}\n`);
  }
});
