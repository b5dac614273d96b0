import { expect, it } from 'vitest';
import { parsePgbench } from './pgbench.ts';

const said = `pgbench (15.18 (Debian 15.18-0+deb12u1))
transaction type: <builtin: select only>
scaling factor: 1
query mode: prepared
number of clients: 16
number of threads: 1
maximum number of tries: 1
duration: 1 s
number of transactions actually processed: 15347
number of failed transactions: 2 (0.013%)
latency average = 1.036 ms
initial connection time = 12.3 ms
tps = 15448.123456 (without initial connection time)
`;

it('what pgbench says at its end is read', () => {
  expect(parsePgbench(said)).toEqual({ perSecond: 15_448.123456, transactions: 15_347, failed: 2 });
});

it('a run without a rate is no figure', () => {
  expect(() => parsePgbench('pgbench: error: connection refused')).toThrow('connection refused');
});
