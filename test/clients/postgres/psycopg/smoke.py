"""psycopg 3: text and binary results, pipelines, server-side cursors, COPY."""

import psycopg
from postgres_steps import ROW, SCHEMA
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from smoke_steps import OWN_WRITES, URL, equal, error_of, smoke

db = psycopg.connect(URL, autocommit=True, prepare_threshold=2)


def authors_like(name):
    return db.execute("SELECT count(*) FROM smoke_author WHERE name LIKE %s", (name,)).fetchone()[0]


def insert_author(name, on=db):
    return on.execute("INSERT INTO smoke_author (name) VALUES (%s) RETURNING id", (name,)).fetchone()[0]


def schema():
    for statement in SCHEMA:
        db.execute(statement)


def insert():
    values = {**ROW, "doc": Jsonb(ROW["doc"])}
    places = ", ".join(f"%({name})s" for name in ROW)
    db.execute(f"INSERT INTO smoke_value ({', '.join(ROW)}) VALUES ({places})", values)


def read():
    for binary in (False, True):
        with db.cursor(row_factory=dict_row, binary=binary) as cursor:
            equal(cursor.execute("SELECT * FROM smoke_value WHERE id = %s", (1,)).fetchone(), ROW)


def commit():
    with db.transaction():
        author = insert_author("kept")
        db.execute("INSERT INTO smoke_book (author_id, title) VALUES (%s, %s)", (author, "kept"))
    equal(authors_like("kept"), 1)


def rollback():
    with db.transaction(force_rollback=True):
        insert_author("gone")
        error = error_of(inner_failure)
        equal(error.sqlstate, "22012")
        equal(authors_like("gone"), 1)
    equal(authors_like("gone"), 0)


def inner_failure():
    with db.transaction():
        db.execute("SELECT 1 / 0")


def batch():
    with db.pipeline():
        cursors = [db.execute("INSERT INTO smoke_author (name) VALUES (%s) RETURNING name", (f"batch {n}",)) for n in range(50)]
    equal([cursor.fetchone()[0] for cursor in cursors], [f"batch {n}" for n in range(50)])
    with db.cursor() as cursor:
        cursor.executemany("INSERT INTO smoke_author (name) VALUES (%s)", [(f"batch {n}",) for n in range(50, 100)])
    equal(authors_like("batch %"), 100)


def unique():
    insert_author("only one")
    error = error_of(lambda: insert_author("only one"))
    equal((type(error).__name__, error.sqlstate), ("UniqueViolation", "23505"))
    equal(error.diag.constraint_name, "smoke_author_name_key")


def prepared():
    for n in range(6):
        equal(db.execute("SELECT %s::int * 2", (n,), prepare=True).fetchone()[0], 2 * n)


def cursor():
    with db.transaction(), db.cursor(name="many") as many:
        many.itersize = 100
        many.execute("SELECT n FROM generate_series(1, %s) AS n", (250,))
        equal(sum(1 for _ in many), 250)


def copy():
    with db.cursor() as cursor:
        with cursor.copy("COPY smoke_author (name) FROM STDIN (FORMAT BINARY)") as copying:
            copying.set_types(["text"])
            for n in range(500):
                copying.write_row((f"copied {n}",))
        with cursor.copy("COPY (SELECT name FROM smoke_author WHERE name LIKE 'copied %' ORDER BY id) TO STDOUT") as out:
            equal([name for (name,) in out.rows()], [f"copied {n}" for n in range(500)])


def own_writes():
    for n in range(1, OWN_WRITES + 1):
        insert_author(f"own {n}")
        equal(authors_like("own %"), n)


smoke(
    {
        "connect": lambda: equal(db.execute("SELECT 1").fetchone()[0], 1),
        "schema": schema,
        "insert": insert,
        "read": read,
        "commit": commit,
        "rollback": rollback,
        "batch": batch,
        "unique": unique,
        "prepared": prepared,
        "cursor": cursor,
        "copy": copy,
        "own-writes": own_writes,
    }
)
