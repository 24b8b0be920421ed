"""What is served: each model's versions, loaded and unloaded as its folder and the configuration say.

Everything here belongs to the event loop's thread, so there is no lock; only loading, unloading and looking into
folders happen on other threads. States and their order are TensorFlow Serving's.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Final

import attrs

from roadstead_plugins.runtimes.tf_serving.server.configs import ModelConfig
from roadstead_plugins.runtimes.tf_serving.server.engine import SavedModel, SessionConfig
from roadstead_plugins.runtimes.tf_serving.server.metrics import Metrics
from roadstead_plugins.runtimes.tf_serving.server.status import Code, ServingError, invalid
from roadstead_plugins.runtimes.tf_serving.server.versions import Change, aspired, change, missing

log = logging.getLogger(__name__)


class State(IntEnum):
    """Where a version is in its life; the numbers are those of ``ModelVersionStatus.State``."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@attrs.frozen(kw_only=True)
class VersionStatus:
    """A version's state, and the error that ended it, if one did."""

    version: int
    state: State
    error: ServingError | None


@attrs.frozen(kw_only=True)
class Servable:
    """A version that can be run, and which it is."""

    name: str
    version: int
    model: SavedModel


@attrs.define(kw_only=True)
class _Version:
    """One version's record. It stays when the version is gone, to say how it ended."""

    state: State = State.START
    error: ServingError | None = None
    servable: Servable | None = None
    users: int = 0
    idle: asyncio.Event = attrs.field(factory=asyncio.Event)


@attrs.frozen(kw_only=True)
class Loading:
    """How versions are loaded. Times are seconds."""

    tags: Sequence[str]
    session: SessionConfig
    max_retries: int
    retry_interval: float
    poll_interval: float
    """Between two looks into the folders; 0: look once, and when the configuration changes."""


