/** The GET side of the libSQL protocol: which versions are spoken, and health for load balancers that know libSQL's servers. */
import { Hono } from 'hono';

/** Routes by which clients find out what to speak. */
export function hranaRoutes(version: string): Hono {
  const text = (body: string) => new Response(body, { headers: { 'content-type': 'text/plain' } });
  const routes = new Hono();
  routes.get('/', () => text(`This is Sextant ${version}, which speaks SQL in the libSQL protocol\n`));
  routes.get('/v1', () => text('Sextant speaks Hrana 1 over HTTP at /v1/execute and /v1/batch\n'));
  routes.get('/v2', () => text('Sextant speaks Hrana 2 over HTTP at /v2/pipeline\n'));
  routes.get('/v3', () => text('Sextant speaks Hrana 3 over HTTP at /v3/pipeline and /v3/cursor\n'));
  routes.get('/v3-protobuf', () =>
    text('Sextant speaks Hrana 3 in protobuf at /v3-protobuf/pipeline and /v3-protobuf/cursor\n'),
  );
  routes.get('/health', () => text('ok\n'));
  routes.get('/version', () => text(`sextant ${version}\n`));
  return routes;
}
