/** Drills on disk, the desk that a supervisor keeps for them, and the way a gateway has to it. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { reportOf } from '../../../regions/drills/core/report-of.ts';
import { drillDesk } from '../../../regions/drills/run/drill-desk.ts';
import {
  abandonedDrill,
  drillId,
  listDrills,
  lockDrills,
  saveBegun,
  saveReport,
  showDrill,
} from '../../../regions/drills/run/drill-history.ts';
import { drillLink } from '../../../regions/drills/run/drill-link.ts';
import { type MoreRoutes, serveControl } from '../../../regions/local/control-socket.ts';
import { drill, facts, iso } from './samples.ts';

let dataDir: string;
const ends: (() => void)[] = [];
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'sx-drills-'));
});
afterEach(() => {
  for (const end of ends.splice(0).reverse()) end();
  rmSync(dataDir, { recursive: true, force: true });
});

const report = reportOf(facts(), iso);
const begun = { id: drill, kind: 'region-loss' as const, startedAt: iso(0), pid: process.pid };

describe('the history of drills', () => {
  it('names drills so that they sort by time', () => {
    expect(drillId('az-loss', Date.UTC(2026, 10, 29, 10, 15, 1), '00ff')).toBe(
      '20261129-101501-az-loss-00ff',
    );
  });

  it('keeps each report in its three forms, and where else it is wanted', () => {
    const also = join(dataDir, 'also');
    expect(saveReport(dataDir, report, also)).toEqual([join(dataDir, 'drills', drill), also]);
    for (const dir of [join(dataDir, 'drills', drill), also]) {
      expect(JSON.parse(readFileSync(join(dir, 'report.json'), 'utf8'))).toEqual(report);
      expect(readFileSync(join(dir, 'report.html'), 'utf8')).toContain('</html>');
      expect(readFileSync(join(dir, 'junit.xml'), 'utf8')).toContain('</testsuites>');
    }
    expect(showDrill(dataDir, drill)).toMatchObject({ state: 'passed', rtoMs: 4005, report });
    expect(listDrills(dataDir)).toEqual([
      {
        id: drill,
        kind: 'region-loss',
        state: 'passed',
        startedAt: report.startedAt,
        rtoMs: 4005,
        rpoCommits: 1,
        lostWrites: 1,
      },
    ]);
  });

  it('has no drill that was never begun, and reads nothing outside of it', () => {
    expect(listDrills(dataDir)).toEqual([]);
    expect(showDrill(dataDir, drill)).toBeNull();
    writeFileSync(join(dataDir, 'report.json'), JSON.stringify(report));
    expect(showDrill(dataDir, '..')).toBeNull();
  });

  it('tells a drill that runs from one whose process is gone', async () => {
    saveBegun(dataDir, begun);
    expect(showDrill(dataDir, drill)).toMatchObject({ state: 'abandoned', report: null });
    const lock = await lockDrills(dataDir);
    expect(showDrill(dataDir, drill)?.state).toBe('running');
    expect(abandonedDrill(dataDir)).toBeNull();
    lock.release();
    expect(showDrill(dataDir, drill)?.state).toBe('abandoned');
    expect(abandonedDrill(dataDir)).toBe(drill);
    saveReport(dataDir, report);
    expect(abandonedDrill(dataDir)).toBeNull();
  });

  it('lets one drill run at a time, and says whose it is', async () => {
    const lock = await lockDrills(dataDir);
    await expect(lockDrills(dataDir)).rejects.toMatchObject({
      code: 'DRILL_UNDER_WAY',
      message: expect.stringMatching(new RegExp(`pid ${process.pid}.*Ctrl-C`)),
    });
    lock.release();
    (await lockDrills(dataDir)).release();
  });
});

/** A supervisor's socket with a desk whose command is this program. */
async function desk(program: string): Promise<ReturnType<typeof drillLink>> {
  const file = join(dataDir, 'command.mjs');
  writeFileSync(file, program);
  const more: MoreRoutes = drillDesk(dataDir, [process.execPath, file]);
  const socket = join(dataDir, 'control.sock');
  const status = { pid: 1, phase: 'ready' as const, isolated: [], wan: [], slowed: [], processes: [] };
  const server = await serveControl(socket, {
    status: () => status,
    act: async () => ({ changed: [] }),
    more,
  });
  ends.push(() => {
    more.close();
    server.close();
    server.closeAllConnections();
  });
  return drillLink(socket);
}

const request = { kind: 'az-loss', region: 'eu-west-1', rtoMs: 500, load: 60, seconds: 3 } as const;

describe('the desk of a supervisor', () => {
  it('runs a drill as a command of its own and answers once it has begun; the gateway hands that on', async () => {
    const history = new URL('../../../regions/drills/run/drill-history.ts', import.meta.url).href;
    const link = await desk(`
      import { writeFileSync } from 'node:fs';
      import { lockDrills, saveBegun } from '${history}';
      const dataDir = process.argv.at(-1);
      writeFileSync(dataDir + '/arguments', process.argv.slice(2).join(' '));
      await lockDrills(dataDir);
      saveBegun(dataDir, { ...${JSON.stringify(begun)}, pid: process.pid });
      setInterval(() => undefined, 1_000);
    `);
    expect(await link.list()).toEqual({ status: 200, body: { drills: [] } });
    const started = await link.start(request);
    expect(started).toMatchObject({ status: 202, body: { id: drill, state: 'running', report: null } });
    expect(readFileSync(join(dataDir, 'arguments'), 'utf8')).toBe(
      `drill az-loss --region eu-west-1 --rto-ms 500 --load 60 --seconds 3 --json --data ${dataDir}`,
    );
    expect(await link.show(drill)).toMatchObject({ status: 200, body: { state: 'running' } });
    expect(await link.list()).toMatchObject({ status: 200, body: { drills: [{ id: drill }] } });
    expect(await link.show('20261129-101500-az-loss-0000')).toMatchObject({
      status: 404,
      error: { code: 'UNKNOWN_DRILL' },
    });
  });

  it('hands on why a command refused, and what one said that merely ended', async () => {
    const link = await desk(
      `console.error(JSON.stringify({ error: { code: 'DEGRADED', message: 'n3 is down' } }));`,
    );
    expect(await link.start(request)).toEqual({
      status: 409,
      error: { code: 'DEGRADED', message: 'n3 is down' },
    });
    const broken = await desk(`console.error('out of ideas');`);
    expect(await broken.start(request)).toMatchObject({
      status: 409,
      error: { code: 'DRILL_REFUSED', message: expect.stringContaining('out of ideas') },
    });
  });

  it('is said to be unreachable when no supervisor answers', async () => {
    const link = drillLink(join(dataDir, 'nobody.sock'));
    for (const answer of [await link.list(), await link.show(drill), await link.start(request)])
      expect(answer).toMatchObject({ status: 503, error: { code: 'SUPERVISOR_UNREACHABLE' } });
  });
});
