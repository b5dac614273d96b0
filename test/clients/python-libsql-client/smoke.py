"""The `libsql-client` package of Python: HTTP version 1 (stateless), or Hrana over WebSocket."""

import libsql_client

from smoke_steps import *

db = libsql_client.create_client_sync(URL)
stateful = URL.startswith("ws")


def one(sql, args=()):
    return tuple(db.execute(sql, args).rows[0])


def count_of(table, column, value):
    return one(f"SELECT count(*) FROM {table} WHERE {column} LIKE ?", (value,))[0]


def connect():
    equal(one("SELECT 1"), (1,))


def schema():
    db.batch([AUTHORS, BOOKS, VALUES])
    equal(one("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'smoke%' AND type = 'table'"), (3,))


def insert():
    equal(db.execute("INSERT INTO smoke_value VALUES (?, ?, ?, ?, ?, ?, ?)", ROW).rows_affected, 1)


def read():
    equal(one("SELECT * FROM smoke_value WHERE id = ?", (1,)), ROW)
    equal(one(TYPES), TYPE_NAMES)


def last_id():
    first = db.execute("INSERT INTO smoke_author (name) VALUES (?)", ("first",)).last_insert_rowid
    second = db.execute("INSERT INTO smoke_author (name) VALUES (:name)", {"name": "second"}).last_insert_rowid
    equal(second, first + 1)


def changes():
    equal(db.execute("INSERT INTO smoke_value (id) VALUES (10), (11), (12)").rows_affected, 3)
    equal(db.execute("UPDATE smoke_value SET words = 'changed' WHERE id IN (10, 11)").rows_affected, 2)
    equal(db.execute("DELETE FROM smoke_value WHERE id >= 10").rows_affected, 3)


def commit():
    transaction = db.transaction()
    author = transaction.execute("INSERT INTO smoke_author (name) VALUES ('committed')").last_insert_rowid
    transaction.execute("INSERT INTO smoke_book (author_id, title) VALUES (?, 'kept')", (author,))
    transaction.commit()
    equal(count_of("smoke_author", "name", "committed"), 1)
    equal(count_of("smoke_book", "title", "kept"), 1)


def rollback():
    transaction = db.transaction()
    transaction.execute("INSERT INTO smoke_author (name) VALUES ('rolled back')")
    transaction.rollback()
    equal(count_of("smoke_author", "name", "rolled back"), 0)


def batch():
    one_made, two_made, counted = db.batch(
        [
            ("INSERT INTO smoke_author (name) VALUES (?)", ("batch one",)),
            "INSERT INTO smoke_author (name) VALUES ('batch two')",
            "SELECT count(*) FROM smoke_author WHERE name LIKE 'batch %'",
        ]
    )
    equal((one_made.rows_affected, two_made.rows_affected, counted.rows[0][0]), (1, 1, 2))
    error_of(
        lambda: db.batch(
            [
                "INSERT INTO smoke_author (name) VALUES ('batch three')",
                "INSERT INTO smoke_author (name) VALUES ('batch one')",
            ]
        )
    )
    equal(count_of("smoke_author", "name", "batch three"), 0)


def cascade():
    author = db.execute("INSERT INTO smoke_author (name) VALUES ('with books')").last_insert_rowid
    db.execute("INSERT INTO smoke_book (author_id, title) VALUES (?, 'cascade'), (?, 'cascade')", (author, author))
    db.execute("DELETE FROM smoke_author WHERE id = ?", (author,))
    equal(count_of("smoke_book", "title", "cascade"), 0)
    orphan = error_of(lambda: db.execute("INSERT INTO smoke_book (author_id, title) VALUES (999999, 'orphan')"))
    contains(orphan, "FOREIGN KEY constraint failed")


def unique():
    db.execute("INSERT INTO smoke_author (name) VALUES ('only one')")
    error = error_of(lambda: db.execute("INSERT INTO smoke_author (name) VALUES ('only one')"))
    contains(error, "UNIQUE constraint failed: smoke_author.name")


def infinity():
    equal(one("SELECT 9e999, -9e999, 'after'")[2], "after")


def own_writes():
    for n in range(1, OWN_WRITES + 1):
        db.execute("INSERT INTO smoke_author (name) VALUES (?)", (f"own {n}",))
        equal(count_of("smoke_author", "name", "own %"), n)


transactions = {"commit": commit, "rollback": rollback} if stateful else {}

smoke(
    {
        "connect": connect,
        "schema": schema,
        "insert": insert,
        "read": read,
        "last-id": last_id,
        "changes": changes,
        **transactions,
        "batch": batch,
        "cascade": cascade,
        "unique": unique,
        "infinity": infinity,
        "own-writes": own_writes,
    }
)
