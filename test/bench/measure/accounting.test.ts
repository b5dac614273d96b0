import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { between, parseDisks, parseNamed, parseSockets, parseStat, sample, usageOf } from './accounting.ts';

describe('accounting from /proc', () => {
  it('reads a stat line even when the command name holds spaces and parentheses', () => {
    const rest = [
      'S',
      '17',
      ...Array.from({ length: 9 }, () => '0'),
      '150',
      '50',
      ...Array.from({ length: 30 }, () => '0'),
    ];
    expect(parseStat(`4711 (a) b (c) ${rest.join(' ')}`)).toEqual({ pid: 4711, parent: 17, cpuMs: 2_000 });
    expect(parseStat('')).toBeNull();
  });

  it('reads named figures with and without a unit', () => {
    const values = parseNamed('rchar: 12\nwrite_bytes: 4096\nVmRSS:\t  120 kB\n');
    expect([values.get('write_bytes'), values.get('VmRSS')]).toEqual([4096, 120]);
  });

  it('adds devices up and leaves partitions and memory devices out', () => {
    const line = (name: string) => ` 254 0 ${name} 1 2 3 4 10 6 8 8 9 10 11 12 13 14 15 5 17`;
    const disks = parseDisks(['vda', 'vda1', 'nvme0n1', 'nvme0n1p1', 'loop0', 'zram0'].map(line).join('\n'));
    expect(disks).toEqual({ diskWrites: 20, diskBytes: 2 * 8 * 512, diskFlushes: 10 });
  });

  it('adds up the bytes of every socket of a process', () => {
    const output = [
      'ESTAB 0 0 127.0.0.1:1 127.0.0.1:2 users:(("node",pid=7,fd=20))',
      '\t cubic bytes_sent:100 bytes_acked:100 bytes_received:5',
      'ESTAB 0 0 127.0.0.1:3 127.0.0.1:4 users:(("node",pid=7,fd=21))',
      '\t cubic bytes_sent:11',
      'ESTAB 0 0 127.0.0.1:5 127.0.0.1:6 users:(("x",pid=9,fd=3),("x",pid=10,fd=3))',
      '\t cubic bytes_sent:3',
    ].join('\n');
    expect([...parseSockets(output)]).toEqual([
      [7, 111],
      [9, 3],
    ]);
  });

  it.runIf(process.platform === 'linux')('counts a child of a process to its role', async () => {
    const script = 'i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; echo done; sleep 30';
    const child = spawn('sh', ['-c', `sh -c '${script}'; true`], {
      stdio: ['ignore', 'pipe', 'ignore'],
      detached: true,
    });
    const roles = { busy: [child.pid ?? 0] };
    try {
      const from = await sample(roles);
      await once(child.stdout, 'data');
      const used = between(from, await sample(roles, { memory: true }));
      expect(usageOf(used, 'busy').cpuMs).toBeGreaterThan(0);
      expect(usageOf(used, 'busy').residentBytes).toBeGreaterThan(0);
      expect(usageOf(used, 'nobody').cpuMs).toBe(0);
    } finally {
      // Both shells: the group is theirs alone.
      process.kill(-(child.pid ?? 0), 'SIGKILL');
    }
  });
});
