"""Where the built programs are, and how to talk with a client program while its servers are killed."""

import os
import pathlib
import shutil
import subprocess
import threading

from .api import SOURCE_ROOT


def find_build_directory():
    """CAIRN_BUILD_DIR, else build/."""
    return pathlib.Path(os.environ.get("CAIRN_BUILD_DIR", SOURCE_ROOT / "build"))


def find_server(name=None):
    """The program to test: `name` (a path, or a name on PATH), else CAIRN_SERVER, else build/cairnd."""
    name = name or os.environ.get("CAIRN_SERVER") or str(find_build_directory() / "cairnd")
    found = shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"no server program at {name}: build cairnd, or name another with --server")
    return found


class Conversation:
    """Runs a client program that tells its parent, a line each on stdout, what to do to the cluster.

    The program writes "kill 1" (kill -9 of member 1) or "restart 1", and goes on when it reads "done". Everything
    else it writes is its report; exit code 0 means that all its checks held.
    """

    def __init__(self, cluster):
        self.cluster = cluster

    def run(self, command, timeout=180, **options):
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True, **options
        )
        report = []
        # Killing the program ends the loop that reads from it.
        watchdog = threading.Timer(timeout, process.kill)
        watchdog.start()
        try:
            for line in process.stdout:
                words = line.split()
                if len(words) == 2 and words[0] in ("kill", "restart"):
                    self._do(words[0], int(words[1]))
                    process.stdin.write("done\n")
                    process.stdin.flush()
                else:
                    report.append(line)
            code = process.wait()
        finally:
            watchdog.cancel()
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()
        text = "".join(report)
        assert code == 0, f"{command[0]} ended with {code}\n{text}\n{self.cluster.logs()}"
        return text

    def _do(self, action, index):
        member = self.cluster.members[index]
        if action == "kill":
            member.kill()
        else:
            member.start()
            self.cluster.wait_until_ready(members=[index])
