"""Loading one version: whether there is room, the model itself, and warming it up. Blocks; for a thread of its own."""

import time
from collections.abc import Sequence
from pathlib import Path

import attrs

from roadstead_plugins.runtimes.tf_serving.server import memory
from roadstead_plugins.runtimes.tf_serving.server.engine import SavedModel, SessionConfig
from roadstead_plugins.runtimes.tf_serving.server.warmup import warm_up


@attrs.frozen(kw_only=True)
class Loaded:
    """A model that is ready, and what it took. Times are seconds; ``warmed`` is ``None`` where nothing was run."""

    model: SavedModel
    seconds: float
    warmed: float | None


@attrs.frozen(kw_only=True)
class Loader:
    """How versions are loaded."""

    tags: Sequence[str]
    session: SessionConfig
    warm_up: bool
    room: memory.Room

    def load(self, version: Path, *, beside: bool) -> Loaded:
        """Load the model of a version's folder. Raises ``ServingError``, and holds nothing then.

        ``beside``: something is served that must not be lost. Then there must be room; a process that serves nothing
        loses nothing when it tries, and learns what a model needs.
        """
        size, holding = memory.size_of(version), memory.held()
        if beside:
            self.room.check(size=size, holding=holding)
        started = time.monotonic()
        model = SavedModel(path=version, tags=self.tags, config=self.session)
        loaded = time.monotonic()
        try:
            count = warm_up(model, version) if self.warm_up else 0
        except BaseException:
            close(model)
            raise
        if not beside:
            self.room.learn(size=size, grown=memory.held() - holding)
        return Loaded(model=model, seconds=loaded - started, warmed=time.monotonic() - loaded if count else None)


def close(model: SavedModel) -> None:
    """Free a model that nobody runs any more, and its memory."""
    model.close()
    memory.give_back()
