/**
 * What somebody gets who installs the package: `npm pack`, an installation into an empty folder, a deployment of three regions from
 * there, SQL through two of them, and the end: `npm run test:package`. Needs the npm registry.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { freeBasePort } from '../free-ports.ts';

const { values } = parseArgs({ options: { help: { type: 'boolean' }, keep: { type: 'boolean' } } });
if (values.help === true) {
  console.log(
    'usage: npm run test:package -- [--keep]\n  --keep  leave the folder where the package was installed',
  );
  process.exit();
}

const root = join(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'sx-package-'));
/** The Node.js that runs this stands first on the path, as on a machine where it is the one there is. */
const env = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env.PATH ?? ''}` };
const run = (cwd: string, command: string, ...args: readonly string[]): string => {
  console.log(`$ ${command} ${args.join(' ')}`);
  return execFileSync(command, args, { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
};
const sextant = (...args: readonly string[]): string =>
  run(folder, 'npx', '--no-install', 'sextant', ...args);

try {
  const packed: { filename: string }[] = JSON.parse(
    run(root, 'npm', 'pack', '--json', '--silent', '--pack-destination', folder),
  );
  const [first] = packed;
  if (first === undefined) throw new Error('npm packed nothing');
  run(folder, 'npm', 'init', '--yes');
  run(folder, 'npm', 'install', '--no-audit', '--no-fund', `./${first.filename}`);
  console.log(sextant('--version'));
  const basePort = String(await freeBasePort());
  sextant('up', '--detach', '--base-port', basePort);
  try {
    sextant('sql', 'us-east-1', 'CREATE TABLE note (text TEXT); INSERT INTO note VALUES (1)');
    const read = sextant(
      'sql',
      'eu-west-1',
      "PRAGMA sextant_read = 'global'; SELECT count(*) AS n FROM note",
      '--json',
    );
    if (!/"n": 1/.test(read)) throw new Error(`what was written is not read elsewhere: ${read}`);
    sextant('switchover', '--to', 'eu-west-1');
    sextant('sql', 'ap-northeast-1', 'INSERT INTO note VALUES (2)');
  } finally {
    sextant('down');
  }
  console.log('the package installs, runs, writes, moves and stops');
} finally {
  if (values.keep === true) console.log(`left: ${folder}`);
  else rmSync(folder, { recursive: true, force: true });
}
