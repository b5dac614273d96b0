/** How to start the peers. */
import { startEtcd } from './etcd.ts';
import { startMariadb } from './mariadb.ts';
import { startPostgres } from './postgres.ts';
import { startRqlite } from './rqlite.ts';
import type { PeerName, StartSystem } from './system.ts';

export const peers: Readonly<Record<PeerName, StartSystem>> = {
  postgres: startPostgres,
  mariadb: startMariadb,
  etcd: startEtcd,
  rqlite: startRqlite,
};
