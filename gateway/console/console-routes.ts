/**
 * `/console`: a page of plain modules. It holds no data and needs no token; what it shows it asks of the admin API, as
 * anybody must. G45: its policy allows nothing from any other origin, no inline script and no frame.
 */
import { Hono } from 'hono';
import { encodeErrorBody } from '../sql/error-body.ts';
import { adviseError } from '../sql/errors.ts';
import type { ConsolePage } from './console-page.ts';

const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  // What a region, a table or a row is called never becomes markup, whatever the page does with it.
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

const headers = {
  'content-security-policy': policy,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
} as const;
const forEver = 'public, max-age=31536000, immutable';

export function consoleRoutes({ files }: ConsolePage): Hono {
  const routes = new Hono();
  for (const path of ['/console', '/console/']) {
    routes.get(path, async () => {
      const { index } = await files();
      return new Response(index, {
        headers: { ...headers, 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-cache' },
      });
    });
  }
  routes.get('/console/:version/:name{.+}', async (context) => {
    const { version, assets } = await files();
    const file = context.req.param('version') === version ? assets.get(context.req.param('name')) : undefined;
    if (file === undefined) return notThere(context.req.path);
    return new Response(file.text, {
      headers: { ...headers, 'content-type': file.contentType, 'cache-control': forEver },
    });
  });
  return routes;
}

function notThere(path: string): Response {
  const error = adviseError('SEXTANT_NOT_FOUND', `There is nothing at ${path}: the console is at /console`);
  return new Response(encodeErrorBody(error), {
    status: 404,
    headers: { 'content-type': 'application/json', 'x-content-type-options': 'nosniff' },
  });
}
