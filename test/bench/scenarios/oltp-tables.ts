/** The matrix as tables and charts. */

import { type WorkloadName, workloads } from '../load/workload.ts';
import { total } from '../measure/cell.ts';
import type { Histogram } from '../measure/histogram.ts';
import { bytes, figure, msOfUs, ratio, times } from '../measure/stats.ts';
import type { Table } from '../report/report.ts';
import type { ChartPanel } from '../report/svg-chart.ts';
import { type Contender, clientCounts, type Measured } from './oltp.ts';
import { find } from './oltp-goals.ts';

const order: readonly Contender['id'][] = [
  'sextant',
  'sextant-streams',
  'sextant-http',
  'postgres',
  'mariadb',
  'etcd',
  'rqlite',
];

/** Those that were measured, always in the same order; not every one has every cell. */
function contendersIn(cells: readonly Measured[]): readonly Contender[] {
  const found = new Map(cells.map(({ contender }) => [contender.id, contender]));
  return order.flatMap((id) => found.get(id) ?? []);
}

const workloadsIn = (cells: readonly Measured[]): readonly WorkloadName[] => [
  ...new Set(cells.map(({ workload }) => workload)),
];

function throughput(cells: readonly Measured[], workload: WorkloadName): Table {
  const rows = contendersIn(cells).flatMap((contender) => {
    const row = clientCounts.map((clients) => find(cells, contender.id, workload, clients));
    if (row.every((cell) => cell === null)) return [];
    const ms = (pick: 'p50Us' | 'p99Us' | 'p999Us'): string =>
      row.map((cell) => msOfUs(cell?.[pick])).join(' / ');
    const errors = row.reduce((sum, cell) => sum + (cell?.errors ?? 0), 0);
    const widest = Math.max(...row.map((cell) => cell?.spread ?? 0));
    return [
      [
        contender.title,
        ...row.map((cell) => figure(cell?.perSecond)),
        ms('p50Us'),
        ms('p99Us'),
        ms('p999Us'),
        String(errors),
        `${Math.round(widest * 100)} %`,
      ],
    ];
  });
  const counts = clientCounts.map((clients) => `${clients} client${clients === 1 ? '' : 's'}, tx/s`);
  const at = clientCounts.join(' / ');
  return {
    title: `${workloads[workload].title}: transactions a second, latency in ms at ${at} clients`,
    head: ['system', ...counts, 'p50', 'p99', 'p99.9', 'errors', 'spread of rounds'],
    rows,
  };
}

const list = (byRole: Readonly<Record<string, number>>, show: (value: number) => string): string =>
  Object.entries(byRole)
    .filter(([role, value]) => role !== 'load' && value !== 0)
    .map(([role, value]) => `${role} ${show(value)}`)
    .join(', ') || '–';

/** What one single-row UPDATE costs. */
function costs(cells: readonly Measured[], clients: number): readonly Table[] {
  const rows = cells.filter((measured) => measured.workload === 'update' && measured.clients === clients);
  if (rows.length === 0) return [];
  return [
    {
      title: `What one single-row UPDATE costs at ${clients} client${clients === 1 ? '' : 's'}: CPU (µs), memory`,
      head: ['system', 'CPU', 'CPU by process', 'CPU of the generator', 'memory by process'],
      rows: rows.map(({ contender, cell }) => [
        contender.title,
        figure(total(cell.cpuUs)),
        list(cell.cpuUs, figure),
        figure(cell.cpuUs.load),
        list(cell.residentBytes, bytes),
      ]),
    },
    {
      title: `What one single-row UPDATE moves at ${clients} client${clients === 1 ? '' : 's'}: network and disk`,
      head: [
        'system',
        'loopback',
        'sent by process',
        'written by process',
        'device bytes',
        'device writes',
        'device flushes',
        'own counters',
      ],
      rows: rows.map(({ contender, cell }) => [
        contender.title,
        bytes(cell.loopbackBytes),
        list(cell.sentBytes, bytes),
        list(cell.writtenBytes, bytes),
        bytes(cell.diskBytes),
        figure(cell.diskWrites),
        figure(cell.diskFlushes),
        list(cell.counters, figure),
      ]),
    },
  ];
}

