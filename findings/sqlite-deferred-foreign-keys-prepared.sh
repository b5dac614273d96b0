#!/usr/bin/env bash
# SQLite 3.54.1 (@sqlite.org/sqlite-wasm 3.54.1-build1), seen on 2026-11-29.
#
# One would guess: an INSERT that fails with "FOREIGN KEY constraint failed" leaves nothing behind, in a transaction as outside.
#
# What happens: PRAGMA defer_foreign_keys is turned off by SQLite itself at the end of a transaction. A statement that was prepared
# while it was on is not prepared anew for that, as it is when the PRAGMA turns it off. Run again in the next transaction it fails with
# the constraint's error, and its row stays in the transaction, and is committed with it.
#
# Why it matters: whoever keeps prepared statements (every driver with a statement cache, every server that pools connections) and
# lets one client defer foreign keys may commit orphans although each of them was reported as refused.
#
# Exit code 0 while it is so.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund @sqlite.org/sqlite-wasm@3.54.1-build1
cat > show.mjs <<'JS'
import init from '@sqlite.org/sqlite-wasm';

const sqlite = await init({ print: () => {}, printErr: () => {} });
const db = new sqlite.oo1.DB(':memory:');
db.exec('PRAGMA foreign_keys = ON; CREATE TABLE parent (id INTEGER PRIMARY KEY); CREATE TABLE child (p REFERENCES parent)');
const orphans = () => db.selectValue('SELECT count(*) FROM child');
const attempt = (statement) => {
  try {
    statement.reset().step();
    return 'ok';
  } catch (error) {
    return /FOREIGN KEY/.test(error.message) ? 'refused' : error.message;
  } finally {
    try { statement.reset(); } catch {}
  }
};

db.exec('PRAGMA defer_foreign_keys = ON');
const kept = db.prepare('INSERT INTO child VALUES (99)');
console.log('deferred, in a transaction of its own:', attempt(kept), '- rows:', orphans());
db.exec('BEGIN');
console.log('the PRAGMA now:', db.selectValue('PRAGMA defer_foreign_keys'));
const again = attempt(kept);
const left = orphans();
console.log('the kept statement:', again, '- rows:', left);
const fresh = db.prepare('INSERT INTO child VALUES (99)');
const anew = attempt(fresh);
const more = orphans() - left;
console.log('the same statement, prepared anew:', anew, '- more rows:', more);
process.exit(again === 'refused' && left === 1 && anew === 'refused' && more === 0 ? 0 : 1);
JS
node show.mjs
