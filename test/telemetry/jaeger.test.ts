import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { jaegerPages } from '../../telemetry/jaeger/core/links.ts';
import { recentOnly } from '../../telemetry/jaeger/core/recent-window.ts';
import { windowServer } from '../../telemetry/jaeger/window-server.ts';

/** As Jaeger 2.20 asks for the Monitor tab of a service. */
const latencyOf = (service: string) =>
  `histogram_quantile(0.95, sum(rate(traces_span_metrics_duration_milliseconds_bucket{service_name =~ "${service}", span_kind =~ "SPAN_KIND_SERVER"}[10m])) by (service_name,span_name,le))`;
const hour = { start: 1_000_000, end: 1_003_600, stepSeconds: 60 };

describe('the window of the Monitor tab', () => {
  it('is ten seconds for the lag of regions, looked at every five', () => {
    expect(recentOnly({ query: latencyOf('sextant-lag'), ...hour })).toEqual({
      query: latencyOf('sextant-lag').replace('[10m]', '[10s]'),
      start: 1_000_000,
      end: 1_003_600,
      stepSeconds: 5,
    });
  });

  it('is a minute for what clients do, looked at every quarter of one', () => {
    const { query, stepSeconds } = recentOnly({ query: latencyOf('sextant-us-east-1'), ...hour });
    expect(query).toContain('}[60s]');
    expect(stepSeconds).toBe(15);
  });

  it('is as long as its steps, so that nothing falls between two of them, in a graph of many hours', () => {
    const twoDays = { start: 0, end: 172_800, stepSeconds: 600 };
    const { query, stepSeconds } = recentOnly({ query: latencyOf('sextant-lag'), ...twoDays });
    expect(stepSeconds).toBe(240);
    expect(query).toContain('}[240s]');
    // A step that was asked for is never made longer.
    expect(recentOnly({ query: latencyOf('sextant-lag'), ...twoDays, stepSeconds: 60 }).stepSeconds).toBe(60);
  });

  it('narrows every rate of a query, and none that was asked for with a shorter window', () => {
    const errors =
      'sum(rate(a{service_name =~ "sextant-lag"}[10m])) / sum(rate(b{x="y"}[10m])) + rate(c{}[2s])';
    expect(recentOnly({ query: errors, ...hour }).query).toBe(
      'sum(rate(a{service_name =~ "sextant-lag"}[10s])) / sum(rate(b{x="y"}[10s])) + rate(c{}[2s])',
    );
  });
});

describe('the buckets of the span metrics', () => {
  it('are at most a fifth apart where lag is an alarm, and go on for an hour', () => {
    const { connectors } = parse(readFileSync('telemetry/jaeger/jaeger.yaml', 'utf8'));
    const buckets: readonly string[] = connectors.spanmetrics.histogram.explicit.buckets;
    const unitMs = { us: 0.001, ms: 1, s: 1_000 } as const;
    const bounds = buckets.map((bucket) => {
      const [, count, unit] = /^(\d+)(us|ms|s)$/.exec(bucket) ?? [];
      return Number(count) * unitMs[unit as keyof typeof unitMs];
    });
    expect(bounds).toEqual(bounds.toSorted((a, b) => a - b));
    const steps = bounds.slice(1).map((bound, index) => ({ bound, ratio: bound / (bounds[index] ?? 0) }));
    const wide = steps.filter(({ bound, ratio }) => bound > 2_000 && bound <= 120_000 && ratio > 1.2);
    expect(wide).toEqual([]);
    expect(bounds.filter((bound) => bound === 2_000 || bound === 120_000)).toHaveLength(2);
    expect(bounds.at(-1)).toBe(3_600_000);
  });
});

describe('the pages of Jaeger', () => {
  const pages = jaegerPages('http://127.0.0.1:7120');

  it('name service, kind and time, which the browser would otherwise remember from last time', () => {
    expect(pages.monitor).toBe(
      'http://127.0.0.1:7120/monitor?service=sextant-lag&spanKind=server&timeframe=3600000',
    );
    expect(pages.trace('abc')).toBe('http://127.0.0.1:7120/trace/abc');
  });

  it('quote what is between regions', () => {
    const url = new URL(pages.search({ service: 'sextant-lag', operation: 'a→b & c' }));
    expect(url.searchParams.get('operation')).toBe('a→b & c');
  });
});

describe('the server between Jaeger and Prometheus', () => {
  const open: Server[] = [];
  afterEach(() => {
    for (const server of open.splice(0)) server.close();
  });
  const listening = async (server: Server): Promise<string> => {
    open.push(server);
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  };
  const asked: string[] = [];
  const prometheus = () =>
    createServer((request, response) => {
      let body = '';
      request.on('data', (chunk: Buffer) => {
        body += chunk.toString();
      });
      request.on('end', () => {
        asked.push(`${request.method} ${request.url} ${body}`);
        response.writeHead(200).end('{"status":"success"}');
      });
    });

  it('asks Prometheus for less time at more moments and hands its answer on', async () => {
    const url = await listening(windowServer(await listening(prometheus())));
    const body = new URLSearchParams({
      query: latencyOf('sextant-lag'),
      start: '1000000',
      end: '1003600.5',
      step: '60',
      timeout: '3s',
    });
    const answer = await fetch(`${url}/api/v1/query_range`, { method: 'POST', body });
    expect([answer.status, await answer.text()]).toEqual([200, '{"status":"success"}']);
    const [method, path, form] = (asked.at(-1) ?? '').split(' ');
    expect([method, path]).toEqual(['POST', '/api/v1/query_range']);
    const sent = new URLSearchParams(form);
    expect([sent.get('step'), sent.get('end'), sent.get('timeout')]).toEqual(['5', '1003600.5', '3s']);
    expect(sent.get('query')).toContain('}[10s]');
  });

  it('answers nothing else, and says why when Prometheus is away or the query is none', async () => {
    const url = await listening(windowServer('http://127.0.0.1:1'));
    const status = async (path: string, body?: string) =>
      (await fetch(url + path, body === undefined ? {} : { method: 'POST', body })).status;
    expect(await status('/healthz')).toBe(200);
    expect(await status('/api/v1/admin/tsdb/delete_series', 'match[]=up')).toBe(404);
    expect(await status('/api/v1/query_range', 'query=up')).toBe(400);
    expect(await status('/api/v1/query_range', 'query=up&start=1&end=2&step=0')).toBe(400);
    expect(await status('/api/v1/query_range', `query=${'x'.repeat(70_000)}`)).toBe(413);
    const away = await fetch(`${url}/api/v1/query_range?query=up&start=1&end=2&step=1`);
    expect(away.status).toBe(502);
    expect(await away.text()).toContain('Prometheus at http://127.0.0.1:1 does not answer');
  });
});
