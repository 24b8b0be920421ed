"""Where credentials come from, what of a kubeconfig is refused, and the programs that it names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from roadstead.units import Duration
from roadstead_backends.kubernetes.access import FromFiles, FromPod, Login, Source, find_source
from roadstead_backends.kubernetes.kubeconfig import Unusable
from roadstead_backends.kubernetes.options import KubernetesOptions
from tests.kubernetes.client.connecting import logged_in, write_kubeconfig

_SERVER = "https://api.example:6443"
_EXEC_V1 = "client.authentication.k8s.io/v1"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a kubeconfig is to be."""
    return tmp_path / "kubeconfig"


# ---- where they are ----


def test_what_is_named_counts_then_the_pod_then_the_user_s_files(tmp_path: Path) -> None:
    """A context names a kubeconfig's: with one, the pod's service account is not meant."""
    (tmp_path / "token").write_text("t")
    pod = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    files = {"KUBECONFIG": "/a:/b"}

    def find(environ: Mapping[str, str], folder: Path = tmp_path, **options: Any) -> Source:
        return find_source(KubernetesOptions(**options), environ, folder)

    named = find(pod | files, kubeconfig=Path("/k"), context="c", allow_exec=True)
    assert FromFiles(paths=(Path("/k"),), context="c", allow_exec=True) == named
    assert FromPod(folder=tmp_path, environ=pod | files) == find(pod | files)
    assert FromFiles(paths=(Path("/a"), Path("/b")), context="c") == find(pod | files, context="c")
    assert FromFiles(paths=(Path("/a"), Path("/b"))) == find(files)
    assert FromFiles(paths=(Path("/a"), Path("/b"))) == find(pod | files, folder=tmp_path / "nowhere")
    assert FromFiles(paths=(Path("~/.kube/config").expanduser(),)) == find({})


def test_several_files_are_one_as_kubectl_reads_them(tmp_path: Path) -> None:
    """The first one that has a thing counts, the last one's current context, and missing ones are no matter."""
    first, second = tmp_path / "first", tmp_path / "second"
    write_kubeconfig(first, _SERVER, user={"token": "first"})
    write_kubeconfig(second, "https://other.example", context={"namespace": "second"}, user={"token": "second"})
    login = Login(FromFiles(paths=(tmp_path / "missing", first, second)))
    access = login.current()
    assert (_SERVER, "Bearer first", "default") == (access.entry.server, access.authorization, login.namespace)


def test_a_context_is_found_by_its_name(path: Path) -> None:
    """And another one than the current is used where it is named."""
    document = json.loads(write_kubeconfig(path, _SERVER).read_text())
    document["contexts"].append({"name": "other", "context": {"cluster": "one", "namespace": "models"}})
    path.write_text(json.dumps(document))
    assert ("default", "models") == (logged_in(path).namespace, logged_in(path, context="other").namespace)
    with pytest.raises(Unusable, match="nowhere"):
        logged_in(path, context="nowhere")


def test_the_service_account_of_the_pod(tmp_path: Path) -> None:
    """Address from the environment; token, authority and namespace from files, and read again when they change."""
    for name, content in (("token", "first"), ("ca.crt", "authority"), ("namespace", "models")):
        (tmp_path / name).write_text(content)
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    login = Login(FromPod(folder=tmp_path, environ=environ))
    access = login.current()
    assert ("https://[fd00::1]:443", "Bearer first", "models") == (
        access.entry.server,
        access.authorization,
        login.namespace,
    )
    assert str(tmp_path / "ca.crt") == access.configuration.ssl_ca_cert
    (tmp_path / "new").write_text("second")
    (tmp_path / "new").rename(tmp_path / "token")
    assert access is login.current()  # looked at a moment ago
    login._looked_at -= 60
    assert "Bearer second" == login.current().authorization
    with pytest.raises(Unusable, match="service account"):
        Login(FromPod(folder=tmp_path / "nowhere", environ=environ))


def test_a_file_that_did_not_change_is_not_read_again(path: Path) -> None:
    """The connections stay."""
    login = logged_in(write_kubeconfig(path, _SERVER, user={"token": "t"}))
    first = login.current()
    login._looked_at -= 60
    assert first is login.current()


# ---- what is refused ----


@pytest.mark.parametrize(
    ("mode", "what"), [(0o620, "others than its owner may write"), (0o602, "others than its owner may write")]
)
def test_a_kubeconfig_that_others_may_write_is_refused(path: Path, mode: int, what: str) -> None:
    """They could have us run a program, or send our token elsewhere."""
    write_kubeconfig(path, _SERVER).chmod(mode)
    with pytest.raises(Unusable, match=what) as refused:
        logged_in(path)
    assert f"chmod go-w {path}" == refused.value.hint


def test_a_kubeconfig_of_somebody_else_is_refused(path: Path) -> None:
    """Root's is not: it can do what it likes anyway."""
    write_kubeconfig(path, _SERVER)
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(path, 12_345, 12_345)
    with pytest.raises(Unusable, match="belongs to user 12345"):
        logged_in(path)


