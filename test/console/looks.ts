/** Checks that look: light, dark, a phone; a gateway that restarts; a token; names that want to be markup. */
import type { Page, Route } from 'playwright-core';
import { event, readiness, region } from '../gateway/console/live-events.ts';
import { checkManners, live } from './browser.ts';
import { type Check, originOf, pause, picture, type Stage, writeSteadily } from './stage.ts';

const tabs = ['overview', 'moves', 'drills', 'losses', 'sql'] as const;
const screens = [
  { name: 'light', options: { colorScheme: 'light' } },
  { name: 'dark', options: { colorScheme: 'dark' } },
  { name: 'phone', options: { colorScheme: 'light', viewport: { width: 360, height: 780 }, hasTouch: true } },
  {
    name: 'phone-dark',
    options: { colorScheme: 'dark', viewport: { width: 360, height: 780 }, reducedMotion: 'reduce' },
  },
] as const;

async function lookAround(stage: Stage): Promise<void> {
  const origin = originOf(stage, 'us-east-1');
  const stop = writeSteadily(stage, 'us-east-1');
  const grounds = new Set<unknown>();
  for (const { name, options } of screens) {
    const watched = await stage.browser.page(options);
    const { page } = watched;
    await page.goto(`${origin}/console`);
    await live(page);
    await pause(6_000);
    grounds.add(await page.evaluate('getComputedStyle(document.documentElement).backgroundColor'));
    for (const tab of tabs) {
      await page.evaluate(`window.location.hash = '#/${tab}'`);
      await pause(400);
      await picture(stage, page, `${tab}-${name}`);
      await checkPage(page, `${tab} on ${name}`);
    }
    checkManners(watched, origin);
    await page.context().close();
  }
  await stop();
  if (grounds.size !== 2) throw new Error(`light and dark have ${grounds.size} grounds between them`);
}

/** Nothing is wider than the screen, and everything that can be used has a name. */
async function checkPage(page: Page, where: string): Promise<void> {
  const wide = await page.evaluate('document.documentElement.scrollWidth - window.innerWidth');
  if (Number(wide) > 0) throw new Error(`${where} is ${wide} pixels wider than the screen`);
  const nameless = await page.evaluate(`[...document.querySelectorAll('button, a, input, select, textarea')]
    .filter((one) => one.checkVisibility())
    .filter((one) => !(one.getAttribute('aria-label') || one.textContent.trim() || one.labels?.length))
    .map((one) => one.outerHTML)`);
  if ((nameless as unknown[]).length > 0) throw new Error(`${where} has nameless controls: ${nameless}`);
}

async function restart(stage: Stage): Promise<void> {
  const watched = await stage.browser.page();
  const { page } = watched;
  const origin = originOf(stage, 'ap-northeast-1');
  await page.goto(`${origin}/console`);
  await live(page);
  await pause(2_000);
  await stage.deployment.run('node', 'kill', 'ap-northeast-1/gateway');
  const killed = performance.now();
  await page.locator('main[data-stale]').waitFor({ timeout: 5_000 });
  const staleMs = performance.now() - killed;
  await page.getByText(/What you see is old: it is as of \d\d:\d\d:\d\d/).waitFor();
  await pause(2_500);
  await picture(stage, page, 'stale');
  await stage.deployment.run('node', 'start', 'ap-northeast-1/gateway');
  await live(page, 40_000);
  await page.locator('main:not([data-stale])').waitFor();
  if (await page.locator('.banner[role=alert]').isVisible())
    throw new Error('the page still says that it is old');
  if (staleMs > 3_000) throw new Error(`the page said after ${Math.round(staleMs)} ms only that it is old`);
  checkManners(watched, origin);
  await page.context().close();
}

const json = (status: number, body: object) => ({
  status,
  contentType: 'application/json',
  body: JSON.stringify(body),
});

