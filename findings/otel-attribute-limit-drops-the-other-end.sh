#!/usr/bin/env bash
# @opentelemetry/sdk-trace 3.1.1 (npm) and opentelemetry-sdk 1.45.2 (PyPI), seen on 2026-11-30.
#
# One would guess: a span that has more attributes than OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT (128 by default) loses the same ones in every
# language: those that came when it was full.
#
# What happens: JavaScript refuses what comes when it is full. Python makes room for it, and drops the attribute that was set first. So
# the same span keeps its first attributes in the one language and its last in the other. Both export how many were dropped, and
# neither which. (Python's warning in its log, one for each, says that it was the oldest.)
#
# Why it matters: the first attributes are those given when the span starts: route, method, tenant, database, what a sampler has decided
# by and what dashboards group by. A loop that writes one attribute for each item of a large order pushes exactly these out of Python's
# span, which is then in no dashboard. An error's attributes, which come last, are what JavaScript loses.
#
# Exit code 0 while it is so.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
python3 -m venv python >/dev/null
python/bin/pip install --quiet --disable-pip-version-check opentelemetry-sdk==1.45.2
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund @opentelemetry/api@1.10.0 @opentelemetry/sdk-node@0.301.0 @opentelemetry/sdk-trace@3.1.1
cat > span.mjs <<'JS'
import { trace } from '@opentelemetry/api';
import { NodeSDK } from '@opentelemetry/sdk-node';
import { InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace';

const kept = new InMemorySpanExporter();
const processor = new SimpleSpanProcessor({ exporter: kept });
const sdk = new NodeSDK({ spanProcessors: [processor], metricReaders: [], logRecordProcessors: [] });
sdk.start();
const span = trace.getTracer('finding').startSpan('order', { attributes: { 'http.route': '/orders', 'tenant.id': '7' } });
for (let item = 0; item < 200; item++) span.setAttribute(`item.${item}`, item);
span.setAttribute('error.type', 'timeout');
span.end();
await processor.forceFlush();
const [{ attributes, droppedAttributesCount }] = kept.getFinishedSpans();
const has = ['http.route', 'tenant.id', 'item.0', 'item.199', 'error.type'].filter((name) => name in attributes);
console.log(`${Object.keys(attributes).length} kept, ${droppedAttributesCount} dropped, among those kept: ${has.join(' ')}`);
JS
cat > span.py <<'PY'
import logging

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

logging.disable()
kept = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(kept))
span = provider.get_tracer("finding").start_span("order", attributes={"http.route": "/orders", "tenant.id": "7"})
for item in range(200):
    span.set_attribute(f"item.{item}", item)
span.set_attribute("error.type", "timeout")
span.end()
(finished,) = kept.get_finished_spans()
has = [name for name in ("http.route", "tenant.id", "item.0", "item.199", "error.type") if name in finished.attributes]
print(f"{len(finished.attributes)} kept, {finished.dropped_attributes} dropped, among those kept: {' '.join(has)}")
PY
export OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT=64
javascript=$(node span.mjs)
python=$(python/bin/python span.py)
echo "JavaScript: $javascript"
echo "Python: $python"
[ "$javascript" = '64 kept, 139 dropped, among those kept: http.route tenant.id item.0' ] &&
  [ "$python" = '64 kept, 139 dropped, among those kept: item.199 error.type' ]
