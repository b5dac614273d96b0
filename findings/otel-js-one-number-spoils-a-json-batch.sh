#!/usr/bin/env bash
# @opentelemetry/exporter-trace-otlp-http 0.301.0 and -proto 0.301.0 with sdk-trace 3.1.1 (npm), and the decoder of the OpenTelemetry
# Collector, go.opentelemetry.io/collector/pdata v1.71.0 (Go module proxy), seen on 2026-11-30. Needs Go 1.26 or newer.
#
# One would guess: an attribute may be any number. At worst one that OTLP cannot hold is lost, or arrives changed.
#
# What happens: in JSON the exporter writes NaN and the infinities as null, and each number without a fraction as a 64-bit integer,
# however large: 2^64 and 1e300 too. -2^63, which is one, is written with digits that are not (-9223372036854776000). The Collector's
# decoder takes none of these, and refuses the whole request, with the spans that are in the batch beside that one: up to 511 by
# default. The exporter for protobuf sends the same spans, and all of them arrive, with the numbers as they were.
#
# Why it matters: a rate over an empty interval, a limit that says "none" by the largest float, a 64-bit id or hash. One span with
# one of these, now and then, is a hole of several hundred spans in everybody else's traces, and only with one of the two encodings.
#
# Exit code 0 while it is so.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund @opentelemetry/api@1.10.0 @opentelemetry/sdk-trace@3.1.1 \
  @opentelemetry/exporter-trace-otlp-http@0.301.0 @opentelemetry/exporter-trace-otlp-proto@0.301.0
cat > send.mjs <<'JS'
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtobufExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';

let body;
const server = createServer((request, response) => {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    body = Buffer.concat(parts);
    response.end();
  });
});
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const url = `http://127.0.0.1:${server.address().port}/v1/traces`;
const numbers = { 'half': 0.5, '2^53': 2 ** 53, 'minus-2^63': -(2 ** 63), '2^64': 2 ** 64, '1e300': 1e300, 'NaN': Number.NaN, 'infinity': Infinity };
for (const [encoding, Exporter] of [['json', JsonExporter], ['protobuf', ProtobufExporter]])
  for (const [name, value] of Object.entries(numbers)) {
    const provider = new TracerProvider({ spanProcessors: [new BatchSpanProcessor({ exporter: new Exporter({ url }) })] });
    const tracer = provider.getTracer('finding');
    for (let span = 0; span < 200; span++) tracer.startSpan('plain', { attributes: { number: span } }).end();
    tracer.startSpan('special', { attributes: { number: value } }).end();
    await provider.shutdown();
    writeFileSync(`${name}.${encoding}`, body);
  }
server.close();
JS
cat > decode.go <<'GO'
package main

import (
	"fmt"
	"os"
	"strings"

	"go.opentelemetry.io/collector/pdata/ptrace"
)

func main() {
	for _, name := range os.Args[1:] {
		bytes, err := os.ReadFile(name)
		if err != nil {
			panic(err)
		}
		var decoder ptrace.Unmarshaler = &ptrace.ProtoUnmarshaler{}
		if strings.HasSuffix(name, ".json") {
			decoder = &ptrace.JSONUnmarshaler{}
		}
		traces, err := decoder.UnmarshalTraces(bytes)
		if err != nil {
			fmt.Println(name, "refused")
			continue
		}
		spans := traces.ResourceSpans().At(0).ScopeSpans().At(0).Spans()
		number, _ := spans.At(spans.Len() - 1).Attributes().Get("number")
		fmt.Println(name, spans.Len(), "spans, the last with", number.Type(), number.AsString())
	}
}
GO
export GOMODCACHE="$PWD/modules" GOFLAGS='-mod=mod -modcacherw'
{ go mod init finding && go get go.opentelemetry.io/collector/pdata@v1.71.0 && go build -o decode decode.go; } >go.log 2>&1 ||
  { cat go.log; exit 1; }
node send.mjs
for encoding in json protobuf; do
  for name in half 2^53 minus-2^63 2^64 1e300 NaN infinity; do ./decode "$name.$encoding"; done
done | tee seen.txt
[ "$(grep -c 'json refused$' seen.txt)" = 5 ] && [ "$(grep -cE '(half|2\^53).json 201 spans' seen.txt)" = 2 ] &&
  [ "$(grep -c 'protobuf 201 spans' seen.txt)" = 7 ]
