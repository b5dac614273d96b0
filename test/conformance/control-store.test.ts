/** The control store suite against JetStream with one and with three servers, and against the simulator's twin. */

import { type NatsConnection, openNatsConnection } from '../../regions/bus/nats-connection.ts';
import { type JetStreamControlStore, openControlStore } from '../../regions/control/control-store.ts';
import { initialControlRecord } from '../../regions/control/core/control-record.ts';
import { genesisEpoch, regionId } from '../../storage/redo/ids.ts';
import { ControlStoreTwin } from '../simulation/twins/control-store-twin.ts';
import { type ControlStoreFixture, controlStoreConformance } from './control-store.ts';
import { startNatsServers, testToken } from './control-store-servers.ts';

const primary = regionId('us-east-1');

async function startJetStream(servers: number): Promise<ControlStoreFixture> {
  const running = await startNatsServers(servers);
  const connections: NatsConnection[] = [];
  const stores: JetStreamControlStore[] = [];
  const replicas = servers > 1 ? 3 : 1;
  let clusters = 0;
  const connect = async (client: number): Promise<NatsConnection> => {
    const server = running.servers[client % running.servers.length];
    if (server === undefined) throw new Error('a fixture has a server');
    const connection = openNatsConnection({
      servers: [server.url],
      token: testToken,
      name: `client ${client}`,
    });
    connections.push(connection);
    if (!(await connection.whenConnected(10_000))) throw new Error(`no connection to ${server.url}`);
    return connection;
  };
  const open = (connection: NatsConnection, cluster: string) => {
    const store = openControlStore({ connection, cluster, replicas });
    stores.push(store);
    return store;
  };
  return {
    async open(clients) {
      clusters += 1;
      const cluster = `c${clusters}`;
      const opened: JetStreamControlStore[] = [];
      for (let client = 0; client < clients; client += 1) opened.push(open(await connect(client), cluster));
      const outcome = await opened[0]?.bootstrap({ primary, replicas, highestLocalEpoch: genesisEpoch });
      if (outcome?.kind !== 'created') throw new Error(`bootstrap: ${JSON.stringify(outcome)}`);
      return opened;
    },
    async openAbsent() {
      const connection = await connect(0);
      // Wait for the cluster's first election: without a leader nobody knows what is absent.
      const other = open(connection, 'present');
      await other.bootstrap({ primary, replicas, highestLocalEpoch: genesisEpoch });
      return open(connection, 'absent');
    },
    settle: (done) => done,
    async stop() {
      for (const store of stores) store.close();
      await Promise.all(connections.map((connection) => connection.close()));
      await running.stop();
    },
  };
}

controlStoreConformance('JetStream, one server', () => startJetStream(1), { rounds: 150, timeoutMs: 60_000 });
controlStoreConformance('JetStream, three servers', () => startJetStream(3), {
  rounds: 150,
  timeoutMs: 60_000,
});

/** Virtual time that passes only while somebody waits. */
async function startTwin(): Promise<ControlStoreFixture> {
  const due: { readonly at: number; readonly order: number; readonly act: () => void }[] = [];
  let now = 0;
  let order = 0;
  let state = 1;
  const random = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 0x1_0000_0000;
  };
  const twin = () =>
    new ControlStoreTwin({
      schedule: (delayMs, act) => {
        order += 1;
        due.push({ at: now + delayMs, order, act });
        due.sort((a, b) => a.at - b.at || a.order - b.order);
      },
      random,
      delayMs: { min: 1, max: 200 },
      timeoutMs: 1_500,
      pollMs: 1_000,
      chance: { lose: 0, linger: 0, stale: 0 },
    });
  return {
    async open(clients) {
      const store = twin();
      store.bootstrap(initialControlRecord(primary));
      return Array.from({ length: clients }, () => store.client());
    },
    openAbsent: async () => twin().client(),
    async settle(done) {
      const pending = new Set([done]);
      void done.finally(() => pending.clear());
      for (let events = 0; events < 100_000 && pending.size > 0; events += 1) {
        const event = due.shift();
        if (event === undefined) break;
        now = event.at;
        event.act();
        // Lets what the event resolved be noticed before more time passes.
        for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
      }
      return done;
    },
    stop: () => Promise.resolve(),
  };
}

controlStoreConformance('simulated twin', startTwin, { rounds: 150, timeoutMs: 20_000 });