function commitLatency(cells: readonly Measured[], sync: Histogram): Table {
  const p50 = sync.quantileUs(0.5);
  const rows = contendersIn(cells).flatMap((contender) => {
    const cell = find(cells, contender.id, 'update', 1);
    if (cell === null) return [];
    return [[contender.title, msOfUs(cell.p50Us), msOfUs(cell.p99Us), times(ratio(cell.p50Us, p50))]];
  });
  return {
    title: 'Commit latency at 1 client against a raw fdatasync of 512 bytes in the same run, ms',
    head: ['system', 'p50', 'p99', 'p50 ÷ fdatasync'],
    rows: [['raw fdatasync', msOfUs(p50), msOfUs(sync.quantileUs(0.99)), '1'], ...rows],
  };
}

export function oltpTables(
  cells: readonly Measured[],
  sync: Histogram,
  ratios: Readonly<Record<string, number>>,
): readonly Table[] {
  if (cells.length === 0) return [];
  const named = Object.entries(ratios);
  return [
    ...workloadsIn(cells).map((workload) => throughput(cells, workload)),
    ...costs(cells, 1),
    ...costs(cells, 128),
    commitLatency(cells, sync),
    ...(named.length === 0
      ? []
      : [
          {
            title: 'Throughput of Sextant over WebSocket ÷ that of a peer',
            head: ['ratio', 'value'],
            rows: named.map(([name, value]) => [name, times(value)]),
          },
        ]),
  ];
}

/** What RESULTS.md says: one table for each question. */
export function oltpAnswers(cells: readonly Measured[], sync: Histogram): readonly Table[] {
  const kinds = workloadsIn(cells);
  const contenders = contendersIn(cells);
  const at = clientCounts.join(' / ');
  const row = (of: Contender, show: (workload: WorkloadName) => string): readonly string[] => [
    of.title,
    ...kinds.map(show),
  ];
  const head = ['system', ...kinds.map((workload) => workloads[workload].title)];
  const rates = (id: Contender['id'], workload: WorkloadName): string =>
    clientCounts.map((clients) => figure(find(cells, id, workload, clients)?.perSecond)).join(' / ');
  const waits = (id: Contender['id'], workload: WorkloadName): string => {
    const [lone, crowd] = [1, 128].map((clients) => find(cells, id, workload, clients));
    return [lone?.p50Us, lone?.p99Us, crowd?.p50Us, crowd?.p99Us].map(msOfUs).join(' / ');
  };
  const peersOf = contenders.filter(({ id }) => !id.startsWith('sextant'));
  const shares = (peer: Contender, workload: WorkloadName): string =>
    clientCounts
      .map((clients) => {
        const own = find(cells, 'sextant', workload, clients)?.perSecond;
        return figure(ratio(own, find(cells, peer.id, workload, clients)?.perSecond));
      })
      .join(' / ');
  const updates = contenders.flatMap((contender) => {
    const cell = find(cells, contender.id, 'update', 128);
    return cell === null ? [] : [{ contender, cell }];
  });
  return [
    {
      title: `How many transactions a second, by ${at} clients?`,
      head,
      rows: contenders.map((contender) => row(contender, (workload) => rates(contender.id, workload))),
    },
    {
      title: `How many times as many as each of the others, by ${at} clients?`,
      head: ['Sextant over WebSocket ÷', ...head.slice(1)],
      rows: peersOf.map((peer) => row(peer, (workload) => shares(peer, workload))),
    },
    {
      title: 'How long does one take, in ms? p50 / p99 by one client, p50 / p99 by 128',
      head,
      rows: contenders.map((contender) => row(contender, (workload) => waits(contender.id, workload))),
    },
    {
      title: 'What does a single-row UPDATE of 128 clients cost?',
      head: ['system', 'CPU µs', 'memory of all processes', 'written', 'device flushes', 'loopback'],
      rows: updates.map(({ contender, cell }) => [
        contender.title,
        figure(total(cell.cpuUs)),
        bytes(total(cell.residentBytes)),
        bytes(total(cell.writtenBytes)),
        figure(cell.diskFlushes),
        bytes(cell.loopbackBytes),
      ]),
    },
    commitLatency(cells, sync),
  ];
}

export function chartPanels(cells: readonly Measured[]): readonly ChartPanel[] {
  const contenders = contendersIn(cells);
  return workloadsIn(cells).map((workload) => ({
    title: workloads[workload].title,
    unit: 'transactions a second',
    series: contenders.map(({ title }) => title),
    groups: clientCounts.map((clients) => ({
      label: `${clients} client${clients === 1 ? '' : 's'}`,
      values: contenders.map(({ id }) => find(cells, id, workload, clients)?.perSecond ?? null),
    })),
  }));
}
