/** Asks gateways how they are, and which others there are: plain requests of HTTP, each on a connection of its own. */
import { request as plainRequest } from 'node:http';
import { request as secureRequest } from 'node:https';
import { z } from 'zod';
import { parseAddress } from '../../storage/index.ts';
import { endpointsSchema } from '../status/core/endpoints.ts';
import { endpointLimits, type Probe } from './core/endpoint-choice.ts';

/** Where a gateway takes connections, and whether it speaks TLS there. */
export interface Place {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
}

const readySchema = z.object({
  ready: z.boolean(),
  phase: z.enum(['reading', 'claiming', 'recovering', 'writing', 'draining', 'releasing']),
  epoch: z.int(),
});

const bodyBytesMax = 256 * 1024;

/** The place that an address means. @param tls what it speaks where the address does not say so. Null when it means none. */
export function placeOf(address: string, tls: boolean): Place | null {
  const origin = /^https?:/.test(address);
  if (!URL.canParse(origin ? address : `http://${address}`)) return null;
  const url = new URL(origin ? address : `http://${address}`);
  const secure = origin ? url.protocol === 'https:' : tls;
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return { host, port: url.port === '' ? (secure ? 443 : 80) : Number(url.port), tls: secure };
}

/** The place that host:port means, for clients of a protocol that this process does not speak. Null when it means none. */
export function plainPlaceOf(address: string | undefined): Place | null {
  const place = parseAddress(address ?? '');
  return place === undefined ? null : { ...place, tls: false };
}

type Said = { readonly kind: 'said'; readonly text: string } | Exclude<Probe, { kind: 'answered' }>;

function ask({ host, port, tls }: Place, path: string, secret: string | null): Promise<Said> {
  return new Promise((resolve) => {
    const asking = (tls ? secureRequest : plainRequest)(
      {
        ...{ host, port, path, agent: false, timeout: endpointLimits.answerMs },
        headers: secret === null ? {} : { authorization: `Bearer ${secret}` },
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
          if (text.length > bodyBytesMax) response.destroy();
        });
        response.once('end', () => resolve({ kind: 'said', text }));
        response.once('close', () => resolve({ kind: 'silent' }));
      },
    );
    // The answer has to be whole by then, too.
    const deadline = setTimeout(() => asking.destroy(), endpointLimits.answerMs);
    asking.once('timeout', () => asking.destroy());
    asking.once('close', () => clearTimeout(deadline));
    asking.once('error', (error: NodeJS.ErrnoException) =>
      resolve({ kind: error.code === 'ECONNREFUSED' ? 'refused' : 'silent' }),
    );
    asking.end();
  });
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** How a gateway is. Resolves within `answerMs`. */
export async function probe(place: Place): Promise<Probe> {
  const said = await ask(place, '/readyz', null);
  if (said.kind !== 'said') return said;
  const parsed = readySchema.safeParse(jsonOf(said.text));
  return parsed.success ? { kind: 'answered', ...parsed.data } : { kind: 'silent' };
}

/** The gateways of the deployment, as one of them has heard; null when it does not say. Resolves within `answerMs`. */
export async function askForOthers(
  place: Place,
  secret: string,
): Promise<z.output<typeof endpointsSchema> | null> {
  const said = await ask(place, '/v1/endpoints', secret);
  const parsed = endpointsSchema.safeParse(said.kind === 'said' ? jsonOf(said.text) : undefined);
  return parsed.success ? parsed.data : null;
}
