#!/usr/bin/env bash
# @opentelemetry/sdk-trace 3.1.1 (npm) and opentelemetry-sdk 1.45.2 (PyPI), seen on 2026-11-30.
#
# One would guess: OTEL_TRACES_SAMPLER=traceidratio decides by the trace's id alone, so that services with the same ratio keep the same
# traces, and a tenth of the traces is there whole.
#
# What happens: each language computes something else of the id. JavaScript folds its four 32-bit words into one by XOR, Python takes
# the lower 64 bits. Of ids as both make them the two choose independently: with a ratio of a tenth each keeps a tenth of the traces,
# and only a hundredth is kept by both. Of the traces that either keeps, one in eighteen is whole. The specification leaves the
# algorithm open; neither package says which one it has.
#
# Why it matters: a service in a second language joins, with the same environment, and traces across the two fall apart: roots without
# children, and spans whose parent is missing. It looks like lost exports. A decision that travels (parentbased_traceidratio) is whole.
#
# Exit code 0 while it is so.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
python3 -m venv python >/dev/null
python/bin/pip install --quiet --disable-pip-version-check opentelemetry-sdk==1.45.2
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund @opentelemetry/sdk-trace@3.1.1 @opentelemetry/api@1.10.0
cat > sample.mjs <<'JS'
import { createHash } from 'node:crypto';
import { ROOT_CONTEXT } from '@opentelemetry/api';
import { SamplingDecision, TraceIdRatioBasedSampler } from '@opentelemetry/sdk-trace';

const sampler = new TraceIdRatioBasedSampler(Number(process.argv[2]));
for (let number = 0; number < 50_000; number++) {
  const traceId = createHash('sha256').update(String(number)).digest('hex').slice(0, 32);
  console.log(traceId, sampler.shouldSample(ROOT_CONTEXT, traceId).decision === SamplingDecision.RECORD_AND_SAMPLED ? 1 : 0);
}
JS
cat > compare.py <<'PY'
import sys

from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

ratio = float(sys.argv[1])
sampler = TraceIdRatioBased(ratio)
traces = in_javascript = in_python = in_both = 0
for line in sys.stdin:
    trace_id, kept = line.split()
    javascript = kept == "1"
    python = sampler.should_sample(None, int(trace_id, 16), "span").decision.is_sampled()
    traces += 1
    in_javascript += javascript
    in_python += python
    in_both += javascript and python
print(f"ratio {ratio}: of {traces} traces JavaScript keeps {in_javascript}, Python {in_python}, both {in_both}")
each_keeps_its_share = all(0.9 * ratio < kept / traces < 1.1 * ratio for kept in (in_javascript, in_python))
independent = 0.8 * ratio**2 < in_both / traces < 1.2 * ratio**2
sys.exit(0 if each_keeps_its_share and independent else 1)
PY
for ratio in 0.1 0.5; do node sample.mjs "$ratio" | python/bin/python compare.py "$ratio"; done
