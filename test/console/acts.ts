/** Checks that act: a switchover by keyboard alone, a drill, a statement. */
import type { Page } from 'playwright-core';
import { checkManners, live } from './browser.ts';
import { type Check, originOf, picture, type Stage, writeSteadily } from './stage.ts';

/** What has the keyboard now, as a screen reader would name it. */
const focused = (page: Page): Promise<unknown> =>
  page.evaluate(
    'document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.textContent?.trim()',
  );

/** Presses Tab until something of that name has the keyboard. */
async function tabTo(page: Page, name: string, pressesMax = 60): Promise<void> {
  const met: unknown[] = [];
  for (let presses = 0; presses < pressesMax; presses += 1) {
    await page.keyboard.press('Tab');
    const now = await focused(page);
    if (now === name) return;
    met.push(now);
  }
  throw new Error(`Tab does not lead to ${name}: ${met.join(', ')}`);
}

async function switchover(stage: Stage): Promise<void> {
  const watched = await stage.browser.page();
  const { page } = watched;
  const origin = originOf(stage, 'us-east-1');
  const stop = writeSteadily(stage, 'us-east-1');
  await page.goto(`${origin}/console`);
  await live(page);
  await tabTo(page, 'Moves');
  await page.keyboard.press('Enter');
  await tabTo(page, 'Switch over to eu-west-1');
  await page.keyboard.press('Enter');
  await page.locator('dialog[open]').waitFor();
  await page.keyboard.type('eu-west');
  await page.keyboard.press('Enter');
  await page.getByText('Type eu-west-1, as it is written above.').waitFor();
  if ((await stage.deployment.status()).primary !== 'us-east-1') throw new Error('half a name began a move');
  await page.keyboard.type('-1');
  await picture(stage, page, 'confirmation');
  await page.keyboard.press('Enter');
  await page.getByText('eu-west-1 is primary since epoch').waitFor({ timeout: 40_000 });
  await page.getByText('eu-west-1 writes', { exact: false }).first().waitFor();
  await picture(stage, page, 'moved');
  await stop();
  if ((await stage.deployment.status()).primary !== 'eu-west-1') throw new Error('the primary has not moved');
  checkManners(watched, origin);
  await page.context().close();
  await stage.deployment.settled();
}

async function drill(stage: Stage): Promise<void> {
  const watched = await stage.browser.page();
  const { page } = watched;
  const origin = originOf(stage, 'eu-west-1');
  await page.goto(`${origin}/console#/drills`);
  await live(page);
  await page.getByLabel('Kind').selectOption('node-loss');
  await page.getByLabel('Load for (s)').fill('3');
  await page.getByRole('button', { name: 'Start a drill…' }).click();
  await page.getByLabel('to confirm').fill('node-loss');
  await page.getByRole('button', { name: 'Start the drill' }).click();
  await page.getByText('It runs. Its report comes').waitFor({ timeout: 80_000 });
  await picture(stage, page, 'drill-running');
  await page.locator('[data-verdict]').waitFor({ timeout: 150_000 });
  await picture(stage, page, 'drill-report');
  const verdict = await page.locator('[data-verdict]').getAttribute('data-verdict');
  const checks = await page.locator('.checks li').allTextContents();
  if (verdict !== 'passed') throw new Error(`the drill ${verdict}: ${checks.join('; ')}`);
  if (checks.length < 3) throw new Error(`the report shows ${checks.length} checks`);
  checkManners(watched, origin);
  await page.context().close();
}

async function statements(stage: Stage): Promise<void> {
  const watched = await stage.browser.page();
  const { page } = watched;
  const origin = originOf(stage, 'ap-northeast-1');
  await page.goto(`${origin}/console#/sql`);
  const run = async (sql: string, says: RegExp): Promise<void> => {
    await page.getByRole('textbox', { name: 'SQL' }).fill(sql);
    await page.keyboard.press('Control+Enter');
    await page.getByText(says).first().waitFor({ timeout: 20_000 });
  };
  await run('CREATE TABLE IF NOT EXISTS shown (a, b)', /^Done in /);
  await run("INSERT INTO shown VALUES (1, x'00ff'), (NULL, 'two')", /2 rows changed/);
  await run('SELECT * FROM shown LIMIT 2', /^2 rows in /);
  const cells = await page.locator('.rows td').allTextContents();
  if (JSON.stringify(cells) !== JSON.stringify(['1', 'blob of 2 bytes', 'NULL', 'two']))
    throw new Error(cells.join('|'));
  await run('SELECT * FROM no_such_table', /no such table/);
  const many =
    'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) SELECT i FROM n';
  await run(many, /^The first 100 rows in .*there are more/);
  if ((await page.locator('.rows tbody tr').count()) !== 100)
    throw new Error('the limit of rows was not kept');
  await picture(stage, page, 'sql');
  checkManners(watched, origin);
  await page.context().close();
}

export const acts: readonly Check[] = [
  {
    name: 'a switchover is begun with the keyboard alone, once its target is typed whole, and is watched to its end',
    run: switchover,
  },
  { name: 'a drill is started from the page, watched, and its report opened', run: drill },
  { name: 'statements show rows, values, limits, times and errors', run: statements },
];
