"""Rules of secrets and of the environments that refer to them (``SecretValidation``, ``EnvVarValidation``)."""

from __future__ import annotations

from collections.abc import Collection

from roadstead_backends.marathon.emulator.refusals import Violations
from roadstead_backends.marathon.emulator.rules.documents import Document
from roadstead_backends.marathon.emulator.rules.volumes import feature_off

__all__ = ["check_environment", "check_secrets"]


def check_secrets(
    owner: Document, path: str, environment: Document, features: Collection[str], found: Violations
) -> None:
    """Note what is wrong with an owner's secrets, and with its environment, which may refer to them."""
    secrets: Document = owner.get("secrets", {})
    enabled = "secrets" in features
    check_environment(secrets, path, environment, features, found)
    if secrets and not enabled:
        found.add("/secrets", feature_off("secrets"))
    for index, (name, secret) in enumerate(secrets.items() if enabled else ()):
        found.check(bool(name), f"/secrets/keys({index})", "must not be empty")
        found.check(bool(secret["source"]), f"/secrets/values({index})/source", "must not be empty")


def check_environment(
    secrets: Document, path: str, environment: Document, features: Collection[str], found: Violations
) -> None:
    """Note what is wrong with an environment that may refer to ``secrets``."""
    for index, name in enumerate(environment):
        found.check(bool(name), f"{path}/keys({index})", "must not be empty")
    references = {name: value for name, value in environment.items() if isinstance(value, dict)}
    found.check(
        "secrets" in features or not references,
        path,
        "use of secret-references in the environment requires the secrets feature to be enabled",
    )
    for name, value in references.items():
        found.check(value["secret"] in secrets, f"{path}/{name}/secret", "references an undefined secret")
