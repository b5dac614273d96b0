/** `sextant postgres-verifier`: what gateways check a password of PostgreSQL clients with. */
import type { Command } from 'commander';
import { makeVerifier } from '../../postgres/make-verifier.ts';
import { withExample } from '../ask/options.ts';
import { CliError, note, printJson } from '../ask/output.ts';
import { readPassword } from '../ask/read-password.ts';

/** As PostgreSQL takes names. */
const nameBytesMax = 63;

async function postgresVerifier(
  name: string,
  { read, json }: { readonly read?: boolean; readonly json?: boolean },
): Promise<void> {
  if (name === '' || Buffer.byteLength(name) > nameBytesMax)
    throw new CliError(`the name of a user has 1 to ${nameBytesMax} bytes`);
  const verifier = makeVerifier(await readPassword());
  const user = { name, verifier, ...(read === true && { access: 'read' }) };
  if (json === true) return printJson(user);
  // In one line, as region files have it: what JSON is, YAML reads.
  console.log(`- ${JSON.stringify(user)}`);
  note('an entry of postgres.users, in the configuration of each gateway; nobody can log in with it alone');
}

export function addVerifierCommand(program: Command): void {
  withExample(
    program
      .command('postgres-verifier')
      .argument('<user>')
      .description(
        'what gateways check the password of a PostgreSQL client with; asks for it, or reads stdin',
      )
      .option('--read', 'the user may change nothing')
      .option('--json', 'print JSON')
      .action(postgresVerifier),
    'sextant postgres-verifier app',
    'sextant postgres-verifier reports --read < password.txt',
  );
}
