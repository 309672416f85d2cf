"""Members of cairn or etcd as processes on loopback, and what the kernel tells of them."""

import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOAD = ROOT / "build" / "cairn-load"
PROGRAMS = {"cairn": str(ROOT / "build" / "cairnd"), "etcd": "etcd"}
READY_SECONDS = 60
STOP_SECONDS = 20
SYNC_CALLS = "fsync,fdatasync,sync_file_range,msync"


def free_ports(count):
    """Ports nobody listens on, below those the kernel takes for outgoing connections."""
    ports = []
    candidate = 10000 + (os.getpid() * 37) % 15000
    while len(ports) < count:
        candidate += 1
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
        ports.append(candidate)
    return ports


def etcd_version():
    try:
        out = subprocess.run([PROGRAMS["etcd"], "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    match = re.search(r"etcd Version: (\S+)", out)
    return match.group(1) if match else None


class Load:
    """One run of the load generator."""

    def __init__(self, endpoints, pids=()):
        self.endpoints = endpoints
        self.pids = pids

    def command(self, workload, **options):
        command = [str(LOAD), workload, "--endpoints", ",".join(self.endpoints)]
        if self.pids:
            command += ["--pids", ",".join(map(str, self.pids))]
        for name, value in options.items():
            command += ["--" + name.replace("_", "-"), str(value)]
        return command

    def run(self, workload, **options):
        import json

        command = self.command(workload, **options)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
        return json.loads(done.stdout)


class Cluster:
    """`size` members of one system in a fresh directory. Use as a context manager."""

    def __init__(self, system, size, directory, count_syncs=False):
        self.system = system
        self.directory = pathlib.Path(directory) / f"{system}-{size}"
        self.count_syncs = count_syncs
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        ports = free_ports(2 * size)
        self.client_ports, self.peer_ports = ports[:size], ports[size:]
        self.processes = [None] * size
        self.traced = [None] * size

    def __enter__(self):
        try:
            for i in range(len(self.processes)):
                self.start(i)
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def endpoints(self):
        return [f"127.0.0.1:{port}" for port in self.client_ports]

    @property
    def pids(self):
        return [self.pid(i) for i in range(len(self.processes))]

    def pid(self, i):
        return self.traced[i] or self.processes[i].pid

    @property
    def load(self):
        return Load(self.endpoints, self.pids)

    def start(self, i):
        names = [f"n{i + 1}" for i in range(len(self.processes))]
        client = f"http://127.0.0.1:{self.client_ports[i]}"
        peer = f"http://127.0.0.1:{self.peer_ports[i]}"
        cluster = ",".join(f"{name}=http://127.0.0.1:{port}" for name, port in zip(names, self.peer_ports))
        command = [PROGRAMS[self.system], "--name", names[i], "--data-dir", str(self.directory / names[i])]
        command += ["--listen-client-urls", client, "--advertise-client-urls", client]
        command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
        command += ["--initial-cluster", cluster, "--initial-cluster-token", "benchmark"]
        if self.system == "etcd":
            # As much room as the largest test needs; cairn's default is larger still.
            command += ["--quota-backend-bytes", str(8 << 30), "--logger", "zap", "--log-level", "error"]
        if self.count_syncs:
            trace = ["strace", "-f", "--seccomp-bpf", "-qq", "-e", "signal=none", "-e", "trace=" + SYNC_CALLS]
            command = trace + ["-o", str(self.directory / f"{names[i]}.syncs")] + command
        with open(self.directory / f"{names[i]}.log", "ab") as log:
            self.processes[i] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, preexec_fn=_many_files
            )

    def wait_ready(self):
        """Until all agree on a leader and a put through each member is acknowledged."""
        deadline = time.monotonic() + READY_SECONDS
        while True:
            for i, process in enumerate(self.processes):
                if process is not None and process.poll() is not None:
                    raise RuntimeError(f"a member of {self.system} ended:\n" + self._last_words(i))
            try:
                Load(self.endpoints).run("status")
                for endpoint in self.endpoints:
                    Load([endpoint]).run("put", connections=1, outstanding=1, operations=1)
                break
            except RuntimeError as error:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{self.system} is not ready: {error}") from None
                time.sleep(0.1)
        if self.count_syncs:
            for i, process in enumerate(self.processes):
                children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
                self.traced[i] = int(children[0])

    def _last_words(self, i):
        return (self.directory / f"n{i + 1}.log").read_text(errors="replace")[-2000:]

    def leader(self):
        return int(Load(self.endpoints).run("status")["leader"])

    def kill(self, i):
        os.kill(self.pid(i), signal.SIGKILL)
        self.processes[i].wait()

    def stop(self):
        running = [i for i, process in enumerate(self.processes) if process is not None and process.poll() is None]
        for i in running:
            os.kill(self.pid(i), signal.SIGTERM)
        for i in running:
            try:
                self.processes[i].wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.kill(self.pid(i), signal.SIGKILL)
                self.processes[i].wait()

    def resident_bytes(self):
        return [_resident_bytes(pid) for pid in self.pids]

    def cpu_seconds(self):
        return sum(_cpu_seconds(pid) for pid in self.pids)

    def syncs(self):
        count = 0
        for path in self.directory.glob("*.syncs"):
            for line in path.read_text(errors="replace").splitlines():
                # A call that another thread interrupts is written on two lines.
                count += "resumed>" not in line and "sync" in line
        return count


def _many_files():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _resident_bytes(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) << 10


def _cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
