#!/usr/bin/env bash
# @opentelemetry/exporter-trace-otlp-proto 0.301.0 with sdk-trace 3.1.1 (npm), opentelemetry-exporter-otlp-proto-http 1.45.2 with
# opentelemetry-sdk 1.45.2 (PyPI), seen on 2026-11-30.
#
# One would guess: OTEL_EXPORTER_OTLP_TIMEOUT, which the specification defines once for all languages, in milliseconds, means the same
# to each of them, as OTEL_BSP_EXPORT_TIMEOUT does.
#
# What happens: JavaScript takes milliseconds, Python takes seconds. With 2 a collector that takes a second to answer gets Python's
# spans, and JavaScript gives each request up before it can be answered. With 10000, the specification's own default, JavaScript waits
# ten seconds for a collector that hangs, and Python two hours and three quarters, with no export beside that one.
#
# Why it matters: the variable is set once, for all services of a cluster. Right for one language it means to the other that no span
# ever arrives, or that one hung request stops all exports, and the queue runs over in silence.
#
# Exit code 0 while it is so.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
python3 -m venv python >/dev/null
python/bin/pip install --quiet --disable-pip-version-check opentelemetry-sdk==1.45.2 opentelemetry-exporter-otlp-proto-http==1.45.2
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund @opentelemetry/api@1.10.0 @opentelemetry/sdk-trace@3.1.1 @opentelemetry/exporter-trace-otlp-proto@0.301.0
cat > export.mjs <<'JS'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';

const kept = new InMemorySpanExporter();
const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter: kept })] });
provider.getTracer('finding').startSpan('one').end();
await provider.forceFlush();
const exporter = new OTLPTraceExporter();
exporter.export(kept.getFinishedSpans(), ({ code }) => {
  console.log(code === 0 ? 'exported' : 'gave up');
  process.exit();
});
JS
cat > export.py <<'PY'
import logging

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

logging.disable()
kept = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(kept))
provider.get_tracer("finding").start_span("one").end()
result = OTLPSpanExporter().export(kept.get_finished_spans())
print("exported" if result is SpanExportResult.SUCCESS else "gave up")
PY
cat > show.mjs <<'JS'
import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);
const languages = { JavaScript: ['node', 'export.mjs'], Python: ['python/bin/python', 'export.py'] };

/** What an exporter says with this timeout of a collector that answers after so many milliseconds. */
const outcome = async (language, timeout, answerMs) => {
  const collector = createServer(async (request, response) => {
    request.resume();
    await sleep(answerMs);
    response.end();
  });
  await new Promise((listening) => collector.listen(0, '127.0.0.1', listening));
  const env = {
    ...process.env,
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collector.address().port}`,
    OTEL_EXPORTER_OTLP_TIMEOUT: timeout,
  };
  const [command, program] = languages[language];
  const said = (await run(command, [program], { env })).stdout.trim();
  collector.closeAllConnections();
  collector.close();
  console.log(`OTEL_EXPORTER_OTLP_TIMEOUT=${timeout}, the collector answers after ${answerMs} ms: ${language} ${said}`);
  return said;
};

const seen = [];
for (const [timeout, answerMs] of [['2', 1_000], ['2', 4_000], ['2000', 4_000]])
  for (const language of Object.keys(languages)) seen.push(await outcome(language, timeout, answerMs));
const expected = ['gave up', 'exported', 'gave up', 'gave up', 'gave up', 'exported'];
process.exit(seen.join() === expected.join() ? 0 : 1);
JS
node show.mjs
