/** `npm run test:console`: the console in Chromium, against a deployment of its own. See README.md. */
import { mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { TestDeployment } from '../system/local-deployment.ts';
import { acts } from './acts.ts';
import { ConsoleBrowser, findChromium } from './browser.ts';
import { looks } from './looks.ts';
import { costOf, median, report, staleness } from './measure.ts';
import type { Stage } from './stage.ts';

const regions = ['us-east-1', 'eu-west-1', 'ap-northeast-1'] as const;
/** What is promised of a page. */
const staleMsMax = 500;
const costPercentMax = 3;

const { values } = parseArgs({
  options: {
    pictures: { type: 'string', default: join(tmpdir(), 'sextant-console') },
    'base-port': { type: 'string' },
    only: { type: 'string' },
    measure: { type: 'boolean', default: false },
  },
});
const say = (text: string): void => void process.stderr.write(`${text}\n`);

async function measure(stage: Stage): Promise<boolean> {
  const [primary, secondary] = regions;
  const own = await staleness(stage, primary, primary);
  say(
    `behind the truth, on the writer's gateway: the page ${report(own.page)}; its stream ${report(own.stream)}`,
  );
  const far = await staleness(stage, primary, secondary);
  say(
    `behind the truth, on one of ${secondary}: the page ${report(far.page)}; its stream ${report(far.stream)}`,
  );
  const cost = await costOf(stage, primary);
  const difference = median(cost.withConsoles) - median(cost.alone);
  const turns = (shares: readonly number[]): string =>
    shares.map((share) => `${share.toFixed(1)} %`).join(', ');
  say(`the writer alone: ${turns(cost.alone)}; with ${cost.consoles} consoles: ${turns(cost.withConsoles)}`);
  say(
    `${cost.consoles} consoles cost ${difference.toFixed(2)} % of one core, ${Math.round(cost.bytesPerConsoleSecond / 1_024)} KiB/s each`,
  );
  const p95 = (values: readonly number[]): number =>
    [...values].sort((a, b) => a - b)[Math.floor(values.length * 0.95)] ?? Infinity;
  return p95(own.page) < staleMsMax && p95(far.page) < staleMsMax && difference < costPercentMax;
}

async function play(stage: Stage): Promise<boolean> {
  let passed = true;
  for (const { name, run } of [...looks, ...acts]) {
    if (values.only !== undefined && !name.includes(values.only)) continue;
    try {
      await run(stage);
      console.log(`✓ ${name}`);
    } catch (error) {
      passed = false;
      console.log(`✗ ${name}\n  ${error instanceof Error ? error.message : error}`);
    }
  }
  return passed;
}

const path = findChromium();
if (path === null) {
  say('skipped: there is no Chromium at /usr/bin/chromium; install it, or name another in $CHROMIUM');
} else {
  const pictures = resolve(values.pictures);
  mkdirSync(pictures, { recursive: true });
  const port = values['base-port'];
  const deployment = await TestDeployment.start({
    regions,
    ...(port !== undefined && { basePort: Number(port) }),
  });
  const browser = await ConsoleBrowser.start(path);
  try {
    const stage: Stage = { deployment, browser, pictures };
    await deployment.settled();
    const passed = values.measure ? await measure(stage) : await play(stage);
    say(`pictures: ${pictures}`);
    process.exitCode = passed ? 0 : 1;
  } finally {
    await browser.close();
    await deployment.stop();
  }
}
