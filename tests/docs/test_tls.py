"""The page about TLS, carried out: its certificate is served, trusted by each kind of client, and renewed."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.docs.reader import Reader, reading
from tests.ports import free_ports
from tests.tf_serving.conftest import until

PAGE = ROOT / "docs" / "how-to" / "tls.md"

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1800)]


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """A reader with a fleet file."""
    with reading(PAGE, tmp_path / "secured") as made:
        made.run("python -m configs.minilm.export models/minilm", within=900)
        made.run("roadstead init")
        yield made


def test_the_page_about_tls_does_what_it_says(reader: Reader) -> None:
    """Every block as it stands, but for the ports, and for an address that only this machine can reach."""
    port = free_ports(10)
    reader.instead.update({"18000-18099": f"{port}-{port + 8}", "18000": str(port), "0.0.0.0": "127.0.0.1"})  # noqa: S104
    reader.type()
    key, certificate = (reader.folder / "tls" / name for name in ("key.pem", "cert.pem"))
    assert 0o600 == key.stat().st_mode & 0o777
    reader.edit(r"^# gateways: .*\n#   edge: .*\n", reader.meant(reader.next("yaml").text))
    reader.edit(r"^deployments:", f'daemon: {{http: "127.0.0.1:{port + 9}"}}\n\ndeployments:')
    assert "cert.pem and its key fit" in reader.run("roadstead check || true")

    reader.run("roadstead daemon start --background; roadstead apply --yes")
    assert f"curl --cacert CA.pem https://127.0.0.1:{port}/v1/models/minilm" in reader.printed
    answers = reader.type()
    assert '"AVAILABLE"' in answers
    assert '"predictions"' in answers
    reader.run(f"python - <<'END'\n{reader.next('python').text}END")
    by_name = f"curl --fail --cacert tls/cert.pem --connect-to models.example:{port}:127.0.0.1:{port}"
    reader.run(f"{by_name} https://models.example:{port}/v1/models/minilm")
    reader.run(f"! curl --cacert tls/cert.pem https://localhost:{port}/v1/models/minilm")

    before = certificate.read_text()
    assert before == ssl.get_server_certificate(("127.0.0.1", port))
    reader.type()
    assert before != certificate.read_text()
    until(lambda: ssl.get_server_certificate(("127.0.0.1", port)) == certificate.read_text(), what="it is renewed")
    assert reader.at_the_end()
