"""A scaling policy: as many replicas as the load makes, and one more, so that a first burst finds room."""

from __future__ import annotations

from roadstead.spi.policies import ScalingAnswer, ScalingQuestion


class OneToSpare:
    """Looks at the stable window only; where that is not known, nothing changes."""

    def answer(self, question: ScalingQuestion) -> ScalingAnswer:
        """Return how many replicas the load makes."""
        if question.stable is None:
            return ScalingAnswer(wanted=question.wanted, because="the load is not known")
        needed = -(-question.stable // question.target.target)
        return ScalingAnswer(wanted=needed + 1, because=f"the load makes {needed}, and one is to spare")
