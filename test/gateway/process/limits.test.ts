import { expect, test } from 'vitest';
import { gatewayConfigSchema } from '../../../gateway/process/config.ts';
import { checkSetup } from '../../../gateway/process/setup.ts';
import { databaseLimitNames } from '../../../gateway/session/core/service-limits.ts';
import { silent } from '../../storage/region-harness.ts';
import { configOf } from './config-of.ts';

function read(changes: object) {
  return gatewayConfigSchema.safeParse(configOf(changes));
}

test('what an operator sets of the limits of databases is what holds, with every engine', () => {
  const limits = Object.fromEntries(databaseLimitNames.map((name, at) => [name, 100 + at]));
  for (const more of [{}, { engine: 'postgres', postgres: { listen: '127.0.0.1:7160' } }]) {
    const parsed = read({ limits, ...more });
    if (!parsed.success) throw parsed.error;
    const setup = checkSetup(parsed.data, {
      log: silent,
      version: 'test',
      onFatal: (error) => {
        throw error;
      },
    });
    setup.closeKeys();
    expect(setup.limits).toMatchObject(limits);
    for (const name of databaseLimitNames) expect(setup.protocolLimits).not.toHaveProperty(name);
  }
});

test('a limit that there is not is refused with those that there are', () => {
  const { error } = read({ limits: { statementSeconds: 60 } });
  expect(error?.issues[0]?.message).toContain('statementMs');
});