def test_a_kubeconfig_that_others_may_read_is_said(path: Path) -> None:
    """Where there is a secret in it."""
    write_kubeconfig(path, _SERVER, user={"token": "t"}).chmod(0o644)
    assert [True] == ["may read the credentials" in note for note in logged_in(path).notes]
    write_kubeconfig(path, _SERVER, user={"tokenFile": "t"}).chmod(0o644)
    assert () == logged_in(path).notes


@pytest.mark.parametrize(
    ("parts", "what"),
    [
        ({"user": {"exec": {"command": "aws", "apiVersion": _EXEC_V1}}}, "from a program, 'aws'"),
        ({"user": {"auth-provider": {"name": "gcp", "config": {"cmd-path": "gcloud"}}}}, "auth-provider"),
        ({"user": {"auth-provider": {"name": "oidc"}}}, "auth-provider"),
        ({"user": {"as": "admin"}}, "acts as somebody else"),
        ({"user": {"as-groups": ["system:masters"]}}, "acts as somebody else"),
        ({"cluster": {"server": "http://api.example"}}, "is not https"),
        ({"cluster": {"server": "http://127.0.0.1.example"}}, "is not https"),
        ({"cluster": {"server": "ftp://127.0.0.1"}}, "is not https"),
        ({"cluster": {"certificate-authority-data": "%%%"}}, "not base64"),
        ({"context": {"user": "nobody"}}, "nobody"),
        ({"context": {"cluster": "nothing"}}, "nothing"),
    ],
)
def test_what_we_would_have_to_ignore_is_refused(path: Path, parts: dict[str, Any], what: str) -> None:
    """Before anything is run or sent."""
    write_kubeconfig(path, _SERVER, **parts)
    with pytest.raises(Unusable, match=what):
        logged_in(path)


@pytest.mark.parametrize("content", ["", "[]", "a: [", "just text", "clusters: 7", "contexts:\n- nothing"])
def test_what_is_no_kubeconfig_is_refused(path: Path, content: str) -> None:
    """With its name, whatever it is instead."""
    path.touch(mode=0o600)
    path.write_text(content)
    with pytest.raises(Unusable, match=str(path)):
        logged_in(path)


def test_a_kubeconfig_that_is_not_there(path: Path) -> None:
    """Says where it was looked for."""
    with pytest.raises(Unusable, match=f"no kubeconfig at {path}"):
        logged_in(path)


@pytest.mark.parametrize(
    "options", [{"namespace": "../kube-system"}, {"namespace": "Models"}, {"namespace": "-a"}, {"field_manager": "a b"}]
)
def test_options_that_cannot_be_right_are_refused(options: dict[str, Any]) -> None:
    """A namespace becomes a part of addresses."""
    with pytest.raises(ValueError, match=next(iter(options.values()))):
        KubernetesOptions(**options)


# ---- programs ----


@attrs.frozen
class Program:
    """A program that prints credentials, and notes that it ran."""

    folder: Path

    def user(self, script: str, **more: object) -> dict[str, Any]:
        """Return a user whose credentials a Python ``script`` prints; ``say(**status)`` is defined in it."""
        path = self.folder / "credentials"
        path.write_text(
            f"#!{sys.executable}\n"
            "import json, os, sys, time\n"
            f"open({str(self.folder / 'ran')!r}, 'a').write('x')\n"
            "def say(**status):\n"
            f"    print(json.dumps(dict(apiVersion={_EXEC_V1!r}, kind='ExecCredential', status=status)))\n"
            f"{script}\n"
        )
        path.chmod(0o700)
        return {"exec": {"apiVersion": _EXEC_V1, "command": "./credentials", **more}}

    @property
    def runs(self) -> int:
        """How often it ran."""
        ran = self.folder / "ran"
        return len(ran.read_text()) if ran.exists() else 0


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """A program beside the kubeconfig."""
    return Program(tmp_path)


def test_a_program_runs_only_where_that_is_allowed(path: Path, program: Program) -> None:
    """And only when credentials are needed: not by looking at the fleet file."""
    write_kubeconfig(path, _SERVER, user=program.user("say(token='t')"))
    with pytest.raises(Unusable) as refused:
        logged_in(path)
    assert "allow_exec" in refused.value.hint
    login = logged_in(path, allow_exec=True)
    assert 0 == program.runs
    assert "Bearer t" == login.current().authorization
    login.current()
    assert 1 == program.runs


def test_a_program_is_told_what_the_kubeconfig_says(path: Path, program: Program) -> None:
    """Arguments, environment, and about the cluster where it wants to know."""
    extension = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}}
    user = program.user(
        "info = json.loads(os.environ['KUBERNETES_EXEC_INFO'])\n"
        "cluster = info['spec']['cluster']\n"
        "say(token='|'.join([*sys.argv[1:], os.environ['MODE'], cluster['server'], cluster['config']['audience']]))",
        args=["get", "token"],
        env=[{"name": "MODE", "value": "quiet"}],
        provideClusterInfo=True,
    )
    write_kubeconfig(path, _SERVER, user=user, cluster={"extensions": [extension]})
    assert f"Bearer get|token|quiet|{_SERVER}|x" == logged_in(path, allow_exec=True).current().authorization


