/** `npm run test:jaeger`: a real deployment with a real Jaeger and Prometheus beside it. */
import { parseArgs } from 'node:util';
import { findJaegerPrograms } from '../../regions/local/programs/jaeger-programs.ts';
import { TestDeployment } from '../system/local-deployment.ts';
import { jaegerChecks } from './checks.ts';

const usage = `npm run test:jaeger -- [--only NAME]... [--writes N] [--base-port N]

Starts three regions with \`sextant up --jaeger\` and runs these checks one by one; the exit code is 1 when one fails.
Skipped, with exit code 0, where Jaeger or Prometheus cannot be found.
${jaegerChecks.map(({ name, promise }) => `  ${name}\n      ${promise}`).join('\n')}
`;

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    writes: { type: 'string', default: '10000' },
    'base-port': { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

/** @returns the exit code */
async function main(): Promise<number> {
  const unknown = values.only?.find((name) => !jaegerChecks.some((check) => check.name === name));
  const writes = Number(values.writes);
  if (unknown !== undefined || !(Number.isInteger(writes) && writes > 0)) {
    process.stderr.write(
      `${unknown === undefined ? '--writes is a whole number' : `there is no check ${unknown}`}\n\n${usage}`,
    );
    return 2;
  }
  const found = await findJaegerPrograms();
  if ('error' in found) {
    process.stdout.write(`skipped: ${found.error}\n`);
    return 0;
  }
  const basePort = values['base-port'];
  const deployment = await TestDeployment.start({
    regions: ['us-east-1', 'eu-west-1', 'ap-northeast-1'],
    flags: ['--jaeger', '--timeout', '240'],
    ...(basePort !== undefined && { basePort: Number(basePort) }),
  });
  let failed = 0;
  try {
    for (const check of jaegerChecks) {
      if (values.only !== undefined && !values.only.includes(check.name)) continue;
      const beganMs = performance.now();
      const verdict = await deployment
        .settled()
        .then(() => check.run(deployment, writes))
        .catch((error: unknown) => ({
          pass: false,
          seen: [`✗ ${error instanceof Error ? error.message : String(error)}`],
        }));
      failed += verdict.pass ? 0 : 1;
      const seconds = Math.round((performance.now() - beganMs) / 1_000);
      process.stdout.write(
        `${verdict.pass ? 'PASS' : 'FAIL'}  ${check.name} (${seconds} s)\n${verdict.seen.map((line) => `        ${line}\n`).join('')}`,
      );
    }
  } finally {
    await deployment.stop();
  }
  return failed === 0 ? 0 : 1;
}

if (values.help) process.stdout.write(usage);
// Clients of a deployment that has been stopped may hold sockets open.
else process.exit(await main());
