"""What is served: each model's versions, loaded and unloaded as its folder and the configuration say.

Everything here belongs to the event loop's thread, so there is no lock; only loading, freeing and looking into folders
happen on other threads. States and their order are TensorFlow Serving's.
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
from roadstead_plugins.runtimes.tf_serving.server.engine import SavedModel
from roadstead_plugins.runtimes.tf_serving.server.loading import Loader, close
from roadstead_plugins.runtimes.tf_serving.server.metrics import Metrics
from roadstead_plugins.runtimes.tf_serving.server.status import Code, ServingError, invalid
from roadstead_plugins.runtimes.tf_serving.server.versions import Change, Specific, aspired, change, missing

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
    """One version's record. It stays when the version is gone, to say how it ended.

    ``given_up``: it could not be loaded, and is not tried again as long as it stays wanted.
    """

    state: State = State.START
    error: ServingError | None = None
    given_up: bool = False
    servable: Servable | None = None
    users: int = 0
    idle: asyncio.Event = attrs.field(factory=asyncio.Event)


@attrs.frozen(kw_only=True)
class Pace:
    """How often versions are looked for and loading is tried. Times are seconds."""

    max_retries: int
    retry_interval: float
    poll_interval: float
    """Between two looks into the folders; 0: look once, and when the configuration changes."""


class Models:
    """The models and their versions, kept as they should be by ``run``."""

    def __init__(self, *, loader: Loader, pace: Pace, metrics: Metrics, on_change: Callable[[], None]) -> None:
        self._loader: Final = loader
        self._pace: Final = pace
        self._metrics = metrics
        self._on_change = on_change
        self._configs: Mapping[str, ModelConfig] = {}
        self._versions: dict[str, dict[int, _Version]] = {}
        self._missing: dict[str, Mapping[int, ServingError]] = {}
        self._wake = asyncio.Event()
        self._settled = asyncio.Condition()
        self._complaints: dict[str, str] = {}
        self._looked = False
        self._unloading: set[asyncio.Task[None]] = set()

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
        """Serve exactly these models from now on; ``run`` brings it about.

        What is asked for by number is on its way at once, whatever became of it before: who asks for the state after
        this never takes an old failure for the answer to his new wish.
        """
        self._configs = {config.name: config for config in configs}
        self._missing.clear()  # what was not there may be by now, and what is asked for may be something else
        for config in configs:
            records = self._versions.setdefault(config.name, {})
            for number in config.policy.versions if isinstance(config.policy, Specific) else ():
                if number not in records or records[number].state is State.END:
                    records[number] = _Version()
        for records in self._versions.values():
            for record in records.values():
                record.given_up = False
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
            if record.given_up
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
        ended = any(record.given_up for record in self._versions.get(name, {}).values())
        return ended and not self._in_state(name, State.AVAILABLE)

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(self._pace.poll_interval or None):
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
            for number in self._missing[config.name]:
                if self._in_state(config.name, State.START).get(number):
                    del self._versions[config.name][number]

    def _complain(self, name: str, text: str) -> None:
        """Log a condition once, not at every look."""
        if self._complaints.get(name) != text:
            self._complaints[name] = text
            log.warning("%s", text)

    async def _bring_about(self, name: str, base: Path, wanted: Mapping[int, str]) -> None:
        records = self._versions.setdefault(name, {})
        for number, record in list(records.items()):
            if number not in wanted:
                record.given_up = False  # should it come back, it is tried again
                if record.state is State.START:
                    del records[number]
        load = self._change(name, wanted).load
        for number in load:
            records[number] = _Version()
        for number in load:
            if self._wake.is_set():
                return  # something else is wanted by now
            await self._load(name, number, base / wanted[number])
        if self._wake.is_set():
            return
        for number in self._change(name, wanted).unload:
            self._start_to_unload(name, number)
        if not records:
            del self._versions[name]

    def _change(self, name: str, wanted: Mapping[int, str]) -> Change:
        return change(
            wanted=wanted,
            missing=self._missing.get(name, ()),
            available=self._in_state(name, State.AVAILABLE),
            failed=[number for number, record in self._versions[name].items() if record.given_up],
        )

    async def _load(self, name: str, number: int, path: Path) -> None:
        record = self._versions[name][number]
        record.state = State.LOADING
        self._on_change()
        for attempt in range(self._pace.max_retries + 1):
            if attempt:
                await asyncio.sleep(self._pace.retry_interval)
            record.error = await self._try_to_load(record, name, number, path)
            if record.error is None:
                break
            log.error("loading version %s of model %s from %s failed: %s", number, name, path, record.error)
        record.given_up = record.error is not None
        record.state = State.END if record.error else State.AVAILABLE
        await self._tell()

    async def _try_to_load(self, record: _Version, name: str, number: int, path: Path) -> ServingError | None:
        serving = any(other.servable for others in self._versions.values() for other in others.values())
        try:
            loaded = await asyncio.to_thread(self._loader.load, path, beside=serving)
        except ServingError as error:
            self._metrics.load(str(path), succeeded=False, seconds=0)
            return error
        self._metrics.load(str(path), succeeded=True, seconds=loaded.seconds)
        if loaded.warmed is not None:
            self._metrics.warmed(str(path), seconds=loaded.warmed)
        record.servable = Servable(name=name, version=number, model=loaded.model)
        log.info(
            "version %s of model %s is available after %.2f s, and %.2f s to warm up",
            *(number, name, loaded.seconds, loaded.warmed or 0),
        )
        return None

    def _start_to_unload(self, name: str, number: int) -> None:
        """Give a version to nobody any more; a request that takes long holds up its end and nothing else."""
        record = self._versions[name][number]
        record.state = State.UNLOADING
        self._on_change()
        task = asyncio.get_running_loop().create_task(self._unload(record, name, number))
        self._unloading.add(task)
        task.add_done_callback(self._unloading.discard)

    async def _unload(self, record: _Version, name: str, number: int) -> None:
        servable = record.servable
        assert servable is not None
        while record.users:
            record.idle.clear()
            await record.idle.wait()
        record.servable = None
        try:
            await asyncio.to_thread(close, servable.model)
        except ServingError as error:
            record.error = error
        record.state = State.END
        log.info("version %s of model %s is unloaded%s", number, name, f" with {record.error}" if record.error else "")
        await self._tell()

    async def _tell(self) -> None:
        self._on_change()
        async with self._settled:
            self._settled.notify_all()

    def _in_state(self, name: str, state: State) -> dict[int, _Version]:
        return {number: record for number, record in self._versions.get(name, {}).items() if record.state is state}
