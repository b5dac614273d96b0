"""What every smoke program in Python shares: it runs its steps in order and prints one line of JSON for each,
{"step": name, "ok": true} or {"step": name, "ok": false, "error": text}. The runner reads them."""

import json
import os
import sys

# The gateway to talk to, with the scheme of the transport that is tried.
URL = os.environ.get("SMOKE_URL", "http://127.0.0.1:7011")

# Values that a protocol by way of JSON tends to damage.
BIG_INTEGER = 9_007_199_254_740_993
SMALLEST_INTEGER = -9_223_372_036_854_775_808
FRACTION = -1234.015625
WORDS = "déjà vu, “quoted”, 数据, 🛰, a\ttab"
BYTES = bytes([0, 1, 127, 128, 254, 255, 0])
OWN_WRITES = 20

AUTHORS = "CREATE TABLE smoke_author (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)"
BOOKS = (
    "CREATE TABLE smoke_book (id INTEGER PRIMARY KEY, "
    "author_id INTEGER NOT NULL REFERENCES smoke_author (id) ON DELETE CASCADE, title TEXT NOT NULL)"
)
VALUES = (
    "CREATE TABLE smoke_value (id INTEGER PRIMARY KEY, nil TEXT, big INTEGER, small INTEGER, "
    "fraction REAL, words TEXT, bytes BLOB)"
)
TYPES = (
    "SELECT typeof(nil), typeof(big), typeof(small), typeof(fraction), typeof(words), typeof(bytes) "
    "FROM smoke_value WHERE id = 1"
)
TYPE_NAMES = ("null", "integer", "integer", "real", "text", "blob")
ROW = (1, None, BIG_INTEGER, SMALLEST_INTEGER, FRACTION, WORDS, BYTES)


def equal(actual, expected):
    if actual != expected:
        raise AssertionError(f"{actual!r} instead of {expected!r}")


def contains(error, part):
    if part not in str(error):
        raise AssertionError(f"{part!r} is not in {error!r}")


def error_of(run):
    """The error `run` fails with; fails itself when `run` succeeds."""
    try:
        run()
    except Exception as error:
        return error
    raise AssertionError("it succeeded, and had to fail")


def smoke(steps):
    """Runs `steps` (name to function) in order; the process ends with 1 when one failed, whatever the client keeps open."""
    failed = False
    for step, run in steps.items():
        try:
            run()
            print(json.dumps({"step": step, "ok": True}), flush=True)
        except BaseException as error:  # a panic of a native client is no Exception
            failed = True
            text = f"{type(error).__name__}: {error}"
            print(json.dumps({"step": step, "ok": False, "error": text}), flush=True)
            if step in ("connect", "schema"):
                break
    sys.stdout.flush()
    os._exit(1 if failed else 0)
