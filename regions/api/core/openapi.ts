/** The document of an API, made of the table its routes are mounted from. Pure. */
import { z } from 'zod';
import { type Answer, type ApiRoute, type ApiServer, apiRoutes } from './api-routes.ts';
import { apiSchemas, type SchemaName } from './api-schemas.ts';

const content = (schema: SchemaName) => ({
  'application/json': { schema: { $ref: `#/components/schemas/${schema}` } },
});
const refused = {
  description: 'Refused; the code says why and the message what to do.',
  content: content('Error'),
};

function response(answer: Answer): object {
  const { description } = answer;
  if ('schema' in answer) return { description, content: content(answer.schema) };
  if ('events' in answer) {
    const schema = { $ref: `#/components/schemas/${answer.events}` };
    return { description, content: { 'text/event-stream': { schema } } };
  }
  return 'text' in answer
    ? { description, content: { 'text/plain': { schema: { type: 'string' } } } }
    : { description };
}

function operation(route: ApiRoute, server: ApiServer): object {
  const answers = Object.entries(route.answers).map(([status, answer]) => [status, response(answer)]);
  const errors = (route.errors[server] ?? []).map((status) => [status, refused]);
  return {
    summary: route.summary,
    ...(route.path.startsWith('/v1/') && { security: [{ bearer: [] }] }),
    ...(route.parameters !== undefined && {
      parameters: Object.entries(route.parameters).map(([name, description]) => ({
        name,
        in: 'path',
        required: true,
        description,
        schema: { type: 'string' },
      })),
    }),
    ...(route.body !== undefined && { requestBody: { required: true, content: content(route.body) } }),
    responses: Object.fromEntries([...answers, ...errors]),
  };
}

function namesIn(route: ApiRoute): readonly SchemaName[] {
  const answers = Object.values(route.answers).flatMap((answer) => {
    if ('schema' in answer) return [answer.schema];
    return 'events' in answer ? [answer.events] : [];
  });
  return route.body === undefined ? answers : [route.body, ...answers];
}

/** Every path once, with all its methods. */
function pathsOf(routes: readonly ApiRoute[], server: ApiServer): Readonly<Record<string, object>> {
  const paths: Record<string, object> = {};
  for (const route of routes)
    paths[route.path] = { ...paths[route.path], [route.method]: operation(route, server) };
  return paths;
}

/** What a server serves of the table, as OpenAPI 3.1. @param bearer what its bearer tokens are. */
export function openapi(
  server: ApiServer,
  info: { readonly title: string; readonly version: string; readonly description: string },
  bearer: string,
): object {
  const routes = Object.values<ApiRoute>(apiRoutes).filter(({ errors }) => errors[server] !== undefined);
  const names = new Set<SchemaName>([...routes.flatMap(namesIn), 'Error']);
  return {
    openapi: '3.1.0',
    info,
    paths: pathsOf(routes, server),
    components: {
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer', description: bearer } },
      // As a client writes it: what has a default may be left out of a request, and an answer may have fields that are newer.
      schemas: Object.fromEntries(
        [...names].map((name) => [name, z.toJSONSchema(apiSchemas[name], { io: 'input' })]),
      ),
    },
  };
}
