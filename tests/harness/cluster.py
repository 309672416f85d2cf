"""Members as real processes on loopback: started, killed, paused, restarted, and always cleaned up."""

import atexit
import contextlib
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import weakref

import grpc

from .api import Api, Client
from .waiting import wait_until

START_SECONDS = 60
STOP_SECONDS = 30
_RETRY_SECONDS = 0.02  # between two questions to a member that answers, but is not ready

_open_clusters = weakref.WeakSet()


@atexit.register
def _close_all():
    for cluster in list(_open_clusters):
        cluster.close()


def free_port(used=frozenset()):
    """A port below those the kernel takes for outgoing connections, so that none of them takes it meanwhile."""
    while True:
        port = random.SystemRandom().randrange(12000, 32000)
        if port in used:
            continue
        with socket.socket() as probe:
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port


class Member:
    """One process. A signal goes to its pid alone; a second `start` uses the same data and the same ports."""

    def __init__(self, name, command, client_port, log_path):
        self.name = name
        self.command = command
        self.endpoint = f"127.0.0.1:{client_port}"
        self.log_path = log_path
        self.process = None

    @property
    def pid(self):
        return self.process.pid

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def start(self):
        assert not self.running, f"{self.name} already runs"
        with open(self.log_path, "ab") as log:
            # setpriv becomes the server: the kernel kills it should the test itself be killed.
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self):
        """kill -9; returns when the process is gone."""
        if self.running:
            self.process.kill()
        if self.process is not None:
            self.process.wait(STOP_SECONDS)

    def terminate(self, timeout=STOP_SECONDS):
        """SIGTERM, as soon as the program handles it (in its first moment no program can); returns the exit code."""
        wait_until(self._handles_sigterm, timeout, f"{self.name} handles SIGTERM", every=0.002)
        self.process.terminate()
        return self.process.wait(timeout)

    def _handles_sigterm(self):
        if not self.running:
            return True  # nothing to wait for
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("SigCgt:"):
                return int(line.split()[1], 16) >> (signal.SIGTERM - 1) & 1
        return False

    def pause(self):
        """SIGSTOP; returns when the kernel has stopped it."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def log(self, last_bytes=6000):
        try:
            return self.log_path.read_bytes()[-last_bytes:].decode(errors="replace")
        except FileNotFoundError:
            return ""


class Cluster:
    """`members` processes of `program` (cairnd or etcd). A context manager; started and ready after construction."""

    def __init__(self, program, members=3, flags=(), api=None, start=True):
        self.program = str(program)
        self.api = api or Api()
        memory = pathlib.Path("/dev/shm")
        self.directory = pathlib.Path(
            tempfile.mkdtemp(prefix="cairn-test-", dir=memory if os.access(memory, os.W_OK) else None)
        )
        self.members = self._describe(members, list(flags))
        _open_clusters.add(self)
        if start:
            try:
                self.start()
            except BaseException:
                self.close()
                raise

    @property
    def is_etcd(self):
        return pathlib.Path(self.program).name == "etcd"

    @property
    def endpoints(self):
        return [member.endpoint for member in self.members]

    def _describe(self, count, flags):
        ports = []
        while len(ports) < 2 * count:
            ports.append(free_port(ports))
        peer_urls = [f"http://127.0.0.1:{port}" for port in ports[count:]]
        initial = ",".join(f"m{i}={url}" for i, url in enumerate(peer_urls))
        if self.is_etcd:
            flags = ["--logger=zap", "--log-outputs=stderr", "--log-level=warn", *flags]
        members = []
        for i in range(count):
            client_url = f"http://127.0.0.1:{ports[i]}"
            command = [
                self.program,
                f"--name=m{i}",
                f"--data-dir={self.directory}/m{i}",
                f"--listen-client-urls={client_url}",
                f"--advertise-client-urls={client_url}",
                f"--listen-peer-urls={peer_urls[i]}",
                f"--initial-advertise-peer-urls={peer_urls[i]}",
                f"--initial-cluster={initial}",
                "--initial-cluster-state=new",
                f"--initial-cluster-token={self.directory.name}",
                *flags,
            ]
            members.append(Member(f"m{i}", command, ports[i], self.directory / f"m{i}.log"))
        return members

    def start(self):
        for member in self.members:
            if not member.running:
                member.start()
        self.wait_until_ready()

    def connect(self, member):
        return Client(self.api, self.members[member].endpoint)

    def wait_until_ready(self, timeout=START_SECONDS, members=None):
        """Returns when each running member (or those given by number) is ready.

        Ready is who answers a linearizable read and knows the client URLs of all members.
        """
        deadline = time.monotonic() + timeout
        for index in range(len(self.members)) if members is None else members:
            if members is None and not self.members[index].running:
                continue
            with self.connect(index) as client:
                self._retry(deadline, index, lambda: self._check_ready(client))

    def leader(self, timeout=START_SECONDS):
        """The number of the member that leads, by what the running members say."""
        deadline = time.monotonic() + timeout
        ask = next(i for i, member in enumerate(self.members) if member.running)

        def find(client):
            status = client.Maintenance.Status(self.api.StatusRequest(), timeout=1, wait_for_ready=True)
            if not status.leader:
                raise LookupError("no leader")
            listed = client.Cluster.MemberList(self.api.MemberListRequest(), timeout=1).members
            name = next(member.name for member in listed if member.ID == status.leader)
            # Others may name a leader that just died, until they hold an election.
            return next(i for i, member in enumerate(self.members) if member.name == name and member.running)

        with self.connect(ask) as client:
            return self._retry(deadline, ask, lambda: find(client))

    def logs(self):
        return "\n".join(f"--- log of {member.name} ---\n{member.log()}" for member in self.members)

    def close(self):
        """Kills what runs and removes the data. Safe to call twice."""
        _open_clusters.discard(self)
        for member in self.members:
            with contextlib.suppress(subprocess.TimeoutExpired):
                member.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _check_ready(self, client):
        client.KV.Range(self.api.RangeRequest(key=b"ready?"), timeout=1, wait_for_ready=True)
        # Each member tells the others its client URLs after its start.
        listed = client.Cluster.MemberList(self.api.MemberListRequest(), timeout=1).members
        if not all(member.clientURLs for member in listed):
            raise LookupError("some member's client URLs are not known yet")

    def _retry(self, deadline, index, action):
        while True:
            member = self.members[index]
            try:
                return action()
            except (grpc.RpcError, LookupError, StopIteration) as error:
                if not member.running:
                    raise RuntimeError(f"{member.name} ended while it was waited for\n{self.logs()}") from error
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{member.name} is not ready: {error}\n{self.logs()}") from error
            threading.Event().wait(_RETRY_SECONDS)
