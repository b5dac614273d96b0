/**
 * Machines of a test: network namespaces with an address each on one switch, so that processes reach each other by addresses that
 * are not loopback's. Needs root, and iproute2. Without them addresses of loopback stand in, all on one machine.
 */
import { execFileSync } from 'node:child_process';

export interface Machine {
  /** Of its network namespace; null for one that is this machine. */
  readonly namespace: string | null;
  readonly address: string;
}

/** Some machines on one switch; the last one is that of the operator and the clients. */
export interface Network {
  readonly machines: readonly Machine[];
  readonly operator: Machine;
  /** Namespace of the switch, where everything passes; null where there is none. */
  readonly lan: string | null;
}

const ip = (...args: readonly string[]): void => {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
};

/** Why there can be no such machines here, in a sentence; undefined when there can. */
export function networkProblem(): string | undefined {
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  const probe = `sx-probe-${process.pid}`;
  try {
    ip('netns', 'add', probe);
    ip('netns', 'delete', probe);
    return undefined;
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    return `\`ip netns\` does not work here (${reason})`;
  }
}

/** @param count machines beside the operator's. `removeNetwork` takes it away. */
export function makeNetwork(count: number): Network {
  const lan = `sx${process.pid}-lan`;
  const machine = (index: number): Machine => ({
    namespace: `sx${process.pid}-m${index + 1}`,
    address: `10.77.0.${index + 1}`,
  });
  const machines = Array.from({ length: count }, (_, index) => machine(index));
  const operator = machine(count);
  ip('netns', 'add', lan);
  ip('-n', lan, 'link', 'add', 'switch', 'type', 'bridge');
  ip('-n', lan, 'link', 'set', 'switch', 'up');
  for (const [index, { namespace, address }] of [...machines, operator].entries()) {
    const name = namespace ?? '';
    const port = `port${index + 1}`;
    ip('netns', 'add', name);
    ip('-n', name, 'link', 'set', 'lo', 'up');
    ip('-n', name, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', port, 'netns', lan);
    ip('-n', lan, 'link', 'set', port, 'master', 'switch', 'up');
    ip('-n', name, 'address', 'add', `${address}/24`, 'dev', 'eth0');
    ip('-n', name, 'link', 'set', 'eth0', 'up');
  }
  return { machines, operator, lan };
}

export function removeNetwork({ machines, operator, lan }: Network): void {
  for (const { namespace } of [...machines, operator, { namespace: lan }])
    if (namespace !== null) ip('netns', 'delete', namespace);
}

/** The same shape without root: addresses of loopback, which Linux answers without being told. */
export function networkHere(count: number): Network {
  const machine = (index: number): Machine => ({ namespace: null, address: `127.77.0.${index + 1}` });
  return {
    machines: Array.from({ length: count }, (_, index) => machine(index)),
    operator: machine(count),
    lan: null,
  };
}

/** What runs `command` on a machine. */
export const commandOn = (
  { namespace }: Machine,
  command: readonly string[],
): readonly [string, ...string[]] => {
  const [program = '', ...args] = command;
  return namespace === null ? [program, ...args] : ['ip', 'netns', 'exec', namespace, program, ...args];
};
