/**
 * Rehearses the runbook of `regions/DEPLOY.md`: three regions on machines of their own, deployed by its commands, and every procedure
 * carried out on them: `npm run test:deploy`. Machines are network namespaces, and this program runs on one of them as the
 * operator's and the clients'. Not part of `npm test`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Machines } from './machines.ts';
import {
  commandOn,
  makeNetwork,
  type Network,
  networkHere,
  networkProblem,
  removeNetwork,
} from './network.ts';
import { procedures } from './procedures/index.ts';
import { Shop } from './shop.ts';

const regions = ['us-east-1', 'eu-west-1', 'ap-northeast-1'] as const;
const machineCount = regions.length + 1;
const usage = `usage: npm run test:deploy -- [--only NAME,…] [--here] [--base-port N] [--keep] [--list]
  --only       some procedures; \`deploy\` is always done first
  --here       without root: addresses of loopback in place of machines, and nothing is recorded
  --base-port  first of the ports on each machine (default 7000)
  --keep       leave folders and logs, also when all went well
  --list       the procedures`;

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    here: { type: 'boolean', default: false },
    'base-port': { type: 'string', default: '7000' },
    keep: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
    /** The network that was made for this run, when this program has been started on the operator's machine of it. */
    network: { type: 'string' },
  },
});

const startedMs = performance.now();
const say = (line: string): void =>
  console.log(`${((performance.now() - startedMs) / 1_000).toFixed(1).padStart(6)} s  ${line}`);

/** @throws Error that names the procedures there are. */
function chosen(only: string | undefined): typeof procedures {
  if (only === undefined) return procedures;
  const wanted = only.split(',').map((name) => name.trim());
  const known = procedures.map(({ name }) => name);
  const unknown = wanted.find((name) => !known.includes(name));
  if (unknown !== undefined) throw new Error(`no procedure ${unknown}; there are ${known.join(', ')}`);
  return procedures.filter(({ name }) => name === 'deploy' || wanted.includes(name));
}

async function rehearse(network: Network): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'sx-machines-'));
  const logs = join(dir, 'logs');
  mkdirSync(logs);
  const machines = new Machines(logs);
  const on = new Map(
    regions.flatMap((region, index) => {
      const machine = network.machines[index];
      return machine === undefined ? [] : [[region, machine] as const];
    }),
  );
  const spare = network.machines[regions.length] ?? network.operator;
  const shop = new Shop({
    ...{ machines, dir, on, say },
    operator: network.operator,
    cluster: 'shop',
    basePort: Number(values['base-port']),
    tree: join(import.meta.dirname, '../..'),
  });
  try {
    const failed: string[] = [];
    for (const procedure of chosen(values.only)) {
      say(`${procedure.name}: ${procedure.what}`);
      try {
        await procedure.run({ shop, network, spare });
      } catch (error) {
        failed.push(procedure.name);
        console.error(error instanceof Error ? (error.stack ?? error.message) : error);
        if (procedure.name === 'deploy') break;
        await shop.mend();
      }
    }
    say(failed.length === 0 ? 'done' : `failed: ${failed.join(', ')}`);
    if (failed.length > 0) process.exitCode = 1;
    if (values.keep || failed.length > 0) console.log(`kept: ${dir}`);
    else rmSync(dir, { recursive: true, force: true });
  } catch (error) {
    console.error(error instanceof Error ? (error.stack ?? error.message) : error);
    console.error(`kept: ${dir}`);
    process.exitCode = 1;
  } finally {
    await machines.close();
  }
}

/** Makes the machines, runs this program on the operator's, and takes them away again whatever becomes of it. */
async function onMachines(): Promise<void> {
  const network = makeNetwork(machineCount);
  try {
    const again = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
    const [program, ...args] = commandOn(network.operator, [...again, '--network', JSON.stringify(network)]);
    const child = spawn(program, args, { stdio: 'inherit' });
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.on(signal, () => void child.kill('SIGTERM'));
    const [code] = await once(child, 'exit');
    process.exitCode = typeof code === 'number' ? code : 1;
  } finally {
    removeNetwork(network);
  }
}

chosen(values.only);
if (values.help) console.log(usage);
else if (values.list) for (const { name, what } of procedures) console.log(`${name.padEnd(20)} ${what}`);
else if (values.network !== undefined) {
  process.on('SIGTERM', () => process.exit(1));
  await rehearse(JSON.parse(values.network));
  // Connections of clients that nobody waits for would keep it.
  process.exit();
} else if (values.here) await rehearse(networkHere(machineCount));
else {
  const problem = networkProblem();
  if (problem === undefined) await onMachines();
  else console.log(`skipped: ${problem}; \`--here\` does without`);
}
