/**
 * Whether clients that an endpoint hands to a gateway will take what that shows them: the certificate has to name the endpoint's
 * host, since that is where they believe to be. The endpoint of the writer leads to the gateways of every region.
 */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { z } from 'zod';
import {
  besideFile,
  type ConfigProblem,
  identityIn,
  parseAddress,
  placeProblems,
} from '../../storage/index.ts';
import { endpointAddresses } from './core/region-rules.ts';
import type { MachineFile, RegionFile } from './region-file.ts';

const tlsSchema = z.looseObject({ tls: z.looseObject({ certFile: z.string() }) });
type RegionMachine = Extract<MachineFile, { kind: 'region' }>;

/** Of the regions whose files are at hand. Whether a certificate can be read at all is the gateway's to say. */
export function endpointHostProblems(machines: readonly RegionMachine[]): readonly ConfigProblem[] {
  const places = machines.flatMap(({ region }) =>
    [...new Set(endpointAddresses([region]).flatMap((address) => parseAddress(address)?.host ?? []))].map(
      (host) => ({ region: String(region.region), host }),
    ),
  );
  return machines.flatMap(({ file, region }) =>
    region.gateways.flatMap((gateway, index) => {
      const certificate = certificateOf(gateway, file);
      if (certificate === null) return [];
      return places.flatMap(({ region: name, host }) => {
        const fits =
          (isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host)) !== undefined;
        if (fits || everyAddress.includes(host)) return [];
        const led = `where the endpoint of ${name} takes clients that it leads here`;
        const message = `the certificate is not for ${host}, ${led}: issue another with --host ${host} among its hosts`;
        return placeProblems(file, [{ path: ['gateways', index, 'tls', 'certFile'], message }]);
      });
    }),
  );
}

/** Addresses that stand for all of a machine's: a certificate names none of them. */
const everyAddress: readonly string[] = ['0.0.0.0', '::'];

/** The deployment's own; null for one of a public authority, which is for names that lead here by ways of their own. */
function certificateOf(gateway: RegionFile['gateways'][number], file: string): X509Certificate | null {
  const { data } = tlsSchema.safeParse(gateway);
  if (data === undefined) return null;
  try {
    const certificate = new X509Certificate(readFileSync(besideFile(file, data.tls.certFile)));
    return identityIn(certificate.subjectAltName).kind === 'identity' ? certificate : null;
  } catch {
    return null;
  }
}
