"""pgbench: each of its loads with several clients, none of which may fail; the sums of TPC-B agree afterwards."""

from postgres_tools import psql, tool
from smoke_steps import URL, contains, equal, smoke

CLIENTS = ("-c", "4", "-j", "2")


def schema():
    psql("DROP TABLE IF EXISTS pgbench_accounts, pgbench_branches, pgbench_history, pgbench_tellers;")
    tool("pgbench", "-i", "-q", URL)
    equal(psql("SELECT count(*) FROM pgbench_accounts;"), "100000\n")


def runs(transactions, *args):
    told = tool("pgbench", "-n", *CLIENTS, "-t", str(transactions), *args, URL)
    contains(told, f"number of transactions actually processed: {4 * transactions}/{4 * transactions}")
    contains(told, "number of failed transactions: 0 ")


def sums():
    told = psql(
        "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history)",
        " AND (SELECT sum(bbalance) FROM pgbench_branches) = (SELECT sum(tbalance) FROM pgbench_tellers),",
        " (SELECT count(*) FROM pgbench_history);",
    )
    equal(told, "t|60\n")
    psql("DROP TABLE pgbench_accounts, pgbench_branches, pgbench_history, pgbench_tellers;")


smoke(
    {
        "connect": lambda: equal(psql("SELECT 1;"), "1\n"),
        "schema": schema,
        "select": lambda: runs(100, "-S"),
        "tpc-b": lambda: runs(5),
        "extended": lambda: runs(5, "-M", "extended"),
        "prepared": lambda: runs(5, "-M", "prepared"),
        "sums": sums,
    }
)
