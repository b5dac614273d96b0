"""pg_dump piped into psql: what it takes out comes back the same, as COPY and as INSERTs; pg_restore takes its archives."""

import os
import tempfile

from postgres_steps import SCHEMA
from postgres_tools import psql, tool
from smoke_steps import URL, WORDS, contains, equal, smoke

CONTENT = "SELECT md5(string_agg(v::text, '|' ORDER BY id)) FROM smoke_value v;"


def schema():
    psql(*(f"{statement};" for statement in SCHEMA))


def insert():
    psql(
        "INSERT INTO smoke_author (name) SELECT 'author ' || n FROM generate_series(1, 100) AS n;",
        "INSERT INTO smoke_book (author_id, title) SELECT id, name FROM smoke_author;",
        f"INSERT INTO smoke_value SELECT n, NULL, n, n / 7.0, '{WORDS}', sha256(n::text::bytea), to_timestamp(n),"
        " jsonb_build_object('n', n), gen_random_uuid(), ARRAY[n], ARRAY['a,b', NULL] FROM generate_series(1, 1000) AS n;",
        "CREATE VIEW smoke_view AS SELECT name FROM smoke_author;",
        "CREATE FUNCTION smoke_twice(int) RETURNS int LANGUAGE sql RETURN $1 * 2;",
    )


def there_and_back(*args):
    before = psql(CONTENT)
    dumped = tool("pg_dump", *args, "-t", "smoke_*", URL)
    contains(dumped, "PostgreSQL database dump complete")
    # A function is in no table.
    psql("DROP VIEW smoke_view;", "DROP TABLE smoke_book, smoke_author, smoke_value;")
    psql(dumped)
    equal(psql(CONTENT), before)
    equal(psql("SELECT count(*) FROM smoke_view JOIN smoke_author USING (name) JOIN smoke_book b ON b.title = name;"), "100\n")


def archive():
    before = psql(CONTENT)
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "archive")
        tool("pg_dump", "-Fc", "-f", file, "-t", "smoke_*", URL)
        tool("pg_restore", "--clean", "--if-exists", "--exit-on-error", "-d", URL, file)
    equal(psql(CONTENT), before)


def whole():
    contains(tool("pg_dump", "--schema-only", URL), "CREATE FUNCTION public.smoke_twice")


smoke(
    {
        "connect": lambda: equal(psql("SELECT 1;"), "1\n"),
        "schema": schema,
        "insert": insert,
        "copy": there_and_back,
        "inserts": lambda: there_and_back("--inserts", "--rows-per-insert=100"),
        "archive": archive,
        "whole": whole,
    }
)
