/** `node test/faults/main.ts`: what one client can do to the others, tried on a deployment of its own. */
import { parseArgs } from 'node:util';
import type { Check, Verdict } from './check.ts';
import { heavyStatements } from './checks/heavy-statements.ts';
import { heldResources } from './checks/held-resources.ts';
import { otherRegions } from './checks/other-regions.ts';
import { Stage } from './stage.ts';

const checks: readonly Check[] = [...otherRegions, ...heavyStatements, ...heldResources];
/** A check that takes longer has failed; the next one begins on gateways that are started anew. */
const checkMs = 300_000;

const usage = `node test/faults/main.ts [--only NAME]... [--json] [--base-port N]

Starts three regions and runs these checks one by one; the exit code is 1 when one fails.
${checks.map(({ name, promise }) => `  ${name}\n      ${promise}`).join('\n')}
`;

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    json: { type: 'boolean', default: false },
    'base-port': { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

interface Result extends Verdict {
  readonly name: string;
  readonly seconds: number;
}

async function limited(check: Check, stage: Stage): Promise<Verdict> {
  let timer: NodeJS.Timeout | undefined;
  const tooLong = new Promise<Verdict>((resolve) => {
    const seen = [`✗ no end after ${checkMs / 1_000} s`];
    timer = setTimeout(() => resolve({ pass: false, seen }), checkMs);
  });
  try {
    return await Promise.race([check.run(stage), tooLong]);
  } catch (error) {
    return { pass: false, seen: [`✗ ${error instanceof Error ? error.message : String(error)}`] };
  } finally {
    clearTimeout(timer);
  }
}

/** @returns the exit code */
async function main(): Promise<number> {
  const unknown = values.only?.find((name) => !checks.some((check) => check.name === name));
  if (unknown !== undefined) {
    process.stderr.write(`there is no check ${unknown}\n\n${usage}`);
    return 2;
  }
  const basePort = values['base-port'];
  const stage = await Stage.open(basePort === undefined ? undefined : Number(basePort));
  const results: Result[] = [];
  try {
    for (const check of checks) {
      if (values.only !== undefined && !values.only.includes(check.name)) continue;
      process.stderr.write(`${check.name} …\n`);
      const beganMs = performance.now();
      await stage.reset().catch(async () => {
        await stage.restartGateways();
        await stage.reset();
      });
      const verdict = await limited(check, stage);
      const seconds = Math.round((performance.now() - beganMs) / 1_000);
      results.push({ name: check.name, seconds, ...verdict });
      if (!values.json)
        process.stdout.write(
          `${verdict.pass ? 'PASS' : 'FAIL'}  ${check.name} (${seconds} s)\n${verdict.seen.map((line) => `        ${line}\n`).join('')}`,
        );
    }
  } finally {
    await stage.close();
  }
  if (values.json) process.stdout.write(`${JSON.stringify(results, null, 1)}\n`);
  return results.every(({ pass }) => pass) ? 0 : 1;
}

if (values.help) process.stdout.write(usage);
// A check that never ended may hold sockets open.
else process.exit(await main());
