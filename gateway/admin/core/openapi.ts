/** `/openapi.json`, made of the schemas that requests and answers are checked with. Pure. */
import { z } from 'zod';
import { errorTable } from '../../sql/errors.ts';
import {
  errorSchema,
  failoverSchema,
  lossesSchema,
  lossReportSchema,
  operationSchema,
  readySchema,
  statusSchema,
  switchoverSchema,
} from './admin-schemas.ts';

const schemas = {
  Status: statusSchema,
  Operation: operationSchema,
  Switchover: switchoverSchema,
  Failover: failoverSchema,
  Losses: lossesSchema,
  LossReport: lossReportSchema,
  Ready: readySchema,
  Error: errorSchema,
} as const;

type Name = keyof typeof schemas;

const reference = (name: Name) => ({ $ref: `#/components/schemas/${name}` });
const json = (name: Name, description: string) => ({
  description,
  content: { 'application/json': { schema: reference(name) } },
});
const failed = json('Error', 'Refused; the code says why and the message what to do.');
const body = (name: Name) => ({
  required: true,
  content: { 'application/json': { schema: reference(name) } },
});
const plain = (description: string) => ({
  description,
  content: { 'text/plain': { schema: { type: 'string' } } },
});
const pathParameter = (name: string, description: string) => ({
  name,
  in: 'path',
  required: true,
  description,
  schema: { type: 'string' },
});

/** The document. @param version of this software. */
export function openapi(version: string): object {
  const secured = [{ bearer: [] }];
  return {
    openapi: '3.1.0',
    info: {
      title: 'Sextant gateway',
      version,
      description:
        'The admin API. SQL is spoken in the libSQL protocol (Hrana 2 and 3, JSON) at /v2/pipeline, /v3/pipeline, /v3/cursor and over WebSocket at /.',
    },
    paths: {
      '/healthz': { get: { summary: 'The process runs', responses: { 200: { description: 'It does.' } } } },
      '/readyz': {
        get: {
          summary: 'Whether SQL is served',
          responses: { 200: json('Ready', 'It is.'), 503: json('Ready', 'Not now; the reasons say why.') },
        },
      },
      '/metrics': {
        get: { summary: 'Prometheus metrics', responses: { 200: plain('Prometheus text format 0.0.4.') } },
      },
      '/v1/status': {
        get: {
          summary: 'The whole deployment',
          security: secured,
          responses: { 200: json('Status', 'As last reported.'), 401: failed },
        },
      },
      '/v1/watch': {
        get: {
          summary: 'Live feed: the status, pushed when it changes (WebSocket)',
          security: secured,
          responses: { 101: { description: 'Messages are Status objects in JSON.' } },
        },
      },
      '/v1/switchover': {
        post: {
          summary: 'Planned move of the primary, without loss',
          security: secured,
          requestBody: body('Switchover'),
          responses: {
            202: json('Operation', 'It has begun.'),
            400: failed,
            404: failed,
            409: failed,
            503: failed,
          },
        },
      },
      '/v1/failover': {
        post: {
          summary: 'Move of the primary away from a lost region',
          security: secured,
          requestBody: body('Failover'),
          responses: {
            202: json('Operation', 'It has begun.'),
            400: failed,
            404: failed,
            409: failed,
            503: failed,
          },
        },
      },
      '/v1/operations/{id}': {
        get: {
          summary: 'How a move is going',
          security: secured,
          parameters: [pathParameter('id', 'As the move answered.')],
          responses: { 200: json('Operation', 'Its phases and its result.'), 404: failed, 503: failed },
        },
      },
      '/v1/losses': {
        get: {
          summary: 'What failovers left behind',
          security: secured,
          responses: { 200: json('Losses', 'One entry per lost reign.') },
        },
      },
      '/v1/losses/{epoch}': {
        get: {
          summary: 'Every lost write of one reign',
          security: secured,
          parameters: [pathParameter('epoch', 'The reign whose writes are concerned.')],
          responses: { 200: json('LossReport', 'Commit by commit.'), 404: failed },
        },
      },
    },
    components: {
      securitySchemes: {
        bearer: {
          type: 'http',
          scheme: 'bearer',
          description:
            'A client token (JWT, EdDSA) or the cluster secret; nothing on an open loopback gateway.',
        },
      },
      schemas: Object.fromEntries(
        Object.entries(schemas).map(([name, schema]) => [name, z.toJSONSchema(schema, { io: 'output' })]),
      ),
    },
    'x-sextant-errors': errorTable,
  };
}
