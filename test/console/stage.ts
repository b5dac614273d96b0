/** What the checks play on: a deployment of three regions, a browser, and a folder for pictures. */
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import type { TestDeployment } from '../system/local-deployment.ts';
import type { ConsoleBrowser } from './browser.ts';

export interface Stage {
  readonly deployment: TestDeployment;
  readonly browser: ConsoleBrowser;
  readonly pictures: string;
}

export interface Check {
  readonly name: string;
  readonly run: (stage: Stage) => Promise<void>;
}

export const originOf = ({ deployment }: Stage, region: string): string =>
  `http://${deployment.gateway(region)}`;

export async function picture(stage: Stage, page: Page, name: string): Promise<void> {
  await page.screenshot({ path: join(stage.pictures, `${name}.png`), fullPage: true });
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Writes a row every `everyMs` until it is told to stop, so that there is something to see. */
export function writeSteadily(stage: Stage, region: string, everyMs = 60): () => Promise<void> {
  const client = stage.deployment.client(region);
  let stopped = false;
  const run = async (): Promise<void> => {
    await client.execute('CREATE TABLE IF NOT EXISTS seen (id INTEGER PRIMARY KEY, text TEXT)');
    while (!stopped) {
      // What a fault does to a write is not what is checked here.
      await client.execute("INSERT INTO seen (text) VALUES ('a row to look at')").catch(() => undefined);
      await pause(everyMs);
    }
  };
  const running = run();
  return async () => {
    stopped = true;
    await running;
  };
}
