"""What right answers are: what each version gives for each request, read once and compared many times. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import attrs

from roadstead.spi.load import Judgement, Unfit, Work
from roadstead_plugins.runtimes.tf_serving.load.outputs import Outputs, difference, outputs_of

__all__ = ["References"]


@attrs.frozen(kw_only=True)
class References:
    """The outputs expected of each request by version, if any, and the versions that may answer, empty for any."""

    outputs: tuple[Mapping[int, Outputs], ...]
    versions: frozenset[int]
    tolerance: float

    @classmethod
    def of(cls, work: Work) -> Self:
        """Return what ``work`` expects; raises :class:`Unfit` for an expected answer that is none."""
        return cls(
            outputs=tuple(_read(number, answers) for number, answers in enumerate(work.expected)),
            versions=work.versions,
            tolerance=work.tolerance,
        )

    def judgement(self, request: int, found: Outputs, version: int | None) -> Judgement:
        """Return what outputs are that this version gave; where it is not known, any version's answer is right."""
        if version is None:
            return self._judgement_of_any(request, found)
        if self.versions and version not in self.versions:
            return Judgement(version=version, wrong=f"version {version} answered, not {_either(self.versions)}")
        if not self.outputs:
            return Judgement(version=version)
        expected = self.outputs[request].get(version)
        if expected is None:
            return Judgement(version=version, wrong=f"nothing is known of what version {version} should answer")
        wrong = difference(found, expected, self.tolerance)
        return Judgement(version=version, wrong=f"version {version}: {wrong}" if wrong else "")

    def _judgement_of_any(self, request: int, found: Outputs) -> Judgement:
        if not self.outputs:
            return Judgement()
        wrong = []
        for version, expected in sorted(self.outputs[request].items()):
            if self.versions and version not in self.versions:
                continue
            differs = difference(found, expected, self.tolerance)
            if not differs:
                return Judgement(version=version)
            wrong.append(f"version {version}: {differs}")
        return Judgement(wrong="; ".join(wrong) or f"nothing is known of what {_either(self.versions)} should answer")


def _read(number: int, answers: Mapping[int, object]) -> Mapping[int, Outputs]:
    try:
        return {version: outputs_of(answer) for version, answer in answers.items()}
    except ValueError as error:
        raise Unfit(
            f"expected answer {number + 1} is none: {error}", hint="it looks as `roadstead predict` prints it"
        ) from error


def _either(versions: frozenset[int]) -> str:
    return "version " + " or ".join(map(str, sorted(versions)))
