/**
 * `sextant init`: makes the folders of a new deployment, one for each machine's region (and the witness), with the file of the
 * region, its secrets and its certificates; and one with the authority, which stays with the operator.
 */
import { randomBytes } from 'node:crypto';
import { cpSync, existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { directoryOf, fileNames, parseAddress, type Role } from '../../storage/index.ts';
import { hasAuthority, initAuthority, issueCertificate } from '../certs/certificate-store.ts';
import { certificateDays } from '../certs/core/certificate-plan.ts';
import { userDefault } from '../postgres/core/postgres-url.ts';
import { makeVerifier } from '../postgres/make-verifier.ts';
import { makeKey } from '../tokens/key-files.ts';
import { type DeploymentRequest, planDeployment } from './core/deployment-plan.ts';
import type { EngineKind } from './core/engine-kinds.ts';
import { witness } from './core/nats-topology.ts';
import { endpointAddresses, postgresListeners } from './core/region-rules.ts';
import { type RegionPlan, regionText, type WitnessPlan, witnessText } from './core/region-text.ts';
import { agentName, endpointName, natsName } from './region-file.ts';
import { type DeploymentSecrets, secretNames, writeMachineFile, writeWhole } from './write-files.ts';

export interface InitRequest
  extends Omit<DeploymentRequest, 'secrets' | 'certificatesDir' | 'gatewayKeys' | 'postgresUsers'> {
  /** What keeps the databases. */
  readonly engine: EngineKind;
  /** Where the folders are made. */
  readonly dir: string;
  /** Writes files anew that are there; secrets and the authority stay what they are. */
  readonly force: boolean;
}

export type InitResult =
  | {
      readonly kind: 'made';
      /** One for each region, and the witness: what goes to its machine is the folder that it lies in. */
      readonly files: readonly { readonly name: string; readonly file: string }[];
      /** The folder of the authority. */
      readonly authority: string;
      /** The folder of the certificate with which a person or a tool acts (`--identity`). */
      readonly operator: string;
      /** What tokens of clients are made with. */
      readonly tokenKey: string;
      /** How PostgreSQL clients connect; null where SQLite keeps the databases. */
      readonly postgres: PostgresAccess | null;
    }
  | { readonly kind: 'refused'; readonly reason: string };

/** The first user of a new deployment. */
export interface PostgresAccess {
  readonly user: string;
  /** The password, for its owner alone. */
  readonly passwordFile: string;
  /** Where PostgreSQL clients connect, host:port, those of the first region first: its endpoints, where it has any, then the gateways. */
  readonly addresses: readonly string[];
  /** What such a client has to trust. */
  readonly authorityFile: string;
}

export const regionFileName = 'region.yaml';
export const witnessFileName = 'witness.yaml';
export const certificatesDir = 'certs';
export const authorityDir = 'authority';
const operatorName = 'admin';
/** What tokens of clients are signed with, and the public half that gateways get. */
const tokenKeyName = 'token-key.pem';
export const keySetName = 'jwks.json';
const postgresPasswordName = 'postgres-password';
const secretBytes = 32;

const title = (name: string): string =>
  `The processes of ${name} run from this file. \`sextant config check\` checks it, regions/DEPLOY.md explains it.`;

/** One process, and where others reach it. */
export interface Certified {
  readonly role: Role;
  readonly name: string;
  readonly addresses: readonly (string | undefined)[];
}

/**
 * @param endpointHosts where clients connect that are led to these gateways: those of every region, since the endpoint of the writer
 * leads from any to any
 */
const certifiedOf = (plan: RegionPlan, endpointHosts: readonly string[]): readonly Certified[] => [
  ...plan.nodes.map(({ node, address }) => ({ role: 'storage' as const, name: node, addresses: [address] })),
  { role: 'agent', name: agentName, addresses: [plan.agent.address] },
  ...plan.gateways.map(({ gateway, address }) => ({
    role: 'gateway' as const,
    name: gateway,
    addresses: [address, ...endpointHosts],
  })),
  ...(plan.endpoint?.address === undefined
    ? []
    : [{ role: 'endpoint' as const, name: endpointName, addresses: [plan.endpoint.address] }]),
  natsCertified(plan),
];

export const natsCertified = ({ nats }: Pick<RegionPlan, 'nats'>): Certified => ({
  role: 'nats',
  name: natsName,
  addresses: [nats.address, nats.routeAddress],
});

/** Host names and addresses, each once. */
export const hostsOf = (addresses: readonly (string | undefined)[]): readonly string[] => [
  ...new Set(addresses.flatMap((address) => parseAddress(address ?? '')?.host ?? [])),
];

export async function issueTo(
  authority: string,
  region: string,
  processes: readonly Certified[],
): Promise<void> {
  for (const { role, name, addresses } of processes) {
    const identity = { region, role, name };
    await issueCertificate(
      authority,
      { identity, hosts: hostsOf(addresses), days: certificateDays.default },
      Date.now(),
    );
  }
}

/** What was made before is kept: processes run with it. */
function secretsIn(dir: string, folders: readonly string[]): DeploymentSecrets {
  const names = secretNames(true);
  const kept = (name: string): string => {
    const file = folders.map((folder) => join(dir, folder, name)).find((path) => existsSync(path));
    return file === undefined
      ? randomBytes(secretBytes).toString('base64url')
      : readFileSync(file, 'utf8').trim();
  };
  return {
    clusterFile: kept(names.clusterFile),
    natsTokenFile: undefined,
    natsRouteFile: kept(names.natsRouteFile),
  };
}

/** Clients speak TLS with the gateway's own certificate, and show a token that the key in `authority/` has signed. */
export const gatewayKeys = (gateway: string, region: string) => {
  const own = join(certificatesDir, directoryOf({ region, role: 'gateway', name: gateway }));
  return {
    tls: { certFile: join(own, fileNames.cert), keyFile: join(own, fileNames.key) },
    auth: { jwksFile: keySetName },
  };
};

/** @throws CertificateError or KeyFileError when certificates or keys cannot be made. */
export async function initialize(request: InitRequest): Promise<InitResult> {
  const passwordFile = join(resolve(request.dir), authorityDir, postgresPasswordName);
  const password = request.engine === 'postgres' ? passwordIn(passwordFile) : null;
  const postgresUsers =
    password === null ? undefined : [{ name: userDefault, verifier: makeVerifier(password) }];
  const shape = { secrets: secretNames(true), certificatesDir, gatewayKeys, postgresUsers };
  const plan = planDeployment({ ...request, ...shape });
  if (plan.kind === 'refused') return plan;
  const dir = resolve(request.dir);
  const machines = [
    ...plan.regions.map((one) => machineOf(dir, one, endpointAddresses(plan.regions))),
    ...(plan.witness === undefined ? [] : [witnessOf(dir, plan.witness)]),
  ];
  const there = machines.find(({ file }) => existsSync(file));
  if (there !== undefined && !request.force) {
    const reason = `${there.file} is there already: choose another --dir, or write the files anew with --force (secrets and the authority stay)`;
    return { kind: 'refused', reason };
  }
  const authority = join(dir, authorityDir);
  if (!hasAuthority(authority)) await initAuthority(authority, request.cluster, Date.now());
  const tokenKey = join(authority, tokenKeyName);
  const keySet = join(authority, keySetName);
  if (!existsSync(tokenKey)) await makeKey('EdDSA', { key: tokenKey, jwks: keySet });
  if (password !== null && !existsSync(passwordFile)) writeWhole(passwordFile, `${password}\n`);
  const secrets = secretsIn(
    dir,
    machines.map(({ name }) => name),
  );
  for (const { name, file, text, processes } of machines) {
    await issueTo(authority, name, processes);
    writeMachineFile(file, text, secrets);
    cpSync(join(authority, name), join(dir, name, certificatesDir, name), { recursive: true });
    if (name !== witness) cpSync(keySet, join(dir, name, keySetName));
  }
  const [first = ''] = request.regions;
  const identity = { region: first, role: 'operator', name: operatorName } as const;
  const operator = await issueCertificate(
    authority,
    { identity, hosts: [], days: certificateDays.default },
    Date.now(),
  );
  return {
    kind: 'made',
    files: machines.map(({ name, file }) => ({ name, file })),
    authority,
    operator,
    tokenKey,
    postgres:
      password === null
        ? null
        : {
            user: userDefault,
            passwordFile,
            addresses: postgresAddresses(plan.regions),
            authorityFile: join(authority, fileNames.ca),
          },
  };
}

/** The password that was made before, or a new one. */
const passwordIn = (file: string): string =>
  existsSync(file) ? readFileSync(file, 'utf8').trim() : randomBytes(secretBytes).toString('base64url');

const postgresAddresses = (regions: readonly RegionPlan[]): readonly string[] =>
  regions.flatMap(({ endpoint, gateways }) => [
    ...(endpoint?.postgres === undefined ? [] : [endpoint.postgres.writer, endpoint.postgres.reader]),
    ...gateways.flatMap((gateway, index) => postgresListeners(gateway, index).map(({ address }) => address)),
  ]);

export const machineOf = (dir: string, plan: RegionPlan, endpoints: readonly string[]) => ({
  name: plan.region,
  file: join(dir, plan.region, regionFileName),
  text: regionText(plan, title(`region ${plan.region}`)),
  processes: certifiedOf(plan, endpoints),
});

const witnessOf = (dir: string, plan: WitnessPlan) => ({
  name: witness,
  file: join(dir, witness, witnessFileName),
  text: witnessText(plan, title('the third vote')),
  processes: [natsCertified(plan)],
});
