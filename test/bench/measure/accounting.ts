/** What processes and the machine used between two moments, from /proc. Linux only: elsewhere every figure is missing. */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';

/** Processes that play one part, such as `storage`; those they have started belong to them. */
export type Roles = Readonly<Record<string, readonly number[]>>;

export interface Usage {
  readonly cpuMs: number;
  /** Memory; shared pages are divided among those who share them when it was asked for exactly, and counted in full otherwise. */
  readonly residentBytes: number;
  /** Bytes that reached the disk, or will: what the kernel counts as `write_bytes`. */
  readonly writtenBytes: number;
  readonly readBytes: number;
  /** read and write calls, those on sockets included (but not send and recv). */
  readonly readCalls: number;
  readonly writeCalls: number;
}

export interface MachineUsage {
  readonly loopbackBytes: number;
  readonly diskWrites: number;
  readonly diskBytes: number;
  readonly diskFlushes: number;
}

export interface Sample {
  readonly roles: Readonly<Record<string, Usage>>;
  readonly machine: MachineUsage;
  /** Bytes sent over TCP by each role; null when not asked for, or `ss` is missing. */
  readonly sentBytes: Readonly<Record<string, number>> | null;
}

const ticksPerSecond = 100;
const sectorBytes = 512;

function text(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

interface Stat {
  readonly pid: number;
  readonly parent: number;
  readonly cpuMs: number;
}

/** @param line of /proc/PID/stat; the command name in it may hold anything. */
export function parseStat(line: string): Stat | null {
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  const pid = Number.parseInt(line, 10);
  if (fields.length < 20 || Number.isNaN(pid)) return null;
  const ticks = Number(fields[11]) + Number(fields[12]);
  return { pid, parent: Number(fields[1]), cpuMs: (ticks * 1_000) / ticksPerSecond };
}

/** Figures of lines such as `write_bytes: 4096` or `VmRSS:  120 kB`. */
export function parseNamed(content: string): ReadonlyMap<string, number> {
  return new Map(
    [...content.matchAll(/^(\w+):\s+(\d+)/gm)].map((match) => [match[1] ?? '', Number(match[2])]),
  );
}

/** Sums over the block devices themselves, without their partitions and without memory devices. */
export function parseDisks(content: string): Pick<MachineUsage, 'diskWrites' | 'diskBytes' | 'diskFlushes'> {
  let [diskWrites, diskBytes, diskFlushes] = [0, 0, 0];
  for (const line of content.split('\n')) {
    const fields = line.trim().split(/\s+/);
    if (!/^(vd[a-z]+|sd[a-z]+|xvd[a-z]+|nvme\d+n\d+)$/.test(fields[2] ?? '')) continue;
    diskWrites += Number(fields[7]);
    diskBytes += Number(fields[9]) * sectorBytes;
    diskFlushes += Number(fields[18] ?? 0);
  }
  return { diskWrites, diskBytes, diskFlushes };
}

/** Bytes sent by process, from `ss -tinpH`: a line per socket and an indented one with its counters. */
export function parseSockets(output: string): ReadonlyMap<number, number> {
  const sent = new Map<number, number>();
  let pids: readonly number[] = [];
  for (const line of output.split('\n')) {
    if (!/^\s/.test(line))
      pids = [...line.matchAll(/pid=(\d+)/g)].slice(0, 1).map((match) => Number(match[1]));
    const bytes = Number(/bytes_sent:(\d+)/.exec(line)?.[1] ?? 0);
    for (const pid of pids) sent.set(pid, (sent.get(pid) ?? 0) + bytes);
  }
  return sent;
}

function loopbackBytes(): number {
  const line = /^\s*lo:(.*)$/m.exec(text('/proc/net/dev'))?.[1] ?? '';
  return Number(line.trim().split(/\s+/)[8] ?? 0);
}

function pidsByRole(roles: Roles): {
  readonly stats: ReadonlyMap<number, Stat>;
  readonly roleOf: ReadonlyMap<number, string>;
} {
  const stats = new Map<number, Stat>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = parseStat(text(`/proc/${name}/stat`));
    if (stat !== null) stats.set(stat.pid, stat);
  }
  const roots = new Map(
    Object.entries(roles).flatMap(([role, pids]) => pids.map((pid) => [pid, role] as const)),
  );
  const roleOf = new Map<number, string>();
  for (const pid of stats.keys()) {
    let at: number | undefined = pid;
    while (at !== undefined && at > 1 && !roots.has(at)) at = stats.get(at)?.parent;
    const role = at === undefined ? undefined : roots.get(at);
    if (role !== undefined) roleOf.set(pid, role);
  }
  return { stats, roleOf };
}

