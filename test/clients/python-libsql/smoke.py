"""The `libsql` package of Python (sqlite3's interface over the Rust client)."""

import libsql

from smoke_steps import *

db = libsql.connect(URL, auth_token="")


def one(sql, args=()):
    return db.execute(sql, args).fetchone()


def count_of(table, column, value):
    return one(f"SELECT count(*) FROM {table} WHERE {column} LIKE ?", (value,))[0]


def connect():
    equal(one("SELECT 1"), (1,))


def schema():
    db.executescript(f"{AUTHORS}; {BOOKS}; {VALUES};")
    db.commit()
    equal(one("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'smoke%' AND type = 'table'"), (3,))


def insert():
    # This client binds integers of more than 32 bits as floats, and reads them well: they go in as text.
    row = tuple(str(value) if value in (BIG_INTEGER, SMALLEST_INTEGER) else value for value in ROW)
    db.execute("INSERT INTO smoke_value VALUES (?, ?, CAST(? AS INTEGER), CAST(? AS INTEGER), ?, ?, ?)", row)
    db.commit()


def read():
    equal(tuple(one("SELECT * FROM smoke_value WHERE id = ?", (1,))), ROW)
    equal(tuple(one(TYPES)), TYPE_NAMES)


def last_id():
    first = db.execute("INSERT INTO smoke_author (name) VALUES (?)", ("first",)).lastrowid
    second = db.execute("INSERT INTO smoke_author (name) VALUES (?)", ("second",)).lastrowid
    db.commit()
    equal(second, first + 1)


def changes():
    db.execute("INSERT INTO smoke_value (id) VALUES (10), (11), (12)")
    equal(db.execute("UPDATE smoke_value SET words = 'changed' WHERE id IN (10, 11)").rowcount, 2)
    equal(db.execute("DELETE FROM smoke_value WHERE id >= 10").rowcount, 3)
    db.commit()


def commit():
    author = db.execute("INSERT INTO smoke_author (name) VALUES ('committed')").lastrowid
    db.execute("INSERT INTO smoke_book (author_id, title) VALUES (?, 'kept')", (author,))
    equal(db.in_transaction, True)
    db.commit()
    equal(db.in_transaction, False)
    equal(count_of("smoke_author", "name", "committed"), 1)
    equal(count_of("smoke_book", "title", "kept"), 1)


def rollback():
    db.execute("INSERT INTO smoke_author (name) VALUES ('rolled back')")
    equal(count_of("smoke_author", "name", "rolled back"), 1)
    db.rollback()
    equal(count_of("smoke_author", "name", "rolled back"), 0)


def batch():
    db.executemany("INSERT INTO smoke_author (name) VALUES (?)", [("batch one",), ("batch two",)])
    db.commit()
    equal(count_of("smoke_author", "name", "batch %"), 2)


def cascade():
    author = db.execute("INSERT INTO smoke_author (name) VALUES ('with books')").lastrowid
    db.execute("INSERT INTO smoke_book (author_id, title) VALUES (?, 'cascade'), (?, 'cascade')", (author, author))
    db.execute("DELETE FROM smoke_author WHERE id = ?", (author,))
    db.commit()
    equal(count_of("smoke_book", "title", "cascade"), 0)
    orphan = error_of(lambda: db.execute("INSERT INTO smoke_book (author_id, title) VALUES (999999, 'orphan')"))
    db.rollback()
    contains(orphan, "FOREIGN KEY constraint failed")


def unique():
    db.execute("INSERT INTO smoke_author (name) VALUES ('only one')")
    db.commit()
    error = error_of(lambda: db.execute("INSERT INTO smoke_author (name) VALUES ('only one')"))
    db.rollback()
    contains(error, "UNIQUE constraint failed: smoke_author.name")


def infinity():
    equal(one("SELECT 9e999, -9e999, 'after'")[2], "after")


def own_writes():
    for n in range(1, OWN_WRITES + 1):
        db.execute("INSERT INTO smoke_author (name) VALUES (?)", (f"own {n}",))
        db.commit()
        equal(count_of("smoke_author", "name", "own %"), n)


smoke(
    {
        "connect": connect,
        "schema": schema,
        "insert": insert,
        "read": read,
        "last-id": last_id,
        "changes": changes,
        "commit": commit,
        "rollback": rollback,
        "batch": batch,
        "cascade": cascade,
        "unique": unique,
        "infinity": infinity,
        "own-writes": own_writes,
    }
)
