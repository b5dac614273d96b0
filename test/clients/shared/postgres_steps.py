"""What the smoke programs in Python that speak PostgreSQL's protocol share: tables, one row of every type."""

import datetime
import decimal
import uuid

from smoke_steps import BIG_INTEGER, BYTES, WORDS

SCHEMA = (
    "CREATE TABLE smoke_author (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE)",
    "CREATE TABLE smoke_book (id serial PRIMARY KEY, "
    "author_id int NOT NULL REFERENCES smoke_author (id) ON DELETE CASCADE, title text NOT NULL)",
    "CREATE TABLE smoke_value (id int PRIMARY KEY, nil text, big bigint, amount numeric(40, 10), words text, bytes bytea, "
    "at timestamptz, doc jsonb, ident uuid, list int[], names text[])",
)

ROW = {
    "id": 1,
    "nil": None,
    "big": BIG_INTEGER,
    "amount": decimal.Decimal("-123456789012345678901234.0000000001"),
    "words": WORDS,
    "bytes": BYTES,
    "at": datetime.datetime(2026, 11, 30, 23, 59, 59, 123456, tzinfo=datetime.timezone.utc),
    "doc": {"deep": [1, None, {"text": WORDS}]},
    "ident": uuid.UUID("6ba7b810-9dad-41d1-80b4-00c04fd430c8"),
    "list": [-(2**31), 0, 2**31 - 1],
    "names": ["a,b", 'quoted "c"', WORDS],
}