const run = promisify(execFile);

async function sentByRole(
  roleOf: ReadonlyMap<number, string>,
): Promise<Readonly<Record<string, number>> | null> {
  try {
    const { stdout } = await run('ss', ['-tinpH'], { maxBuffer: 2 ** 26 });
    const sums: Record<string, number> = {};
    for (const [pid, bytes] of parseSockets(stdout)) {
      const role = roleOf.get(pid);
      if (role !== undefined) sums[role] = (sums[role] ?? 0) + bytes;
    }
    return sums;
  } catch {
    return null;
  }
}

export interface SampleOptions {
  /** Also asks `ss` for the bytes each process has sent, which costs some tens of milliseconds of CPU. */
  readonly sockets?: boolean;
  /** Exact memory of processes that share some, as those of PostgreSQL do; costs a millisecond for each. */
  readonly memory?: boolean;
}

/** Memory of a process, bytes; 0 when it is gone. @param exact what is shared is divided among those who share it (PSS). */
export function residentBytes(pid: number, exact: boolean): number {
  const proportional = exact ? parseNamed(text(`/proc/${pid}/smaps_rollup`)).get('Pss') : undefined;
  return 1024 * (proportional ?? parseNamed(text(`/proc/${pid}/status`)).get('VmRSS') ?? 0);
}

/** Counters as they stand now. */
export async function sample(roles: Roles, options: SampleOptions = {}): Promise<Sample> {
  const { stats, roleOf } = pidsByRole(roles);
  const sums = new Map<string, Usage>();
  for (const [pid, role] of roleOf) {
    const io = parseNamed(text(`/proc/${pid}/io`));
    const before = sums.get(role) ?? nothing;
    sums.set(role, {
      cpuMs: before.cpuMs + (stats.get(pid)?.cpuMs ?? 0),
      residentBytes: before.residentBytes + residentBytes(pid, options.memory ?? false),
      writtenBytes: before.writtenBytes + (io.get('write_bytes') ?? 0),
      readBytes: before.readBytes + (io.get('read_bytes') ?? 0),
      readCalls: before.readCalls + (io.get('syscr') ?? 0),
      writeCalls: before.writeCalls + (io.get('syscw') ?? 0),
    });
  }
  return {
    roles: Object.fromEntries(sums),
    machine: { loopbackBytes: loopbackBytes(), ...parseDisks(text('/proc/diskstats')) },
    sentBytes: options.sockets === true ? await sentByRole(roleOf) : null,
  };
}

const nothing: Usage = {
  cpuMs: 0,
  residentBytes: 0,
  writtenBytes: 0,
  readBytes: 0,
  readCalls: 0,
  writeCalls: 0,
};

/** Usage of one role; all zero when it has no process. */
export function usageOf(of: Sample, role: string): Usage {
  return Object.entries(of.roles).find(([name]) => name === role)?.[1] ?? nothing;
}

/** What lies between two samples; memory is that of the later one. A process that ended in between takes its share along. */
export function between(from: Sample, to: Sample): Sample {
  const roles = Object.entries(to.roles).map(([role, after]) => {
    const before = from.roles[role] ?? nothing;
    const usage: Usage = {
      cpuMs: after.cpuMs - before.cpuMs,
      residentBytes: after.residentBytes,
      writtenBytes: after.writtenBytes - before.writtenBytes,
      readBytes: after.readBytes - before.readBytes,
      readCalls: after.readCalls - before.readCalls,
      writeCalls: after.writeCalls - before.writeCalls,
    };
    return [role, usage] as const;
  });
  const { machine: a } = from;
  const { machine: b } = to;
  const sent = to.sentBytes;
  return {
    roles: Object.fromEntries(roles),
    machine: {
      loopbackBytes: b.loopbackBytes - a.loopbackBytes,
      diskWrites: b.diskWrites - a.diskWrites,
      diskBytes: b.diskBytes - a.diskBytes,
      diskFlushes: b.diskFlushes - a.diskFlushes,
    },
    sentBytes:
      sent === null
        ? null
        : Object.fromEntries(
            Object.entries(sent).map(([role, bytes]) => [
              role,
              Math.max(0, bytes - (from.sentBytes?.[role] ?? 0)),
            ]),
          ),
  };
}

/** CPU that processes take together over the next `ms` milliseconds, as a share of one core. */
export async function cpuShare(roles: Roles, ms: number): Promise<number> {
  const from = await sample(roles);
  await new Promise((resolve) => setTimeout(resolve, ms));
  const { roles: used } = between(from, await sample(roles));
  return Object.values(used).reduce((sum, { cpuMs }) => sum + cpuMs, 0) / ms;
}
