#!/usr/bin/env bash
# libsql 0.1.11 (PyPI; the Rust client for Python), seen on 2026-11-30.
#
# One would guess: the package takes the place of Python's sqlite3, so an int that SQLite can store is bound as an integer.
#
# What happens: an int that does not fit 32 bits is bound as a float, without any error. A column with INTEGER affinity makes it an
# integer again, and so hides it up to 2^53; beyond, 2^53 + 1 is stored as 2^53. A TEXT column keeps "3000000000.0", a column
# without a type a REAL, and json_object(), a TEXT key, a concatenation see the float. Reading is right: an integer that came
# another way is given back whole.
#
# Why it matters: ids that carry a time, and times in milliseconds, are beyond 32 bits from the first one on. Two neighbouring 64-bit
# ids are the same id to this client: a lookup by one finds the row of the other. Bound as text, with CAST(? AS INTEGER), they are right.
#
# Exit code 0 while it is so.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
python3 -m venv python >/dev/null
python/bin/pip install --quiet --disable-pip-version-check libsql==0.1.11
cat > show.py <<'PY'
import sqlite3
import sys

import libsql

NUMBERS = [2**31 - 1, 2**31, 1_767_225_600_123, 2**53 + 1]


def stored_by(module):
    """What a SELECT sees of each number, and what columns without a type, of INTEGER and of TEXT keep of it."""
    db = module.connect(":memory:")
    db.execute("CREATE TABLE t (any, whole INTEGER, words TEXT)")
    for number in NUMBERS:
        db.execute("INSERT INTO t VALUES (?, ?, ?)", (number, number, number))
    return [tuple(row) for row in db.execute("SELECT typeof(any), whole, words FROM t ORDER BY rowid").fetchall()]


def found_by(module):
    """Which of two neighbouring rows a lookup by the greater id finds."""
    db = module.connect(":memory:")
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    db.execute(f"INSERT INTO t VALUES ({2**53}), ({2**53 + 1})")
    return db.execute("SELECT id FROM t WHERE id = ?", (2**53 + 1,)).fetchone()[0]


usual, seen = stored_by(sqlite3), stored_by(libsql)
for number, ours, theirs in zip(NUMBERS, usual, seen):
    print(f"{number}: sqlite3 stores {ours}, libsql stores {theirs}")
print(f"row {2**53 + 1} is asked for: sqlite3 finds {found_by(sqlite3)}, libsql finds {found_by(libsql)}")
same = (
    seen[0] == usual[0]
    and seen[1] == ("real", 2**31, "2147483648.0")
    and seen[2] == ("real", 1_767_225_600_123, "1767225600123.0")
    and seen[3][:2] == ("real", 2**53)
    and found_by(libsql) == 2**53
    and found_by(sqlite3) == 2**53 + 1
)
sys.exit(0 if same else 1)
PY
python/bin/python show.py
