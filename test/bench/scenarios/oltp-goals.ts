/** Ratios between systems, and the goals that follow from the matrix. */

import type { WorkloadName } from '../load/workload.ts';
import { total } from '../measure/cell.ts';
import { ratio } from '../measure/stats.ts';
import type { Goal } from '../report/report.ts';
import type { Contender, Measured } from './oltp.ts';

const nameOf: Readonly<Record<string, string>> = {
  postgres: 'postgresQuorum',
  mariadb: 'mariadb',
  etcd: 'etcd',
  rqlite: 'rqlite',
};

export function find(
  cells: readonly Measured[],
  id: Contender['id'],
  workload: WorkloadName,
  clients: number,
): Measured['cell'] | null {
  const found = cells.find(
    (measured) =>
      measured.contender.id === id && measured.workload === workload && measured.clients === clients,
  );
  return found?.cell ?? null;
}

/**
 * Throughput of Sextant over WebSocket ÷ that of each peer. UPDATE is called by the peer alone (`postgresQuorum128`), other
 * workloads with their name before it (`tpcb.mariadb16`).
 */
export function ratiosOf(cells: readonly Measured[]): Readonly<Record<string, number>> {
  const ratios: Record<string, number> = {};
  for (const { contender, workload, clients, cell } of cells) {
    const peer = nameOf[contender.id];
    const own = find(cells, 'sextant', workload, clients);
    const value = ratio(own?.perSecond, cell.perSecond);
    if (peer === undefined || value === null) continue;
    ratios[`${workload === 'update' ? '' : `${workload}.`}${peer}${clients}`] = value;
  }
  return ratios;
}

export function goalsOf(cells: readonly Measured[]): readonly Goal[] {
  const update = (id: Contender['id'], clients: number) => find(cells, id, 'update', clients);
  const own1 = update('sextant', 1);
  const own128 = update('sextant', 128);
  const copyBytes = (id: 'sextant' | 'mariadb'): number | null => {
    const cell = update(id, 1);
    return cell === null ? null : total(cell.writtenBytes) / (id === 'sextant' ? 6 : 1);
  };
  return [
    {
      text: 'UPDATE, 128 connections: throughput ÷ PostgreSQL ANY 3 (the aim is 5)',
      value: ratio(own128?.perSecond, update('postgres', 128)?.perSecond),
      bound: 2,
      better: 'atLeast',
    },
    {
      text: 'UPDATE, 128 connections: throughput ÷ MariaDB (the aim is 5)',
      value: ratio(own128?.perSecond, update('mariadb', 128)?.perSecond),
      bound: 2,
      better: 'atLeast',
    },
    {
      text: 'UPDATE, 1 connection: p50 ÷ PostgreSQL ANY 3',
      value: ratio(own1?.p50Us, update('postgres', 1)?.p50Us),
      bound: 1.3,
      better: 'atMost',
    },
    {
      text: 'UPDATE, 128 connections: p99 ÷ PostgreSQL ANY 3',
      value: ratio(own128?.p99Us, update('postgres', 128)?.p99Us),
      bound: 1,
      better: 'atMost',
    },
    {
      text: 'redo of an UPDATE per copy, bytes',
      value: own128 === null ? null : (own128.counters.redoBytes ?? null),
      bound: 250,
      better: 'atMost',
    },
    {
      text: 'UPDATE, 1 connection: bytes written to disk per copy ÷ MariaDB',
      value: ratio(copyBytes('sextant'), copyBytes('mariadb')),
      bound: 0.1,
      better: 'atMost',
    },
  ];
}
