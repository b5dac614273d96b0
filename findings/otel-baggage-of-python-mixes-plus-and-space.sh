#!/usr/bin/env bash
# opentelemetry-api 1.45.2 (PyPI), @opentelemetry/core 3.1.1 (npm) and go.opentelemetry.io/otel v1.47.0 (Go module proxy), seen on
# 2026-11-30. Needs Go 1.25 or newer.
#
# One would guess: baggage that one service sets is what the next one reads. All three speak the same header, W3C's `baggage`, whose
# values are percent-encoded.
#
# What happens: Python writes and reads the header as HTML forms are encoded, where a space is a plus. W3C's format has no such rule,
# and a plus may stand there as it is. So a space that Python sends is read as a plus by JavaScript and Go, and a plus that Go sends is
# read as a space by Python. From Python to Python, and from JavaScript, which escapes both, all is well.
#
# Why it matters: times with an offset (12:00:00+02:00), telephone numbers, base64, names of plans and customers. The value is there and
# is another one, so that what routes, counts or charges by it takes the wrong case, and only across two languages.
#
# Exit code 0 while it is so.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
python3 -m venv python >/dev/null
python/bin/pip install --quiet --disable-pip-version-check opentelemetry-api==1.45.2
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund @opentelemetry/api@1.10.0 @opentelemetry/core@3.1.1
cat > baggage.mjs <<'JS'
import { propagation, ROOT_CONTEXT } from '@opentelemetry/api';
import { W3CBaggagePropagator } from '@opentelemetry/core';

const [, , action, text] = process.argv;
const propagator = new W3CBaggagePropagator();
if (action === 'write') {
  const headers = {};
  const context = propagation.setBaggage(ROOT_CONTEXT, propagation.createBaggage({ value: { value: text } }));
  propagator.inject(context, headers, { set: (to, name, value) => Object.assign(to, { [name]: value }) });
  console.log(headers.baggage);
} else {
  const context = propagator.extract(ROOT_CONTEXT, { baggage: text }, { get: (from, name) => from[name], keys: Object.keys });
  console.log(propagation.getBaggage(context).getEntry('value').value);
}
JS
cat > baggage.py <<'PY'
import sys

from opentelemetry.baggage import get_baggage, set_baggage
from opentelemetry.baggage.propagation import W3CBaggagePropagator

_, action, text = sys.argv
if action == "write":
    headers = {}
    W3CBaggagePropagator().inject(headers, set_baggage("value", text))
    print(headers["baggage"])
else:
    print(get_baggage("value", W3CBaggagePropagator().extract({"baggage": text})))
PY
cat > baggage.go <<'GO'
package main

import (
	"context"
	"fmt"
	"os"

	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
)

func main() {
	action, text := os.Args[1], os.Args[2]
	headers := propagation.MapCarrier{"baggage": text}
	if action == "write" {
		member, err := baggage.NewMemberRaw("value", text)
		if err != nil {
			panic(err)
		}
		all, err := baggage.New(member)
		if err != nil {
			panic(err)
		}
		propagation.Baggage{}.Inject(baggage.ContextWithBaggage(context.Background(), all), headers)
		fmt.Println(headers["baggage"])
		return
	}
	received := propagation.Baggage{}.Extract(context.Background(), headers)
	fmt.Println(baggage.FromContext(received).Member("value").Value())
}
GO
export GOMODCACHE="$PWD/modules" GOFLAGS='-mod=mod -modcacherw'
{ go mod init finding && go get go.opentelemetry.io/otel@v1.47.0 && go build -o baggage baggage.go; } >go.log 2>&1 || { cat go.log; exit 1; }

in_language() {
  case "$1" in
    JavaScript) node baggage.mjs "$2" "$3" ;;
    Python) python/bin/python baggage.py "$2" "$3" ;;
    Go) ./baggage "$2" "$3" ;;
  esac
}
for sent in 'New York' '2026-11-30T12:00+02:00'; do
  for writer in JavaScript Python Go; do
    header=$(in_language "$writer" write "$sent")
    for reader in JavaScript Python Go; do
      read=$(in_language "$reader" read "$header")
      [ "$read" = "$sent" ] && outcome=kept || outcome=changed
      echo "$outcome: $writer sends \"$sent\" as $header, $reader reads \"$read\""
    done
  done
done | tee seen.txt
grep '^changed' seen.txt | grep -oE 'changed: \w+|\w+ reads' | paste -sd ' ' > changed.txt
[ "$(cat changed.txt)" = 'changed: Python JavaScript reads changed: Python Go reads changed: Go Python reads' ]