class Models:
    """The models and their versions, kept as they should be by ``run``."""

    def __init__(self, *, loading: Loading, metrics: Metrics, on_change: Callable[[], None]) -> None:
        self._loading: Final = loading
        self._metrics = metrics
        self._on_change = on_change
        self._configs: Mapping[str, ModelConfig] = {}
        self._versions: dict[str, dict[int, _Version]] = {}
        self._missing: dict[str, Mapping[int, ServingError]] = {}
        self._wake = asyncio.Event()
        self._settled = asyncio.Condition()
        self._complaints: dict[str, str] = {}
        self._looked = False

    # ---- what is asked ----

    @contextmanager
    def use(self, name: str, *, version: int | None = None, label: str | None = None) -> Iterator[Servable]:
        """Yield a version that can be run, which stays loaded in the block: the one asked for, or the highest.

        Raises ``ServingError``: NOT_FOUND where there is none, UNAVAILABLE while it is loading, INVALID_ARGUMENT for an
        unknown label.
        """
        record = self._find(name, self._labelled(name, label) if label is not None else version)
        assert record.servable is not None
        record.users += 1
        try:
            yield record.servable
        finally:
            record.users -= 1
            if record.users == 0:
                record.idle.set()

    def _find(self, name: str, version: int | None) -> _Version:
        available = self._in_state(name, State.AVAILABLE)
        if version is None and available:
            return available[max(available)]
        if version in available:
            return available[version]
        asked = f"Latest({name})" if version is None else f"Specific({name}, {version})"
        if self._is_coming(name, version):
            raise ServingError(Code.UNAVAILABLE, f"Servable is still loading for request: {asked}")
        raise ServingError(Code.NOT_FOUND, f"Servable not found for request: {asked}")

    def _is_coming(self, name: str, version: int | None) -> bool:
        """Whether a version is on its way. TensorFlow Serving has no open port at that time: worth another try, too."""
        if name in self._configs and not self._looked:
            return True
        return any(
            record.state in (State.START, State.LOADING)
            for number, record in self._versions.get(name, {}).items()
            if version in (None, number)
        )

    def _labelled(self, name: str, label: str) -> int:
        config = self._configs.get(name)
        found = dict(config.labels).get(label) if config else None
        if found is None:
            raise invalid(f"Unrecognized servable version label: {label}")
        return found

    def statuses(self, name: str, *, version: int | None = None, label: str | None = None) -> tuple[VersionStatus, ...]:
        """Return the state of one version, or of every version ever seen or asked for by number, highest first.

        One that has no folder has ended, with NOT_FOUND; asked for alone, it is an error, so that nobody who looks only
        for an answer takes it for ready.
        """
        if label is not None:
            version = self._labelled(name, label)
        records = self._versions.get(name, {})
        missing = self._missing_of(name)
        if version is not None and version in missing:
            raise ServingError(Code.NOT_FOUND, missing[version].message)
        if version is not None and version not in records:
            raise ServingError(Code.NOT_FOUND, f"Could not find version {version} of model {name}")
        if not records and not missing:
            raise ServingError(Code.NOT_FOUND, f"Could not find any versions of model {name}")
        found = {
            number: VersionStatus(version=number, state=record.state, error=record.error)
            for number, record in records.items()
        } | {number: VersionStatus(version=number, state=State.END, error=error) for number, error in missing.items()}
        return tuple(found[number] for number in sorted(found, reverse=True) if version in (None, number))

    def _missing_of(self, name: str) -> Mapping[int, ServingError]:
        """Return the versions that had no folder at the last look, but for those that are still loaded all the same."""
        records = self._versions.get(name, {})
        return {
            number: error
            for number, error in self._missing.get(name, {}).items()
            if number not in records or records[number].state is State.END
        }

    def all_available(self) -> bool:
        """Whether every configured model has a version that can be run."""
        return all(self._in_state(name, State.AVAILABLE) for name in self._configs)

    # ---- what is told ----

    def configure(self, configs: Sequence[ModelConfig]) -> None:
        """Serve exactly these models from now on; ``run`` brings it about."""
        self._configs = {config.name: config for config in configs}
        self._missing.clear()  # what was not there may be by now, and what is asked for may be something else
        self._wake.set()

    async def reconfigure(self, configs: Sequence[ModelConfig], *, labels_may_wait: bool) -> None:
        """Serve exactly these models, and return once each that is new has a version available.

        Raises ``ServingError``: UNKNOWN if a new model cannot be loaded, FAILED_PRECONDITION for a label of a version
        that is not available, in which case nothing is changed.
        """
        new = [config.name for config in configs if config.name not in self._configs]
        if not labels_may_wait:
            for config in configs:
                self._check_labels(config)
        self.configure(configs)
        async with self._settled:
            await self._settled.wait_for(lambda: all(self._has_settled(name) for name in new))
        broken = [name for name in new if not self._in_state(name, State.AVAILABLE)]
        if broken:
            raise ServingError(Code.UNKNOWN, self.why_unavailable(broken))

    def _check_labels(self, config: ModelConfig) -> None:
        known = dict(self._configs[config.name].labels) if config.name in self._configs else {}
        for label, version in config.labels:
            if known.get(label) != version and version not in self._in_state(config.name, State.AVAILABLE):
                raise ServingError(
                    Code.FAILED_PRECONDITION,
                    f"Request to assign label to version {version} of model {config.name}, which is not currently "
                    "available for inference",
                )

    def _has_settled(self, name: str) -> bool:
        records = self._versions.get(name, {}).values()
        return bool(records) and all(record.state in (State.AVAILABLE, State.END) for record in records)

    def why_unavailable(self, names: Sequence[str]) -> str:
        """Return what TensorFlow Serving says of models that could not be loaded, with the reason of each version."""
        versions = [
            f"{{name: {name} version: {number}}} due to error: {record.error}"
            for name in names
            for number, record in sorted(self._versions.get(name, {}).items())
            if record.error is not None
        ]
        return f"{len(versions)} servable(s) did not become available: {{{', '.join(versions)}}}"

    # ---- what is done ----

    async def run(self, *, first_pass: asyncio.Future[tuple[str, ...]]) -> None:
        """Load and unload for ever. ``first_pass`` is told which models could not be loaded at the first attempt."""
        while True:
            self._wake.clear()
            await self._reconcile()
            self._looked = True
            if not first_pass.done():
                first_pass.set_result(tuple(name for name in self._configs if self._is_broken(name)))
            await self._rest()

    def _is_broken(self, name: str) -> bool:
        ended = any(record.error for record in self._versions.get(name, {}).values())
        return ended and not self._in_state(name, State.AVAILABLE)

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(self._loading.poll_interval or None):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _reconcile(self) -> None:
        for name in sorted({*self._configs, *self._versions}):
            config = self._configs.get(name)
            wanted = await self._wanted(config) if config else {}
            if wanted is not None:
                await self._bring_about(name, Path(config.base_path) if config else Path(), wanted)

    async def _wanted(self, config: ModelConfig) -> Mapping[int, str] | None:
        """Return the versions to serve and their folders' names; ``None`` while the model's folder cannot be read."""
        try:
            names = await asyncio.to_thread(os.listdir, config.base_path)
        except OSError as error:
            text = f"cannot read base path {config.base_path} of model {config.name}: {error}"
            self._complain(config.name, text)
            self._miss(config, (), text)
            return None
        self._miss(config, names, "")
        wanted = aspired(config.policy, names)
        if not wanted:
            self._complain(config.name, f"no version to serve of model {config.name} under {config.base_path}")
        else:
            self._complaints.pop(config.name, None)
        return wanted

    def _miss(self, config: ModelConfig, names: Sequence[str], text: str) -> None:
        """Remember which versions are asked for by number and have no folder among ``names``."""
        if self._configs.get(config.name) is config:  # else the look was for a configuration that is no more
            self._missing[config.name] = {
                number: ServingError(
                    Code.NOT_FOUND, text or f"no version {number} of model {config.name} under {config.base_path}"
                )
                for number in missing(config.policy, names)
            }

    def _complain(self, name: str, text: str) -> None:
        """Log a condition once, not at every look."""
        if self._complaints.get(name) != text:
            self._complaints[name] = text
            log.warning("%s", text)

    async def _bring_about(self, name: str, base: Path, wanted: Mapping[int, str]) -> None:
        records = self._versions.setdefault(name, {})
        for number, record in list(records.items()):
            if record.state is State.END and number not in wanted:
                record.error = None  # should it come back, it is tried again
        todo = self._change(name, wanted)
        for number in todo.load:
            records[number] = _Version()
        for number in todo.load:
            await self._load(name, number, base / wanted[number])
        for number in self._change(name, wanted).unload:
            await self._unload(name, number)
        if not records:
            del self._versions[name]

    def _change(self, name: str, wanted: Mapping[int, str]) -> Change:
        records = self._versions[name]
        failed = [number for number, record in records.items() if record.state is State.END and record.error]
        return change(wanted=wanted, available=self._in_state(name, State.AVAILABLE), failed=failed)

    async def _load(self, name: str, number: int, path: Path) -> None:
        record = self._versions[name][number]
        record.state = State.LOADING
        self._on_change()
        for attempt in range(self._loading.max_retries + 1):
            if attempt:
                await asyncio.sleep(self._loading.retry_interval)
            record.error = await self._try_to_load(record, name, number, path)
            if record.error is None:
                break
            log.error("loading version %s of model %s from %s failed: %s", number, name, path, record.error)
        record.state = State.END if record.error else State.AVAILABLE
        await self._tell()

    async def _try_to_load(self, record: _Version, name: str, number: int, path: Path) -> ServingError | None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            model = await asyncio.to_thread(
                SavedModel, path=path, tags=self._loading.tags, config=self._loading.session
            )
        except ServingError as error:
            self._metrics.load(str(path), succeeded=False, seconds=0)
            return error
        seconds = loop.time() - started
        self._metrics.load(str(path), succeeded=True, seconds=seconds)
        record.servable = Servable(name=name, version=number, model=model)
        log.info("version %s of model %s is available after %.2f s", number, name, seconds)
        return None

    async def _unload(self, name: str, number: int) -> None:
        record = self._versions[name][number]
        servable = record.servable
        assert servable is not None
        record.state = State.UNLOADING
        self._on_change()
        while record.users:
            record.idle.clear()
            await record.idle.wait()
        record.servable = None
        await asyncio.to_thread(servable.model.close)
        record.state = State.END
        log.info("version %s of model %s is unloaded", number, name)
        await self._tell()

    async def _tell(self) -> None:
        self._on_change()
        async with self._settled:
            self._settled.notify_all()

    def _in_state(self, name: str, state: State) -> dict[int, _Version]:
        return {number: record for number, record in self._versions.get(name, {}).items() if record.state is state}
