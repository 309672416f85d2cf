"""The command line against a real cluster: every command, both forms of answer, exit codes, fail-over, completion."""

import json
import os
import signal
import subprocess

import pytest

from harness import wait_until

OK, FAILED, USAGE, NO, UNKNOWN = 0, 1, 2, 3, 4


@pytest.fixture
def cairn(cli, shared_cluster):
    """cairn("get", "a"): runs it against all members; cairn.json(...) gives the answer as an object."""
    return Cli(cli, shared_cluster.endpoints)


class Cli:
    def __init__(self, program, endpoints):
        self.program = program
        self.environment = {**os.environ, "CAIRN_ENDPOINTS": ",".join(endpoints)}

    def __call__(self, *arguments, code=OK, stdin=None):
        ended = subprocess.run([self.program, *arguments], capture_output=True, text=True, timeout=30, input=stdin or "",
                               env=self.environment)
        assert ended.returncode == code, ended
        if code in (FAILED, USAGE, UNKNOWN):
            assert ended.stderr.startswith("cairn: ") and not ended.stdout, ended
        return ended

    def json(self, *arguments, code=OK, stdin=None):
        return json.loads(self("-o", "json", *arguments, code=code, stdin=stdin).stdout)

    def start(self, *arguments):
        return subprocess.Popen([self.program, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, env=self.environment)


# --- Keys ---


def test_put_get_del(cairn):
    cairn("put", "cli/a", "1")
    assert cairn.json("put", "cli/a", "2", "--prev-kv")["prev_kv"]["value"] == "1"
    cairn("put", "cli/b", stdin="from standard input")
    cairn("put", "cli/c", "--", "-1")
    got = cairn.json("get", "cli/a")
    assert [(kv["key"], kv["value"], kv["version"]) for kv in got["kvs"]] == [("cli/a", "2", 2)]
    past = str(got["kvs"][0]["mod_revision"] - 1)
    assert cairn.json("get", "--rev", past, "cli/a")["kvs"][0]["value"] == "1"
    assert cairn("get", "--value-only", "cli/b").stdout == "from standard input\n"
    assert cairn.json("get", "--prefix", "cli/", "--count-only")["count"] == 3
    keys = [kv["key"] for kv in cairn.json("get", "--prefix", "cli/", "--order", "descend", "--limit", "2")["kvs"]]
    assert keys == ["cli/c", "cli/b"]
    assert not any(kv.get("value") for kv in cairn.json("get", "--keys-only", "--from-key", "cli/")["kvs"])
    table = cairn("get", "cli/a", "cli/c").stdout
    assert "KEY" in table and "cli/a" in table and "cli/c" not in table
    cairn("get", "--serializable", "cli/a")
    assert cairn.json("del", "--prev-kv", "cli/a")["prev_kvs"][0]["value"] == "2"
    assert cairn("del", "--prefix", "cli/").stdout == "deleted 2 keys\n"
    cairn("del", "cli/a", code=NO)
    cairn("get", "cli/a", code=NO)


def test_ignore_value_and_ignore_lease(cairn):
    lease = cairn.json("lease", "grant", "60")["lease"]
    cairn("put", "keep", "v", "--lease", lease)
    cairn("put", "keep", "w", "--ignore-lease")
    cairn("put", "keep", "--ignore-value", "--lease", lease)
    kv = cairn.json("get", "keep")["kvs"][0]
    assert (kv["value"], kv["lease"], kv["version"]) == ("w", lease, 3)
    cairn("lease", "revoke", lease)
    cairn("get", "keep", code=NO)


def test_txn(cairn):
    lines = ["if missing(lock)", "then put lock me", "else get lock"]
    first, second = cairn.json("txn", *lines), cairn.json("txn", *lines, code=NO)
    assert first["succeeded"] and not second["succeeded"]
    assert second["responses"][0]["get"]["kvs"][0]["value"] == "me"
    script = 'if value("lock") = "me"\n   version(lock) < 5\nthen del lock\n     put "with blank" "x y"\n'
    assert cairn.json("txn", stdin=script)["succeeded"]
    assert cairn.json("get", "with blank")["kvs"][0]["value"] == "x y"
    assert "line 1" in cairn("txn", "nonsense", code=USAGE).stderr


def test_watch_from_the_past_and_for_what_comes(cairn):
    revision = cairn.json("put", "seen", "1")["header"]["revision"]
    cairn("put", "seen", "2")
    cairn("del", "seen")
    ended = cairn("-o", "json", "watch", "--rev", str(revision), "--count", "3", "--prev-kv", "seen")
    events = [event for line in ended.stdout.splitlines() for event in json.loads(line)["events"]]
    assert [event["type"] for event in events] == ["put", "put", "delete"] and events[2]["prev_kv"]["value"] == "2"
    with cairn.start("watch", "--prefix", "soon/") as watch:
        try:
            number = 0

            def put():
                nonlocal number
                number += 1
                cairn("put", f"soon/{number}", "now")

            put()
            # Whatever was put before the watch stood is not shown: put until a line comes.
            os.set_blocking(watch.stdout.fileno(), False)
            line = wait_until(lambda: watch.stdout.readline() or put(), 20, "a line of the watch")
            assert '"now"' in line and "put" in line
            watch.send_signal(signal.SIGINT)
            watch.wait(10)
        finally:
            watch.kill()


# --- Leases ---


def test_lease_grant_list_keep_alive_timetolive_revoke(cairn):
    lease = cairn.json("lease", "grant", "60")["lease"]
    cairn("put", "leased", "v", "--lease", lease)
    assert lease in cairn.json("lease", "list")["leases"] and lease in cairn("lease", "list").stdout
    assert cairn.json("lease", "keep-alive", "--once", lease)["ttl_s"] == 60
    left = cairn.json("lease", "timetolive", "--keys", lease)
    assert 0 < left["ttl_s"] <= 60 and left["keys"] == ["leased"], left
    cairn("lease", "revoke", lease)
    cairn("get", "leased", code=NO)
    cairn("lease", "timetolive", lease, code=NO)
    assert "requested lease not found" in cairn("lease", "revoke", lease, code=FAILED).stderr


# --- The cluster ---


def test_status_members_health(cairn, shared_cluster):
    status = cairn.json("status", "--cluster")["members"]
    assert len(status) == 3 and len({entry["status"]["leader"] for entry in status}) == 1
    assert cairn("status").stdout.count("leader") == 1
    members = cairn.json("members")["members"]
    assert sorted(member["name"] for member in members) == ["m0", "m1", "m2"]
    for member in shared_cluster.members:
        assert member.endpoint in cairn("members").stdout
    assert cairn.json("health")["healthy"] is True


def test_move_leader(cairn, shared_cluster):
    leader = shared_cluster.leader()
    target = f"m{(leader + 1) % 3}"
    cairn("move-leader", target)
    assert shared_cluster.leader() == (leader + 1) % 3
    ids = {member["name"]: member["id"] for member in cairn.json("members")["members"]}
    assert cairn.json("move-leader", ids[f"m{leader}"])["to"] == ids[f"m{leader}"]
    cairn("move-leader", "nobody", code=FAILED)


def test_compact(cairn):
    for value in "123":
        revision = cairn.json("put", "old", value)["header"]["revision"]
    assert cairn.json("compact", str(revision))["compacted"] == revision
    assert "has been compacted" in cairn("get", "old", "--rev", str(revision - 1), code=FAILED).stderr
    assert "has been compacted" in cairn("compact", str(revision), code=FAILED).stderr
    assert "future revision" in cairn("compact", "999999", code=FAILED).stderr


# --- Errors and fail-over ---


@pytest.mark.parametrize("arguments", [
    ["nonsense"], ["get"], ["get", "a", "--no-such-flag"], ["-o", "xml", "get", "a"], ["--timeout", "0s", "get", "a"],
    ["--endpoints", "https://127.0.0.1:2379", "get", "a"], ["--endpoints", "", "get", "a"], ["lease", "grant", "soon"],
    ["lease", "revoke", "no-id"], ["get", "a", "b", "--prefix"],
], ids=" ".join)
def test_wrong_command_line_ends_with_2(cairn, arguments):
    cairn(*arguments, code=USAGE)


def test_members_that_are_down_are_passed_over(cairn, cluster):
    """First in the list and dead, then dying under way: the command goes to the next."""
    cluster.members[0].kill()
    here = Cli(cairn.program, cluster.endpoints)
    for number in range(5):
        here("put", "a", str(number))
        assert here.json("get", "a")["kvs"][0]["value"] == str(number)
    health = here.json("health", code=NO)
    assert health["healthy"] is False and [member["healthy"] for member in health["members"]].count(False) == 1
    nobody = Cli(cairn.program, [cluster.endpoints[0]])
    assert "no connection" in nobody("--timeout", "2s", "get", "a", code=FAILED).stderr


def test_write_without_a_quorum_ends_with_4(cairn, cluster):
    """It may happen yet: not the same as an error after which nothing has happened."""
    for member in cluster.members[1:]:
        member.pause()
    here = Cli(cairn.program, cluster.endpoints[:1])
    ended = subprocess.run([here.program, "--timeout", "2s", "put", "a", "b"], capture_output=True, text=True, timeout=30,
                           env=here.environment)
    assert ended.returncode in (UNKNOWN, FAILED) and ended.stderr.startswith("cairn: "), ended
    assert ended.returncode == UNKNOWN or "no leader" in ended.stderr
    assert here("get", "--serializable", "nothing", code=NO).stdout.strip() == ""
    for member in cluster.members[1:]:
        member.resume()
    cluster.wait_until_ready()
    Cli(cairn.program, cluster.endpoints)("put", "a", "b")


def test_watch_goes_on_when_its_member_dies(cairn, cluster):
    here = Cli(cairn.program, cluster.endpoints)
    revision = here.json("put", "k", "0")["header"]["revision"]
    with here.start("-o", "json", "watch", "--rev", str(revision), "--count", "30", "k") as watch:
        try:
            for number in range(1, 30):
                here("put", "k", str(number))
                if number in (5, 15):
                    victim = number // 10
                    cluster.members[victim].kill()
                    cluster.members[victim].start()
            out, _ = watch.communicate(timeout=30)
        finally:
            watch.kill()
    values = [event["kv"]["value"] for line in out.splitlines() for event in json.loads(line)["events"]]
    assert values == [str(number) for number in range(30)]


# --- Help and completion ---


@pytest.mark.parametrize("command", [
    [], ["put"], ["get"], ["del"], ["compact"], ["txn"], ["watch"], ["lease"], ["lease", "grant"], ["lease", "revoke"],
    ["lease", "keep-alive"], ["lease", "timetolive"], ["lease", "list"], ["status"], ["members"], ["health"],
    ["move-leader"], ["completion"],
], ids=lambda command: " ".join(command) or "none")
def test_help_has_an_example(cairn, command):
    text = cairn(*command, "--help").stdout
    assert "Usage: cairn" in text and "Example" in text


@pytest.mark.parametrize("line, expected", [
    ("cairn mov", {"move-leader"}),
    ("cairn lease ", {"grant", "revoke", "keep-alive", "timetolive", "list"}),
    ("cairn get --pre", {"--prefix"}),
    ("cairn -o ", {"table", "json"}),
])
def test_bash_completes(cli, line, expected):
    script = f"""
source <({cli} completion bash)
complete -p cairn | grep -q -- '-F' || exit 7
COMP_WORDS=({line}{' ""' if line.endswith(" ") else ""}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}
$(complete -p cairn | sed 's/.*-F \\([^ ]*\\).*/\\1/') cairn "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    ended = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, timeout=20)
    assert ended.returncode == 0, ended
    assert expected <= {word.strip() for word in ended.stdout.split("\n")}, ended


def test_completion_of_other_shells_is_printed(cairn):
    for shell in ("zsh", "fish"):
        assert "move-leader" in cairn("completion", shell).stdout
