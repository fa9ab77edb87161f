"""Servers on loopback, each with a certificate of the same small authority."""

import os
import pathlib
import socket
import subprocess
import sys
import time

from client import request

# Seconds until a server answers. Synapse on a busy machine takes its time.
START_TIME = 120
# Seconds until it has ended after being asked to.
STOP_TIME = 30


def run(*command, **options):
    subprocess.run(command, check=True, capture_output=True, **options)


class Authority:
    """A certificate authority for `localhost`, made with openssl."""

    def __init__(self, folder):
        self.ca = folder / "ca.pem"
        self.cert, self.key = folder / "server.pem", folder / "server.key"
        ca_key, ask, more = folder / "ca.key", folder / "server.csr", folder / "extensions"
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        run("openssl", "req", "-x509", *curve, "-days", "2", "-subj", "/CN=Test authority",
            "-keyout", ca_key, "-out", self.ca, "-addext", "keyUsage=critical,keyCertSign")
        run("openssl", "req", *curve, "-subj", "/CN=localhost", "-keyout", self.key, "-out", ask)
        more.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
        run("openssl", "x509", "-req", "-in", ask, "-CA", self.ca, "-CAkey", ca_key,
            "-CAcreateserial", "-days", "2", "-extfile", more, "-out", self.cert)


def free_ports(count):
    """Ports that nobody uses now. Held together, so that they differ."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [held.getsockname()[1] for held in sockets]
    for held in sockets:
        held.close()
    return ports


class Server:
    """A running server. `name` is its server name, `client_url` where clients reach it."""

    def __init__(self, folder, authority, ports):
        self.folder, self.authority = folder, authority
        self.federation_port, self.client_port = ports
        self.name = f"localhost:{self.federation_port}"
        self.client_url = f"http://127.0.0.1:{self.client_port}"
        self.log = folder / "log"
        self.process = None
        folder.mkdir(parents=True)
        self.prepare()

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, cwd=self.folder)
        end = time.monotonic() + START_TIME
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            try:
                status, _ = request("GET", self.client_url + "/_matrix/client/versions")
                if status == 200:
                    return self
            except OSError:
                pass
            time.sleep(0.2)
        sys.exit(f"{self.name} does not start:\n{self.log.read_text()[-4000:]}")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_TIME)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def kill(self):
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()


class Blaupause(Server):
    def prepare(self):
        a = self.authority
        (self.folder / "blaupause.toml").write_text(f"""
[server]
name = "{self.name}"
listen = ["127.0.0.1:{self.client_port}"]
[tls]
listen = ["127.0.0.1:{self.federation_port}"]
cert_file = "{a.cert}"
key_file = "{a.key}"
[storage]
path = "{self.folder}/db"
[media]
path = "{self.folder}/media"
[registration]
mode = "open"
[rate_limits]
enabled = false
[federation]
mode = "open"
ca_file = "{a.ca}"
trust_system_roots = false
allowed_networks = ["127.0.0.0/8", "::1/128"]
[directory]
public_rooms_over_federation = true
[presence]
federation = true
""")

    def command(self):
        config = self.folder / "blaupause.toml"
        return [os.environ["BLAUPAUSE_BIN"], "serve", "--config", str(config)]


class Synapse(Server):
    def prepare(self):
        a, folder = self.authority, self.folder
        self.python = pathlib.Path(os.environ["SYNAPSE_VENV"]) / "bin" / "python"
        run(self.python, "-m", "synapse.app.homeserver", "--server-name", self.name,
            "--config-path", "homeserver.yaml", "--generate-config", "--report-stats=no",
            "--data-directory", folder, cwd=folder)
        generous = "{per_second: 10000, burst_count: 10000}"
        listener = "bind_addresses: ['127.0.0.1'], type: http, x_forwarded: false"
        (folder / "test.yaml").write_text(f"""
listeners:
  - {{port: {self.client_port}, tls: false, {listener}, resources: [{{names: [client]}}]}}
  - {{port: {self.federation_port}, tls: true, {listener}, resources: [{{names: [federation]}}]}}
tls_certificate_path: {a.cert}
tls_private_key_path: {a.key}
federation_custom_ca_list: [{a.ca}]
ip_range_blacklist: []
trusted_key_servers: []
enable_registration: true
enable_registration_without_verification: true
allow_public_rooms_over_federation: true
room_list_publication_rules: [{{action: allow}}]
database: {{name: sqlite3, args: {{database: {folder}/homeserver.db}}}}
rc_message: {generous}
rc_registration: {generous}
rc_room_creation: {generous}
rc_login: {{address: {generous}, account: {generous}, failed_attempts: {generous}}}
rc_joins: {{local: {generous}, remote: {generous}}}
rc_presence: {{per_user: {generous}}}
rc_invites: {{per_room: {generous}, per_user: {generous}}}
rc_federation: {{sleep_limit: 10000, reject_limit: 50000, concurrent: 100}}
# A server that was away is asked again soon, not after ten minutes.
federation: {{destination_min_retry_interval: 1s, destination_max_retry_interval: 2s}}
""")

    def command(self):
        configs = ["-c", "homeserver.yaml", "-c", "test.yaml"]
        return [str(self.python), "-m", "synapse.app.homeserver", *configs]
