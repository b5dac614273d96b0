/** What `GET` and `PUT /v1/policy` give and take. */
import { z } from 'zod';
import type { RegionId } from '../../../storage/core.ts';
import type { Policy, PolicyChange } from '../../control/core/policy.ts';

export const policySchema = z
  .object({
    automatic: z.boolean().describe('Whether a failover begins by itself when the primary is lost.'),
    maxLossMs: z
      .int()
      .nullable()
      .describe('The most that such a failover may lose, in milliseconds of commits; null for any.'),
    rpoMs: z
      .int()
      .nullable()
      .describe(
        'Answers wait while every secondary is further behind than this, in milliseconds. 0: until one more region has the write durable. Null: never.',
      ),
    prefer: z
      .array(z.string())
      .describe('Regions to fail over to, the best first, of those that hold equally much.'),
  })
  .describe('What was decided beforehand about failovers and how far writes may run ahead of other regions.');

/** What is left out stays as it is. Bounds are checked where the regions are known (`policyProblem`). */
export const policyChangeSchema = z
  .strictObject({
    automatic: z.boolean().exactOptional(),
    maxLossMs: z.number().nullable().exactOptional(),
    rpoMs: z.number().nullable().exactOptional(),
    prefer: z.array(z.string()).exactOptional(),
  })
  .describe('Fields to replace; those that are left out stay as they are.');
export type PolicyChangeRequest = z.output<typeof policyChangeSchema>;

/** Names are taken as they are given: whether there are such regions is `policyProblem`'s to say. */
export function changeOf({ prefer, ...rest }: PolicyChangeRequest): PolicyChange {
  return prefer === undefined ? rest : { ...rest, prefer: prefer.map((name) => name as RegionId) };
}

/** As JSON. */
export function policyBody({ automatic, maxLossMs, rpoMs, prefer }: Policy): z.output<typeof policySchema> {
  return { automatic, maxLossMs, rpoMs, prefer: [...prefer] };
}
