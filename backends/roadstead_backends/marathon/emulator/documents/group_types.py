"""The update of a group, as its JSON is described (``group.raml``)."""

from __future__ import annotations

from typing import Any, Final

from roadstead_backends.marathon.emulator.documents.app_types import APP
from roadstead_backends.marathon.emulator.documents.reading import (
    Field,
    ObjectOf,
    array,
    boolean,
    double,
    moment,
    string,
)
from roadstead_backends.marathon.emulator.documents.shared_types import PATH_ID

__all__ = ["GROUP_PARTIAL_UPDATE", "GROUP_UPDATE"]


def _nested(value: Any) -> Any:
    """A group in a group."""
    return GROUP_UPDATE(value)


GROUP_UPDATE: Final = ObjectOf(
    fields=(
        Field(name="id", read=PATH_ID),
        Field(name="apps", read=array(APP, unique=True)),
        Field(name="groups", read=array(_nested, unique=True)),
        Field(name="dependencies", read=array(string(), unique=True)),
        Field(name="scaleBy", read=double(minimum=0)),
        Field(name="version", read=moment),
        Field(name="enforceRole", read=boolean),
    )
)
GROUP_PARTIAL_UPDATE: Final = ObjectOf(fields=(Field(name="enforceRole", read=boolean),), macro=True)
