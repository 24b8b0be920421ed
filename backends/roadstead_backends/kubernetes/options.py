"""What a fleet file can say about a Kubernetes cluster."""

from __future__ import annotations

import re
from pathlib import Path

import attrs

__all__ = ["KubernetesOptions"]

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_MANAGER = re.compile(r"[!-~]{1,128}")


def _doc(text: str) -> dict[str, str]:
    return {"doc": text}


def _a_label(_instance: object, _attribute: attrs.Attribute[str | None], value: str | None) -> None:
    """Refuse what is no namespace: the name becomes a part of addresses."""
    if value is not None and not _LABEL.fullmatch(value):
        raise ValueError(f"{value!r} is no namespace: lower-case letters, digits and -, at most 63")


def _a_manager(_instance: object, _attribute: attrs.Attribute[str], value: str) -> None:
    if not _MANAGER.fullmatch(value):
        raise ValueError(f"{value!r} is no field manager: 1 to 128 printable characters without spaces")


@attrs.frozen(kw_only=True)
class KubernetesOptions:
    """Where the API server is, who we are there, and in which namespace our objects are."""

    kubeconfig: Path | None = attrs.field(
        default=None,
        metadata=_doc(
            "file with address and credentials; default: the service account of the pod that the daemon runs in, "
            "else the files of $KUBECONFIG, else ~/.kube/config"
        ),
    )
    context: str | None = attrs.field(
        default=None, metadata=_doc("which context of that file; default: its current one")
    )
    namespace: str | None = attrs.field(
        default=None,
        validator=_a_label,
        metadata=_doc("where our objects are; default: that of the context or service account, else `default`"),
    )
    allow_exec: bool = attrs.field(
        default=False,
        metadata=_doc("run the program that the kubeconfig names for getting credentials (`exec`)"),
    )
    field_manager: str = attrs.field(
        default="roadstead",
        validator=_a_manager,
        metadata=_doc("the name under which the cluster remembers which fields are ours"),
    )
    model_roots: tuple[str, ...] = attrs.field(
        default=(),
        metadata=_doc("models that are paths lie on the nodes, and only under these folders; default: anywhere there"),
    )
