import { describe, expect, it } from 'vitest';
import { fact, run, start } from './tracer-harness.ts';

describe('telemetry without a collector', () => {
  it('loads no OpenTelemetry package, starts no thread and writes nothing', async () => {
    const script = `
      import { registerHooks } from 'node:module';
      const loaded = [];
      registerHooks({ load(url, context, next) { loaded.push(url); return next(url, context); } });
      const { startTelemetry } = await import(${JSON.stringify(new URL('../../telemetry/index.ts', import.meta.url).href)});
      const t = startTelemetry({ serviceName: 'sextant-r', region: 'r', instanceId: 'r/g1', role: 'gateway' });
      t.record({});
      await t.flush();
      await t.shutdown();
      const wrong = loaded.filter((url) => /@opentelemetry|otel-worker/.test(url));
      const resources = process.getActiveResourcesInfo().filter((name) => /Worker|MessagePort/.test(name));
      const seen = loaded.some((url) => url.endsWith('/telemetry/tracer.ts'));
      process.exitCode = !t.enabled && seen && wrong.length === 0 && resources.length === 0 ? 0 : 3;`;
    expect(await run(script, {})).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  it.each([
    [{}],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: ' ' }],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318', OTEL_SDK_DISABLED: 'TRUE' }],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318', OTEL_TRACES_EXPORTER: 'none' }],
  ])('is off in silence with %o', (env) => {
    const { telemetry, warnings } = start(env);
    expect([telemetry.enabled, warnings]).toEqual([false, []]);
    expect(telemetry.begin(null)).toBeNull();
    const { context } = fact();
    expect(telemetry.begin(context)).toBe(context);
  });

  it('is off with a warning, which does not repeat the value, when the endpoint is no URL', () => {
    const { telemetry, warnings } = start({ OTEL_EXPORTER_OTLP_ENDPOINT: 'hunter2@collector:4318' });
    expect(telemetry.enabled).toBe(false);
    expect(warnings).toEqual(['OTEL_EXPORTER_OTLP_ENDPOINT is not an http or https URL; traces are off']);
  });
});
