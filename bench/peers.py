# SPDX-License-Identifier: MPL-2.0
"""peers - the servers a benchmark measures, each in a directory of its own.

A peer has: name, lmtp (address), imap, imaps (addresses), user(n), password,
start(), stop(), pids(). All listen on loopback or unix sockets, run with
slow_sync.so preloaded, and serve accounts user0 .. user<count - 1>@example.org.
"""
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time

PASSWORD = "bench-Pass.7391"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(address, seconds=20):
    """Until somebody greets there."""
    end = time.monotonic() + seconds
    while True:
        try:
            if address.startswith("unix:"):
                link = socket.socket(socket.AF_UNIX)
                link.settimeout(5)
                link.connect(address[5:])
            else:
                host, port = address.rsplit(":", 1)
                link = socket.create_connection((host, int(port)), 5)
            with link:
                if link.recv(1):
                    return
        except OSError:
            pass
        if time.monotonic() > end:
            raise RuntimeError("nobody answers at " + address)
        time.sleep(0.05)


def make_certificate(directory):
    key, certificate = directory + "/tls.key", directory + "/tls.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-keyout", key, "-out", certificate, "-days", "30",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
                   check=True, capture_output=True)
    return key, certificate


def descendants(pid):
    """pid and all below it."""
    children = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as stat:
                parent = int(stat.read().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(entry))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


class Peer:
    def __init__(self, name, directory, sync):
        self.name, self.directory, self.sync = name, directory, sync
        self.process = None
        self.password = PASSWORD
        os.makedirs(directory)

    def user(self, number):
        return f"user{number}@example.org"

    def launch(self, command, **options):
        # aerod and dovecot both log to stderr
        with open(self.directory + "/log", "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={**os.environ, **self.sync.environment}, **options)
        for address in (self.lmtp, self.imap):
            wait_for(address)

    def pids(self):
        return descendants(self.process.pid)

    def stop(self):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            for pid in self.pids():
                os.kill(pid, signal.SIGKILL)
            self.process.wait()
        self.process = None


class Dovecot(Peer):
    """Dovecot 2.3 with mdbox, tuned for many clients, durable as Aerostore is: each mail and
    each index change is synced before it is acknowledged (mail_fsync=always)."""

    def __init__(self, name, directory, sync, crypt=False, fsync="always"):
        super().__init__(name, directory, sync)
        self.crypt, self.fsync = crypt, fsync
        self.lmtp = f"unix:{directory}/run/bench-lmtp"
        self.imap, self.imaps = (f"127.0.0.1:{free_port()}" for _ in range(2))
        self.store = directory + "/mail"
        self.configuration = self.configure()

    @staticmethod
    def missing():
        """None, or why there is no Dovecot here. As root, tries to install it."""
        needed = "/usr/lib/dovecot/lmtp", "/usr/lib/dovecot/imap", "/usr/sbin/dovecot"
        if all(map(os.path.exists, needed)):
            return None
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            return "dovecot-core, dovecot-lmtpd, dovecot-imapd are not installed"
        subprocess.run(["apt-get", "install", "-y", "dovecot-core", "dovecot-lmtpd", "dovecot-imapd"],
                       env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, capture_output=True)
        return None if all(map(os.path.exists, needed)) else "Dovecot cannot be installed here"

    def configure(self):
        """Its files, and the text of its configuration."""
        directory = self.directory
        root = os.geteuid() == 0
        me = pwd.getpwuid(os.geteuid()).pw_name
        mail_user = "nobody" if root else me
        mail_pwd = pwd.getpwnam(mail_user)
        os.makedirs(self.store)
        os.chown(self.store, mail_pwd.pw_uid, mail_pwd.pw_gid)
        key, certificate = make_certificate(directory)
        host, port = self.imap.split(":")
        tls_port = self.imaps.split(":")[1]
        environment = " ".join(f"{k}={v}" for k, v in self.sync.environment.items())
        text = f"""
protocols = imap lmtp
base_dir = {directory}/run
state_dir = {directory}/state
log_path = {directory}/log
instance_name = {os.path.basename(directory)}
default_internal_user = {"dovecot" if root else me}
default_login_user = {"dovenull" if root else me}
default_internal_group = {"dovecot" if root else mail_pwd.pw_gid}
import_environment = TZ {environment}
mail_location = mdbox:{self.store}/%n
mail_uid = {mail_pwd.pw_uid}
mail_gid = {mail_pwd.pw_gid}
first_valid_uid = {min(mail_pwd.pw_uid, 500)}
first_valid_gid = {min(mail_pwd.pw_gid, 500)}
mail_max_userip_connections = 0
mail_log_prefix = "%s(%u): "
lmtp_save_to_detail_mailbox = no
disable_plaintext_auth = no
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
ssl_min_protocol = TLSv1.2
passdb {{
  driver = static
  args = password={self.password}
}}
userdb {{
  driver = static
  args = uid={mail_pwd.pw_uid} gid={mail_pwd.pw_gid} home={self.store}/%n
}}
namespace inbox {{
  inbox = yes
}}
default_client_limit = 8192
default_process_limit = 4096
default_vsz_limit = 1G
service imap-login {{
  {"" if root else "chroot ="}
  service_count = 0
  process_min_avail = 2
  inet_listener imap {{
    address = {host}
    port = {port}
  }}
  inet_listener imaps {{
    address = {host}
    port = {tls_port}
    ssl = yes
  }}
}}
service lmtp {{
  process_limit = 256
  unix_listener bench-lmtp {{
    mode = 0666
  }}
}}
service imap {{
  process_limit = 4096
}}
service anvil {{
  {"" if root else "chroot ="}
  client_limit = 16384
}}
service stats {{
  {"" if root else "chroot ="}
  client_limit = 16384
}}
"""
        if self.crypt:
            self.make_crypt_keys(mail_pwd)
            text += f"""
mail_plugins = $mail_plugins mail_crypt
plugin {{
  mail_crypt_global_private_key = <{directory}/crypt.key
  mail_crypt_global_public_key = <{directory}/crypt.pub
  mail_crypt_save_version = 2
}}
"""
        return text

    def make_crypt_keys(self, owner):
        key, public = self.directory + "/crypt.key", self.directory + "/crypt.pub"
        curve = subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey"], check=True,
                               capture_output=True).stdout
        subprocess.run(["openssl", "pkey", "-out", key], input=curve, check=True, capture_output=True)
        subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True,
                       capture_output=True)
        os.chown(key, owner.pw_uid, owner.pw_gid)

    def start(self, fsync=None):
        path = self.directory + "/dovecot.conf"
        with open(path, "w", encoding="ascii") as out:
            out.write(self.configuration + f"mail_fsync = {fsync or self.fsync}\n")
        self.launch(["/usr/sbin/dovecot", "-F", "-c", path])

    def make_accounts(self, count):
        """All there are: the static user database knows everybody."""


