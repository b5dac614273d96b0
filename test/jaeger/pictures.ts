/**
 * `npm run pictures:jaeger`: the pictures of telemetry/jaeger/README.md, taken in a real browser of a real deployment on which
 * a region is cut off, a write crosses three regions, and the primary is lost. Look at them before you commit them.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { chromium, type Page } from 'playwright-core';
import { z } from 'zod';
import { TestDeployment } from '../system/local-deployment.ts';
import { SteadyWriter } from '../system/steady-writer.ts';
import { JaegerApi } from './jaeger-api.ts';
import { flaws } from './whole-traces.ts';

const { values } = parseArgs({
  options: {
    browser: { type: 'string', default: '/usr/bin/chromium' },
    out: { type: 'string', default: join(import.meta.dirname, '../../telemetry/jaeger/pictures') },
    'base-port': { type: 'string' },
  },
});
const quarterHourMs = 900_000;
const [primary, europe, tokyo] = ['us-east-1', 'eu-west-1', 'ap-northeast-1'] as const;

const linksSchema = z.object({
  jaeger: z.object({ ui: z.string(), lag: z.string(), lastFailover: z.string(), lostWrites: z.string() }),
});

/** What there is to see: calm, a region cut off and back, a forwarded write, and a drill that loses the primary. */
async function happen(deployment: TestDeployment): Promise<void> {
  await deployment.settled();
  const client = deployment.client(europe);
  await client.execute('CREATE TABLE picture (id INTEGER PRIMARY KEY, text TEXT)');
  const writer = new SteadyWriter(client, 'picture', { perSecond: 10 });
  await sleep(45_000);
  await deployment.run('region', 'isolate', tokyo);
  await sleep(45_000);
  await deployment.run('region', 'heal', tokyo);
  await deployment.until(
    'level again',
    ({ regions }) => regions.every(({ lagMs }) => (lagMs ?? 0) < 1_000),
    60_000,
  );
  await sleep(45_000);
  await writer.stop();
  const drill = await deployment.cli(['drill', 'partition', '--region', primary], 240_000);
  process.stdout.write(drill.stdout + drill.stderr);
  await sleep(5_000);
}

/** A whole trace of a write that Europe forwarded in one attempt. */
async function forwardedWrite(ui: string): Promise<string> {
  const toUs = Date.now() * 1_000;
  const traces = await new JaegerApi(ui).all(
    `sextant-${europe}`,
    'forward',
    toUs - quarterHourMs * 1_000,
    toUs,
  );
  const whole = traces.find(
    (trace) =>
      flaws(trace, primary, [europe, tokyo]).length === 0 &&
      trace.spans.filter(({ operationName }) => operationName === 'forward').length === 1,
  );
  if (whole === undefined) throw new Error(`none of ${traces.length} forwarded writes has a whole trace`);
  return whole.traceID;
}

async function take(page: Page, url: string, name: string, selector: string): Promise<void> {
  await page.goto(url, { waitUntil: 'networkidle', timeout: 60_000 });
  await page.waitForSelector(selector, { timeout: 60_000 });
  await sleep(3_000);
  await page.screenshot({ path: join(values.out, `${name}.png`) });
  process.stdout.write(`${name}.png of ${url}\n`);
}

const basePort = values['base-port'];
const deployment = await TestDeployment.start({
  regions: [primary, europe, tokyo],
  flags: ['--jaeger', '--timeout', '240'],
  ...(basePort !== undefined && { basePort: Number(basePort) }),
});
try {
  await happen(deployment);
  const { jaeger } = linksSchema.parse(JSON.parse(await deployment.run('status', '--json')));
  mkdirSync(values.out, { recursive: true });
  const browser = await chromium.launch({ executablePath: values.browser, args: ['--no-sandbox'] });
  try {
    const page = await browser.newPage({ viewport: { width: 1_280, height: 760 } });
    const lag = jaeger.lag.replace(/timeframe=\d+/, `timeframe=${quarterHourMs}`);
    await take(page, lag, 'lag', '.recharts-surface');
    await take(
      page,
      `${jaeger.ui}/trace/${await forwardedWrite(jaeger.ui)}`,
      'write',
      '.span-row, .TracePage',
    );
    await take(page, jaeger.lastFailover, 'failover', '.span-row, .TracePage');
    await take(page, jaeger.lostWrites, 'lost', '.SearchResults, .ResultItem');
  } finally {
    await browser.close();
  }
} finally {
  await deployment.stop();
}
process.exit(0);
