"""psql: scripts, prepared statements of the protocol, fetching in parts, \\copy, descriptions of tables."""

import os
import tempfile

from postgres_steps import SCHEMA
from postgres_tools import psql
from smoke_steps import OWN_WRITES, WORDS, contains, equal, smoke

VALUES = (
    "9007199254740993|-123456789012345678901234.0000000001|" + WORDS + "|\\x00017f80feff00|2026-11-30 23:59:59.123456+00|"
    '{"deep": [1, null]}|6ba7b810-9dad-41d1-80b4-00c04fd430c8|{-2147483648,0,2147483647}|{"a,b"}\n'
)


def schema():
    psql(*(f"{statement};" for statement in SCHEMA))
    contains(psql("\\d smoke_book", settings=("-P", "tuples_only=off")), "REFERENCES smoke_author(id) ON DELETE CASCADE")
    contains(psql("\\dt smoke_*"), "smoke_value")
    contains(psql("\\l"), "postgres")


def insert():
    psql(
        "INSERT INTO smoke_value VALUES ($1, NULL, $2, $3, $4, $5, $6, $7, $8, $9, $10) \\bind 1 9007199254740993 "
        f"-123456789012345678901234.0000000001 '{WORDS}' '\\\\x00017f80feff00' '2026-11-30T23:59:59.123456Z' "
        "'{\"deep\": [1, null]}' 6ba7b810-9dad-41d1-80b4-00c04fd430c8 '{-2147483648,0,2147483647}' '{\"a,b\"}' \\g"
    )


def commit():
    psql("BEGIN;", "INSERT INTO smoke_author (name) VALUES ('kept');", "COMMIT;")
    equal(psql("SELECT name FROM smoke_author;"), "kept\n")


def rollback():
    psql(
        "BEGIN;",
        "INSERT INTO smoke_author (name) VALUES ('gone');",
        "\\set ON_ERROR_ROLLBACK on",
        "\\set ON_ERROR_STOP 0",
        "SELECT 1 / 0;",
        "INSERT INTO smoke_author (name) VALUES ('gone too');",
        "ROLLBACK;",
    )
    equal(psql("SELECT count(*) FROM smoke_author WHERE name LIKE 'gone%';"), "0\n")


def unique():
    told = psql("\\set VERBOSITY verbose", "INSERT INTO smoke_author (name) VALUES ('kept');", fails=True)
    contains(told, "ERROR:  23505: duplicate key value violates unique constraint")


def prepared():
    runs = [f"\\bind_named twice {n} \\g" for n in range(5)]
    equal(psql("SELECT $1::int * 2 \\parse twice", *runs, "\\close_prepared twice"), "0\n2\n4\n6\n8\n")
    equal(psql("PREPARE thrice (int) AS SELECT $1 * 3;", "EXECUTE thrice (4);", "DEALLOCATE thrice;"), "12\n")


def cursor():
    told = psql("\\set FETCH_COUNT 100", "SELECT n FROM generate_series(1, 250) AS n;")
    equal(told.count("\n"), 250)


def copy():
    with tempfile.TemporaryDirectory() as folder:
        given, got = os.path.join(folder, "in"), os.path.join(folder, "out")
        with open(given, "w", encoding="utf-8") as file:
            file.writelines(f"copied {n}\n" for n in range(500))
        psql(f"\\copy smoke_author (name) FROM '{given}'")
        psql(f"\\copy (SELECT name FROM smoke_author WHERE name LIKE 'copied %' ORDER BY id) TO '{got}'")
        with open(given, encoding="utf-8") as one, open(got, encoding="utf-8") as other:
            equal(other.read(), one.read())


def own_writes():
    lines = []
    for n in range(1, OWN_WRITES + 1):
        lines += [
            f"INSERT INTO smoke_author (name) VALUES ('own {n}');",
            "SELECT count(*) FROM smoke_author WHERE name LIKE 'own %';",
        ]
    equal(psql(*lines), "".join(f"{n}\n" for n in range(1, OWN_WRITES + 1)))


smoke(
    {
        "connect": lambda: equal(psql("SELECT 1;"), "1\n"),
        "schema": schema,
        "insert": insert,
        "read": lambda: equal(
            psql("SELECT big, amount, words, bytes, at, doc, ident, list, names FROM smoke_value;"), VALUES
        ),
        "commit": commit,
        "rollback": rollback,
        "unique": unique,
        "prepared": prepared,
        "cursor": cursor,
        "copy": copy,
        "own-writes": own_writes,
    }
)