def test_a_program_gives_a_certificate(path: Path, program: Program) -> None:
    """With its key, neither of which touches the disk."""
    write_kubeconfig(path, _SERVER, user=program.user("say(clientCertificateData='C', clientKeyData='K')"))
    access = logged_in(path, allow_exec=True).current()
    assert None is access.authorization
    assert (b"C", b"K") == tuple(
        Path(str(file)).read_bytes() for file in (access.configuration.cert_file, access.configuration.key_file)
    )
    assert str(access.configuration.key_file).startswith("/proc/self/fd/")
    assert "'K'" not in repr(access)


def test_what_expires_is_fetched_again_before_that(path: Path, program: Program) -> None:
    """A minute before, and not earlier."""
    user = program.user(
        f"runs = len(open({str(program.folder / 'ran')!r}).read())\n"
        "at = time.gmtime(time.time() + (30 if runs == 1 else 3600))\n"
        "say(token=str(runs), expirationTimestamp=time.strftime('%Y-%m-%dT%H:%M:%SZ', at))"
    )
    write_kubeconfig(path, _SERVER, user=user)
    login = logged_in(path, allow_exec=True)
    assert ["Bearer 1", "Bearer 2", "Bearer 2"] == [login.current().authorization for _ in range(3)]


@pytest.mark.parametrize(
    ("script", "what"),
    [
        ("sys.stderr.write('not logged in'); sys.exit(3)", "ended with 3: not logged in"),
        ("print('secret')", "no ExecCredential"),
        ("say()", "neither a token nor a certificate"),
        ("say(clientCertificateData='c')", "neither a token nor a certificate"),
        ("print(json.dumps(dict(apiVersion='v0', kind='ExecCredential', status={})))", "of v0"),
        ("time.sleep(60)", "did not end within 200ms"),
    ],
)
def test_a_program_that_fails_is_said_with_why(path: Path, program: Program, script: str, what: str) -> None:
    """The official client goes on without credentials then. What it printed is not said: it may be a secret."""
    write_kubeconfig(path, _SERVER, user=program.user(script))
    login = Login(
        FromFiles(paths=(path,), allow_exec=True), plugin_timeout=Duration(200 if "sleep" in script else 60_000)
    )
    with pytest.raises(Unusable, match=what) as failed:
        login.current()
    assert "secret" not in str(failed.value)


def test_a_program_that_fails_is_not_run_by_everybody_who_waits(path: Path, program: Program) -> None:
    """Not again within the next seconds."""
    write_kubeconfig(path, _SERVER, user=program.user("sys.exit(1)"))
    login = logged_in(path, allow_exec=True)
    for _ in range(3):
        with pytest.raises(Unusable, match="ended with 1"):
            login.current()
    assert 1 == program.runs


def test_a_program_that_is_not_installed(path: Path) -> None:
    """The kubeconfig's own hint is the best one."""
    plugin = {"apiVersion": _EXEC_V1, "command": "no-such-program", "installHint": "get it from us"}
    write_kubeconfig(path, _SERVER, user={"exec": plugin})
    with pytest.raises(Unusable, match="no 'no-such-program'") as failed:
        logged_in(path, allow_exec=True).current()
    assert "get it from us" == failed.value.hint


# ---- what is not said ----


def test_credentials_are_never_printed(path: Path) -> None:
    """Not by the representation of anything that holds them."""
    user = {"token": "CANARY-token", "client-key-data": "Q0FOQVJZLWtleQ==", "client-certificate-data": "Yw=="}
    write_kubeconfig(path, _SERVER, user=user)
    login = logged_in(path)
    access = login.current()
    write_kubeconfig(path, _SERVER, user={"username": "me", "password": "CANARY-password"})
    basic = logged_in(path).current()
    assert basic.authorization is not None
    assert basic.authorization.startswith("Basic ")
    texts = [repr(one) for one in (login, access, access.entry, access.issued, basic, basic.entry)]
    assert [] == [text for text in texts if "CANARY" in text or "Q0FOQVJZ" in text]


def test_the_client_is_imported_only_for_a_cluster(tmp_path: Path) -> None:
    """Registering the backend, and reading its options, costs no import of it."""
    code = (
        "import sys, roadstead_backends.kubernetes.plugin as plugin; list(plugin.roadstead_backends());"
        "print(sorted({'kubernetes', 'urllib3', 'msgspec', 'aiohttp', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert "[]\n" == done.stdout


def test_time_is_only_looked_at(path: Path) -> None:
    """A hundred requests in a moment look at the files once."""
    login = logged_in(write_kubeconfig(path, _SERVER, user={"token": "t"}))
    login.current()
    login._looked_at = time.monotonic()
    path.unlink()
    assert {"Bearer t"} == {login.current().authorization for _ in range(100)}
