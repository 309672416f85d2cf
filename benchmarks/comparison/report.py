"""The table: what was measured on both sides, the ratio, and the goal."""

NOTE = (
    "etcd {version} is slow in reads that follow writes and in transactions, for their read transactions wait for the "
    "write buffer; this was mended in etcd 3.5. The ratios of those rows say less than the others."
)


class Row:
    """`share`: at most this part of etcd's figure. `most`: at most this value."""

    def __init__(self, title, measure, value, unit, share=None, most=None, statistic=min):
        self.title, self.measure, self.value, self.unit = title, measure, value, unit
        self.share, self.most, self.statistic = share, most, statistic

    def goal(self):
        if self.share is not None:
            return f"1/{round(1 / self.share)}"
        return f"{self.most:g} {self.unit}" if self.most is not None else ""


def _cpu(title, measure, share=None):
    return Row(title, measure, "server_cpu_us", "µs CPU", share)


ROWS = [
    _cpu("put 256 B, 64 outstanding on 8 connections", "put-64", 1 / 6),
    _cpu("put 256 B, 1,000 outstanding on 100 connections", "put-1000", 1 / 5),
    _cpu("put, one at a time", "put-1", 1 / 4),
    Row("put, one at a time: time", "put-1", "p50_us", "µs p50", 1 / 2),
    _cpu("get, serializable, 64 outstanding", "get-serializable", 1 / 10),
    _cpu("get, linearizable, 64 outstanding", "get-linearizable", 1 / 10),
    _cpu("compare-and-put transaction, 64 outstanding", "txn", 1 / 8),
    _cpu("lease grant, 64 outstanding", "lease-grant", 1 / 8),
    _cpu("lease keep-alive, one a message, 64 outstanding", "keep-alive", 1 / 10),
    _cpu("event to 1,000 watchers on 10 streams, 100 puts/s", "watch-10-streams", 1 / 5),
    _cpu("event to 1,000 watchers on 1,000 connections, 100 puts/s", "watch-1000-connections", 1 / 3),
    _cpu("event to 1,000 watchers on 10 streams, full speed", "watch-full-speed", 1 / 2),
    Row("memory of an idle watch, a stream each, shared connection", "idle-watches", "kib_per_watch", "KiB", most=2),
    Row("many keys of 64 B + 256 B: memory a member", "many-keys", "resident_mib", "MiB", 1 / 3),
    Row("many keys: kill -9, restart, first linearizable get", "many-keys", "restart_s", "s", most=2),
    Row("many keys: count of all", "many-keys", "count_ms", "ms", most=2),
    Row("many keys: first 500 and count of all", "many-keys", "page_ms", "ms", most=3),
    Row("kill -9 of the leader to the next acknowledged put", "failover", "median_ms", "ms median", most=300),
    Row("at rest, all three members: CPU", "rest", "cpu_percent", "% of a core", most=1),
    Row("at rest, all three members: memory", "rest", "resident_mib", "MiB", most=90),
    _cpu("five members: put 256 B, 64 outstanding", "five-put-64"),
    _cpu("five members: get, linearizable, 64 outstanding", "five-get-linearizable"),
    Row("puts a second, 64 outstanding", "put-64", "per_second", "/s", statistic=max),
    Row("puts a second, 1,000 outstanding", "put-1000", "per_second", "/s", statistic=max),
    Row("linearizable gets a second", "get-linearizable", "per_second", "/s", statistic=max),
    Row("put, 64 outstanding: p99", "put-64", "p99_us", "µs"),
    Row("get, linearizable: p99", "get-linearizable", "p99_us", "µs"),
    Row("event on 10 streams: put to watcher, p99", "watch-10-streams", "p99_us", "µs"),
    Row("syncs for a put, one at a time", "syncs", "per_put_1", ""),
    Row("syncs for a put, 64 outstanding", "syncs", "per_put_64", ""),
    Row("syncs for a put, 1,000 outstanding", "syncs", "per_put_1000", ""),
]


def best(row, rounds):
    """The least disturbed round's figure: neighbours and the host only ever make a figure worse."""
    values = [measured[row.measure][row.value] for measured in rounds if row.measure in measured]
    return row.statistic(values) if values else None


def lines(comparison):
    """(row, cairn, etcd, ratio, reached) of every row that was measured."""
    for row in ROWS:
        cairn = best(row, comparison["rounds"]["cairn"])
        etcd = best(row, comparison["rounds"].get("etcd", []))
        if cairn is None:
            continue
        ratio = cairn / etcd if etcd else None
        reached = None
        if row.share is not None and ratio is not None:
            reached = ratio <= row.share
        elif row.most is not None:
            reached = cairn <= row.most
        yield row, cairn, etcd, ratio, reached


def number(value):
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(comparison):
    machine = comparison["machine"]
    yield f"{machine['cpus']} CPUs, {machine['memory_gib']} GiB, {machine['kernel']}, data on {machine['file_system']}"
    mode = "quick" if comparison["quick"] else "full"
    yield f"{mode} run, {len(comparison['rounds']['cairn'])} rounds in turn; the best round's figure each"
    yield ""
    yield f"{'':58} {'cairn':>9} {'etcd':>9}  {'':11} {'ratio':>6}  {'goal':9}"
    for row, cairn, etcd, ratio, reached in lines(comparison):
        share = "" if ratio is None else f"1/{1 / ratio:.1f}" if 0 < ratio < 1 else f"{ratio:.2f}"
        verdict = {True: "", False: " not reached", None: ""}[reached]
        yield f"{row.title:58} {number(cairn):>9} {number(etcd):>9}  {row.unit:11} {share:>6}  {row.goal():9}{verdict}"
    yield ""
    if comparison["etcd_version"]:
        yield NOTE.format(version=comparison["etcd_version"])