class Aerostore(Peer):
    """One aerod with every role, as aeroctl init makes it: three volumes in one directory."""

    def __init__(self, name, directory, sync, build):
        super().__init__(name, directory, sync)
        self.build = build
        self.store = directory + "/store"
        self.configuration = self.store + "/aerostore.conf"
        self.lmtp = f"unix:{self.store}/lmtp.sock"
        ports = [free_port() for _ in range(3)]
        self.imap, self.imaps = (f"127.0.0.1:{port}" for port in ports[:2])
        self.aeroctl("init", "--dir", self.store, "--imap", str(ports[0]), "--imaps", str(ports[1]),
                     "--lmtp", str(ports[2]))
        os.makedirs(self.store + "/index", exist_ok=True)
        self.raise_limits()

    @staticmethod
    def missing(build):
        """None, or why there is none here."""
        for program in "aerod", "aeroctl":
            if not os.path.exists(f"{build}/{program}"):
                return f"{program} is not built"
        return None

    def aeroctl(self, *arguments, text=None):
        done = subprocess.run([f"{self.build}/aeroctl", *arguments], input=text, text=True, check=False,
                              stdin=subprocess.DEVNULL if text is None else None, capture_output=True)
        if done.returncode != 0:
            raise RuntimeError(f"aeroctl {' '.join(arguments[:2])}: {done.stderr.strip()}")

    def raise_limits(self):
        """All clients of a benchmark come from one address."""
        with open(self.configuration, encoding="utf-8") as file:
            lines = [line for line in file if not line.startswith("connection-limit")]
        with open(self.configuration, "w", encoding="utf-8") as file:
            file.writelines(lines + ["connection-limit = 10000\n", "connection-limit-per-peer = 10000\n"])

    def start(self):
        self.launch([f"{self.build}/aerod", "-c", self.configuration])

    def make_accounts(self, count):
        for number in range(count):
            self.aeroctl("-c", self.configuration, "account", "create", self.user(number),
                         "--password-file", "-", text=self.password + "\n")
