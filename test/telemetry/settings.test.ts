import { describe, expect, it } from 'vitest';
import { RateLimit } from '../../telemetry/log/rate-limit.ts';
import { mergeResourceAttributes, tracingSettings } from '../../telemetry/trace/settings.ts';

describe('settings', () => {
  const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' };

  it('send a span within half a second by default, and follow OTEL_BSP_*', () => {
    expect(tracingSettings(endpoint)).toMatchObject({
      kind: 'on',
      batch: { scheduleDelayMs: 300 },
      warnings: [],
    });
    const tuned = {
      OTEL_BSP_SCHEDULE_DELAY: '50',
      OTEL_BSP_MAX_QUEUE_SIZE: '10',
      OTEL_BSP_EXPORT_TIMEOUT: '900',
    };
    expect(tracingSettings({ ...endpoint, ...tuned })).toEqual({
      kind: 'on',
      batch: { scheduleDelayMs: 50, exportBatchMax: 10, queueMax: 10, exportTimeoutMs: 900 },
      warnings: [],
    });
  });

  it.each([
    [
      { OTEL_BSP_MAX_QUEUE_SIZE: 'many' },
      'OTEL_BSP_MAX_QUEUE_SIZE must be a whole number from 1; using 65536',
    ],
    [
      { OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' },
      'OTEL_EXPORTER_OTLP_PROTOCOL is not followed: spans of requests and commits leave as http/protobuf, all others as http/json',
    ],
    [{ OTEL_TRACES_EXPORTER: 'zipkin' }, 'OTEL_TRACES_EXPORTER: only otlp and none are supported'],
  ])('warn about %o', (env, warning) => {
    expect(tracingSettings({ ...endpoint, ...env })).toMatchObject({ kind: 'on', warnings: [warning] });
  });

  it('merge resource attributes: user over defaults, identity over all, malformed entries alone are lost', () => {
    const merged = mergeResourceAttributes(
      'a=user,b=x%2Cy,=z,c,d=1=2,e=%ZZ',
      { a: 'default', f: '=,' },
      { b: 'mine' },
    );
    expect(merged).toBe('a=user,f=%3D%2C,b=mine');
  });

  it('cut a resource attribute that the SDK would refuse, and never keep a process from starting', () => {
    const inTwoHalves = `${'x'.repeat(254)}🛰 beyond`;
    expect(mergeResourceAttributes(`place=${inTwoHalves}`, {}, {})).toBe(`place=${'x'.repeat(254)}%EF%BF%BD`);
  });

  it('limit the rate of warnings and count those held back', () => {
    let now = 0;
    const limit = new RateLimit(60_000, () => now);
    expect(limit.pass()).toEqual({ suppressed: 0 });
    expect([limit.pass(), limit.pass()]).toEqual([null, null]);
    now = 59_999;
    expect(limit.pass()).toBeNull();
    now = 60_000;
    expect(limit.pass()).toEqual({ suppressed: 3 });
  });
});
