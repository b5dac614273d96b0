/** What `/console` serves: the page's files, and what a browser may do with them. */
import { describe, expect, it } from 'vitest';
import { consolePage } from '../../../gateway/console/console-page.ts';
import { consoleRoutes } from '../../../gateway/console/console-routes.ts';
import { loadPageFiles, type PageFiles } from '../../../gateway/console/page-files.ts';

const files: PageFiles = {
  version: 'v1',
  index: '<!doctype html>',
  assets: new Map([['frame/main.ts', { contentType: 'text/javascript; charset=utf-8', text: 'let a;' }]]),
};

describe('/console', () => {
  it('G45: allows a browser nothing from elsewhere, no inline script, and no markup made of data', async () => {
    const routes = consoleRoutes(consolePage(() => Promise.resolve(files)));
    for (const path of ['/console', '/console/', '/console/v1/frame/main.ts']) {
      const { status, headers } = await routes.request(path);
      expect(status).toBe(200);
      const policy = headers.get('content-security-policy') ?? '';
      expect(policy).toContain("default-src 'none'");
      expect(policy).toContain("require-trusted-types-for 'script'");
      expect(policy).not.toMatch(/unsafe|\*|https?:|data:/);
      expect(headers.get('x-content-type-options')).toBe('nosniff');
    }
  });

  it('keeps modules for ever at the path of their version, and the page itself never', async () => {
    const page = consolePage(() => Promise.resolve(files));
    const routes = consoleRoutes(page);
    expect(page.version()).toBe('');
    expect((await routes.request('/console')).headers.get('cache-control')).toBe('no-cache');
    expect(page.version()).toBe('v1');
    const asset = await routes.request('/console/v1/frame/main.ts');
    expect(asset.headers.get('cache-control')).toContain('immutable');
    for (const path of ['/console/v0/frame/main.ts', '/console/v1/other.ts', '/console/v1/..%2f..%2fmain.ts'])
      expect((await routes.request(path)).status).toBe(404);
  });

  it('reads the files once, and again after it could not', async () => {
    let reads = 0;
    const page = consolePage(() => {
      reads += 1;
      return reads === 1 ? Promise.reject(new Error('broken')) : Promise.resolve(files);
    });
    const routes = consoleRoutes(page);
    routes.onError(() => new Response('failed', { status: 500 }));
    expect((await routes.request('/console')).status).toBe(500);
    await Promise.all([routes.request('/console'), routes.request('/console')]);
    await routes.request('/console');
    expect(reads).toBe(2);
  });

  it('has modules whose types are taken out, whose imports are served, and nothing of another origin', async () => {
    const { version, index, assets } = await loadPageFiles();
    expect(index).toContain(`/console/${version}/frame/main.ts`);
    expect(index).not.toMatch(/<script>|\son\w+=|style=|https?:/);
    for (const [name, { text }] of assets) {
      if (!name.endsWith('.ts')) continue;
      expect(text, name).not.toMatch(/^import type|: string\b/m);
      for (const [, path = ''] of text.matchAll(/^(?:import|export) [^'"]*from ['"]([^'"]+)['"]/gm)) {
        const target = new URL(path, `http://x/${name}`).pathname.slice(1);
        expect([...assets.keys()], `${name} imports ${path}`).toContain(target);
      }
      expect(text, name).not.toMatch(/innerHTML|outerHTML|insertAdjacent|document\.write|eval\(/);
    }
  });
});
