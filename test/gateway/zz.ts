import { GatewayWorld, urlOf, writes, ready } from './gateway-harness.ts';
import { createLogger } from '../../telemetry/index.ts';
for (let round=0; round<8; round++) {
  const lines: string[] = [];
  const dest = { write(s: string) { lines.push(s); } };
  const w = await GatewayWorld.start();
  const log = (c: string) => createLogger({service:'x', region:'us-east-1', component:c, level: 'info', destination: dest as any});
  const g1 = await w.gateway('g1', {log: log('g1')}); await writes(g1);
  const g2 = await w.gateway('g2', {log: log('g2')}); await ready(urlOf(g2));
  const c = w.client(g2); const s = w.client(g2,'ws');
  await c.execute('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
  let bad = false;
  for (let id=1; id<=100; id++) {
    const t=performance.now();
    try { await c.execute({sql:'INSERT INTO t VALUES(?,?)', args:[id,'x']}); } catch (e) { console.log(round, id, String(e)); bad = true; }
    if (performance.now()-t>1500) { bad = true; console.log(round, id, 'slow', performance.now()-t, JSON.stringify(g1.report()), JSON.stringify(g2.report()), JSON.stringify((await w.record()))); }
    const n = (await s.execute('SELECT count(*) AS n FROM t')).rows[0]?.n; if (n !== BigInt(id)) console.log('count', id, n);
    if (bad) break;
  }
  if (bad) console.log(lines.join(''));
  console.log('round', round, 'ok');
  await w.close();
}
