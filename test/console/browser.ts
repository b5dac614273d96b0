/** Chromium for the tests of the console: found, started, and watched for whatever it asks of the network. */
import { existsSync } from 'node:fs';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';

const usualPath = '/usr/bin/chromium';
const flags = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--no-first-run',
];

/** Where Chromium is: `$CHROMIUM`, or where Debian puts it; null where there is none. */
export function findChromium(): string | null {
  const path = process.env.CHROMIUM ?? usualPath;
  return existsSync(path) ? path : null;
}

export interface Watched {
  readonly page: Page;
  /** The address of every request, of whatever kind. */
  readonly requests: readonly string[];
  /** What the page did wrong: errors that nobody caught, and what its policy has refused. */
  readonly problems: readonly string[];
}

export class ConsoleBrowser {
  private readonly browser: Browser;

  private constructor(browser: Browser) {
    this.browser = browser;
  }

  static async start(executablePath: string): Promise<ConsoleBrowser> {
    return new ConsoleBrowser(await chromium.launch({ executablePath, args: flags }));
  }

  /** A page with a session of its own, that has not gone anywhere yet. */
  async page(options: BrowserContextOptions = {}): Promise<Watched> {
    const context = await this.browser.newContext({ viewport: { width: 1_440, height: 1_000 }, ...options });
    // Its first visitor waits for the gateway to make the page ready, on a machine that does much else.
    context.setDefaultNavigationTimeout(90_000);
    const page = await context.newPage();
    const requests: string[] = [];
    const problems: string[] = [];
    context.on('request', (request) => void requests.push(request.url()));
    page.on('pageerror', (error) => void problems.push(String(error)));
    page.on('console', (message) => {
      // A gateway that is down is what some of the checks are about.
      if (message.type() === 'error' && !/Failed to load resource|net::ERR/.test(message.text()))
        problems.push(message.text());
    });
    return { page, requests, problems };
  }

  async close(): Promise<void> {
    await this.browser.close();
  }
}

/** Waits until a page shows live data. */
export async function live(page: Page, timeout = 40_000): Promise<void> {
  await page.locator('#fresh[data-tone=good]').waitFor({ timeout });
  await page.locator('main:not([data-empty])').waitFor({ timeout });
}

/** Holds that everything a page asked for was of its own origin, and that nothing went wrong in it (G45). */
export function checkManners({ requests, problems }: Watched, origin: string): void {
  const foreign = requests.filter((url) => new URL(url).origin !== origin);
  if (foreign.length > 0) throw new Error(`the page asked others: ${[...new Set(foreign)].join(', ')}`);
  if (requests.length === 0) throw new Error('no request was seen: nothing is known of the others');
  if (problems.length > 0) throw new Error(`the page had problems: ${problems.join('; ')}`);
}
