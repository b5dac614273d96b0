/** `sextant certs`: the certificates that the processes of a deployment prove themselves with. */
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { describeIdentity, describeSpan, judgeExpiry, type Role, roles } from '../../../storage/index.ts';
import {
  changeAuthority,
  initAuthority,
  issueCertificate,
  renewCertificates,
  type Shown,
  showCertificates,
} from '../../certs/certificate-store.ts';
import { certificateDays } from '../../certs/core/certificate-plan.ts';
import { withExample } from '../ask/options.ts';
import { CliError, paint, printJson, table } from '../ask/output.ts';

type JsonOption = { readonly json?: boolean };
const dayMs = 24 * 3_600_000;

/** `14d`, `36h`, `90m`. @throws InvalidArgumentError. */
function spanOf(text: string): number {
  const [, count = '', unit = ''] = /^(\d{1,5})([dhm])$/.exec(text) ?? [];
  const unitMs = { d: dayMs, h: 3_600_000, m: 60_000 }[unit];
  if (unitMs === undefined)
    throw new InvalidArgumentError('a span is days, hours or minutes, such as 14d, 36h or 90m');
  return Number(count) * unitMs;
}

function daysOf(text: string): number {
  const days = Number(text);
  if (!Number.isInteger(days)) throw new InvalidArgumentError('a whole number of days');
  return days;
}

const withDays = (command: Command): Command =>
  command.option(
    '--days <n>',
    `valid for so many days, at most ${certificateDays.max}`,
    daysOf,
    certificateDays.default,
  );

const withJson = (command: Command): Command => command.option('--json', 'print JSON');

interface IssueOptions extends JsonOption {
  readonly region: string;
  readonly role: Role;
  readonly name: string;
  readonly host?: string;
  readonly days: number;
}

async function issue(dir: string, { region, role, name, host, days, json }: IssueOptions): Promise<void> {
  const hosts = (host ?? '')
    .split(',')
    .map((text) => text.trim())
    .filter((text) => text !== '');
  if (hosts.length === 0 && role !== 'operator')
    throw new CliError(`a ${role} is reached at a host: name it with --host, or several with commas`);
  const directory = await issueCertificate(
    dir,
    { identity: { region, role, name }, hosts, days },
    Date.now(),
  );
  if (json === true) printJson({ directory: resolve(directory) });
  else console.log(`${directory}: ca.pem, cert.pem, key.pem`);
}

function expiryText({ expiresAtMs }: Shown, nowMs: number, withinMs: number): string {
  const expiry = judgeExpiry(expiresAtMs, nowMs, withinMs);
  const day = new Date(expiresAtMs).toISOString().slice(0, 10);
  switch (expiry.kind) {
    case 'expired':
      return paint('red', `expired ${describeSpan(expiry.sinceMs)} ago`);
    case 'soon':
      return paint('yellow', `${day}, in ${describeSpan(expiry.leftMs)}`);
    case 'valid':
      return day;
  }
}

function show(path: string, { within, json }: JsonOption & { readonly within: number }): void {
  const shown = showCertificates(path);
  const nowMs = Date.now();
  const due = shown.filter(({ expiresAtMs }) => judgeExpiry(expiresAtMs, nowMs, within).kind !== 'valid');
  if (json === true) {
    const certificates = shown.map(({ notBeforeMs, expiresAtMs, ...rest }) => ({
      ...rest,
      notBefore: new Date(notBeforeMs).toISOString(),
      expires: new Date(expiresAtMs).toISOString(),
      due: judgeExpiry(expiresAtMs, nowMs, within).kind !== 'valid',
    }));
    printJson({ certificates });
  } else {
    console.log(
      table(
        ['FILE', 'OF', 'HOSTS', 'EXPIRES'],
        shown.map((one) => [
          one.file,
          one.identity === null ? 'an authority' : describeIdentity(one.identity),
          one.hosts.join(',') || '-',
          expiryText(one, nowMs, within),
        ]),
      ),
    );
  }
  if (due.length > 0) process.exitCode = 1;
}

function printed(json: boolean | undefined, body: object, text: string): void {
  if (json === true) printJson(body);
  else console.log(text);
}

const nextSteps = {
  add: 'Give every process its new ca.pem (it is read by itself), then `use` the new authority.',
  use: '`sextant certs renew` the certificates, give every process its new files, then `drop` the old authority.',
  drop: 'Give every process its new ca.pem: the old authority is trusted no more.',
} as const;

export function addCertsCommands(program: Command): void {
  const certs = program
    .command('certs')
    .description('certificates that the processes of a deployment prove themselves with');
  withExample(
    withJson(certs.command('init').argument('<dir>').requiredOption('--cluster <name>'))
      .description('make the authority of a cluster in a directory; its key stays there')
      .action(async (dir: string, { cluster, json }: JsonOption & { readonly cluster: string }) => {
        await initAuthority(dir, cluster, Date.now());
        printed(json, { directory: resolve(dir), cluster }, `${dir}: the authority of cluster ${cluster}`);
      }),
    'sextant certs init pki --cluster shop',
  );
  withExample(
    withDays(withJson(certs.command('issue').argument('<dir>')))
      .description('issue a certificate to one process, in a directory that goes to its machine')
      .requiredOption('--region <name>', 'region of the process')
      .addOption(new Option('--role <role>', 'what it is').choices(roles).makeOptionMandatory())
      .requiredOption('--name <name>', 'its name: of a node or gateway that in its configuration')
      .option('--host <hosts>', 'where it is reached: DNS names and IP addresses, with commas')
      .action(issue),
    'sextant certs issue pki --region us-east-1 --role storage --name n1 --host 10.0.0.1,n1.internal',
  );
  withExample(
    withDays(withJson(certs.command('renew').argument('<dir>')))
      .description('issue anew what expires soon, or is of an authority that is being replaced')
      .option('--within <span>', 'what expires within so long', spanOf, 30 * dayMs)
      .action(async (dir: string, { within, days, json }: JsonOption & { within: number; days: number }) => {
        const renewed = await renewCertificates(dir, { withinMs: within, days }, Date.now());
        printed(json, { renewed }, renewed.length === 0 ? 'nothing is due' : renewed.join('\n'));
      }),
    'sextant certs renew pki --within 30d',
  );
  withExample(
    withJson(certs.command('show').argument('<path>'))
      .description('whose certificates these are and when they expire; exit code 1 when one does soon')
      .option('--within <span>', 'soon is within so long', spanOf, 14 * dayMs)
      .action(show),
    'sextant certs show pki --within 14d',
  );
  withExample(
    withJson(certs.command('authority').argument('<dir>').argument('<step>', 'add, use or drop'))
      .description(
        'replace the authority in three steps, each followed by giving every process its new files',
      )
      .action(async (dir: string, step: string, { json }: JsonOption) => {
        if (step !== 'add' && step !== 'use' && step !== 'drop')
          throw new CliError(`a step is add, use or drop, not ${step}`);
        await changeAuthority(dir, step, Date.now());
        printed(json, { directory: resolve(dir), step }, nextSteps[step]);
      }),
    'sextant certs authority pki add',
  );
}
