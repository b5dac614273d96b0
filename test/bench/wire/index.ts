/** A connection to any system under test. */
import type { Protocol } from '../load/plan.ts';
import { connectEtcd } from './etcd.ts';
import { connectHranaHttp } from './hrana-http.ts';
import { connectHranaWs } from './hrana-ws.ts';
import { connectMysql } from './mysql.ts';
import { connectPostgres } from './postgres.ts';
import { connectRqlite } from './rqlite.ts';
import type { Connect } from './socket.ts';

export const connects: Readonly<Record<Protocol, Connect>> = {
  'hrana-ws': connectHranaWs,
  'hrana-http': connectHranaHttp,
  postgres: connectPostgres,
  mysql: connectMysql,
  etcd: connectEtcd,
  rqlite: connectRqlite,
};