async function token(stage: Stage): Promise<void> {
  const { page, problems } = await stage.browser.page();
  const origin = originOf(stage, 'us-east-1');
  const sent: (string | undefined)[] = [];
  // A gateway that is closed, played before one that is open.
  await page.route('**/v1/**', async (route: Route) => {
    const { authorization } = route.request().headers();
    sent.push(authorization);
    if (authorization === undefined)
      return route.fulfill(json(401, { code: 'AUTH_JWT_MISSING', message: 'No token was sent.' }));
    if (authorization === 'Bearer too-little')
      return route.fulfill(json(403, { code: 'SEXTANT_SCOPE', message: 'It grants reading alone.' }));
    return route.continue();
  });
  await page.goto(`${origin}/console`);
  await page.getByText('No token was sent.').first().waitFor();
  await picture(stage, page, 'token');
  await page.locator('#token').fill('too-little');
  await page.keyboard.press('Enter');
  await page.getByText('Your token does not allow this. It grants reading alone.').first().waitFor();
  await page.locator('#token').fill('enough');
  await page.keyboard.press('Enter');
  await live(page);
  if (await page.locator('dialog[open]').isVisible()) throw new Error('the page still asks for a token');
  const kept = await page.evaluate(
    '[sessionStorage.getItem("sextant-token"), localStorage.length, document.cookie]',
  );
  if (JSON.stringify(kept) !== '["enough",0,""]') throw new Error(`kept: ${JSON.stringify(kept)}`);
  if (!sent.includes('Bearer enough')) throw new Error('the token was not sent');
  if (page.url().includes('enough') || problems.length > 0)
    throw new Error(problems.join('; ') || page.url());
  await page.context().close();
}

const hostile = '"><img src=x onerror="window.hit=1"><script>window.hit=1</script>';

async function hostileNames(stage: Stage): Promise<void> {
  const watched = await stage.browser.page();
  const { page } = watched;
  const origin = originOf(stage, 'us-east-1');
  const names = ['us-east-1', `${hostile}-1`, 'javascript:window.hit=1'];
  const told = event({
    jaegerUrl: 'javascript:window.hit=1',
    status: {
      cluster: hostile,
      regions: names.map((name) => ({
        ...region(name, { trouble: hostile, writer: hostile }),
        nodes: region(name).nodes.map((node) => ({ ...node, id: hostile, address: hostile })),
      })),
    },
    readiness: {
      epoch: 3,
      primary: 'us-east-1',
      regions: names.slice(1).map((name) => ({ ...readiness(name), reasons: [hostile], ready: false })),
    },
    lossEpochs: [2],
  });
  const lost = {
    v: 1,
    epoch: 3,
    orphanEpoch: 2,
    region: hostile,
    fromLsn: 1,
    toLsn: 2,
    lostBytes: 1,
    count: 1,
    firstCommitTimeUs: 1,
    lastCommitTimeUs: 1,
    truncated: false,
    foundAtMs: 1,
  };
  await page.route('**/v1/live', (route) =>
    route.fulfill({
      status: 200,
      contentType: 'text/event-stream',
      body: `data: ${JSON.stringify({ ...told, atMs: Date.now() })}\n\n`,
    }),
  );
  await page.route('**/v1/losses', (route) =>
    route.fulfill(json(200, { losses: [lost], unreachable: [hostile], unanswered: [] })),
  );
  await page.route('**/v1/losses/2', (route) =>
    route.fulfill(json(200, { ...lost, commits: [{ lsn: 1, commitTimeUs: 1, traceId: hostile }] })),
  );
  await page.goto(`${origin}/console`);
  await page.getByText(hostile).first().waitFor();
  await picture(stage, page, 'hostile');
  for (const tab of tabs) await page.evaluate(`window.location.hash = '#/${tab}'`);
  await page.evaluate("window.location.hash = '#/losses'");
  await page.getByRole('button', { name: 'Show the lost writes of epoch 2' }).click();
  await page.getByText('Found by').waitFor();
  await page.evaluate("window.location.hash = '#/sql'");
  await page
    .getByRole('textbox', { name: 'SQL' })
    .fill(`SELECT '${hostile}' AS "${hostile.replaceAll('"', '""')}"`);
  await page.keyboard.press('Control+Enter');
  await page.getByRole('cell', { name: hostile }).waitFor();
  const found = await page.evaluate(
    '[window.hit ?? null, document.querySelectorAll("main img, main script").length, document.querySelectorAll("a[href^=javascript]").length]',
  );
  if (JSON.stringify(found) !== '[null,0,0]')
    throw new Error(`a name became markup: ${JSON.stringify(found)}`);
  checkManners(watched, origin);
  await page.context().close();
}

export const looks: readonly Check[] = [
  {
    name: 'every part fits a screen and a phone, light and dark, and its controls have names',
    run: lookAround,
  },
  {
    name: 'G46: while its gateway is away the page says that it is old and as of when, and goes on afterwards',
    run: restart,
  },
  { name: 'a token is asked for, kept in the tab alone, and a refusal is a sentence', run: token },
  { name: 'G45: no name, row or address becomes markup or a script', run: hostileNames },
];
