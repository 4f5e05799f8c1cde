"""A Ray cluster: the only file that knows Ray.

A task is one item. The Ray worker hands it to a process of its own, under the limits of
:mod:`scanlens.scaling.local`, so that both engines treat a hostile file alike; a task whose node dies is run
again elsewhere by Ray.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from scanlens.errors import SettingsError
from scanlens.scaling.limits import Engine, Failed, Limits
from scanlens.scaling.local import AHEAD, Guard, unwrapped

_T = TypeVar("_T")
_R = TypeVar("_R")

_CORES_A_TASK = 0.5
"""Less than a core, so that actors on every core but a half do not lock tasks out for ever."""
_RETRIES = 20
"""Times a task may lose its node."""
_ANSWER_S = 60.0
"""Seconds in which a cluster must run a first, empty task."""
_LOOK_S = 30.0
"""Seconds without a result after which the nodes are counted."""
_CONNECT_S = 5.0
_OBJECT_STORE = 500 << 20
_TASK = f"items of {__package__}"

_guard: tuple[str, Guard] | None = None
"""The guarded process of this Ray worker, and the folder it started in."""


@dataclass(frozen=True)
class _Unseen:
    """Takes the place of a result where the node does not see the caller's folder."""


def map_on_ray(
    function: Callable[[_T], _R], items: Iterable[_T], engine: Engine, limits: Limits | None
) -> Iterator[_R | Failed]:
    """Yield the result for each item, in order; see :func:`scanlens.scaling.engine.map_ordered`.

    Nodes must have scanlens installed and see the data root, the caller's folder and the pseudonym key under
    the same paths.

    Raises:
        SettingsError: Ray is not installed, or the cluster does not answer, does not see the folder or cannot
            run the function.
    """
    ray = _ray()
    with _cluster(ray, engine):
        folder = str(Path.cwd())
        _first_answer(ray, folder, engine)
        task = ray.remote(num_cpus=_CORES_A_TASK, max_retries=_RETRIES, name=_TASK)(_run)
        ahead = max(1, int(ray.cluster_resources().get("CPU", 1) / _CORES_A_TASK)) * AHEAD
        flying: deque[Any] = deque()
        for item in items:
            flying.append(task.remote(function, item, limits, folder))
            if len(flying) == ahead:
                yield unwrapped(_result(ray, flying.popleft(), folder))
        while flying:
            yield unwrapped(_result(ray, flying.popleft(), folder))


def _run(function: Callable[[Any], Any], item: Any, limits: Limits | None, folder: str) -> Any:
    """On a node: one item in a guarded process. Ray runs one task at a time in each of its workers."""
    global _guard
    if _guard is None or _guard[0] != folder:
        try:
            # Guarded processes start where the worker is then; paths are relative to the caller's folder.
            os.chdir(folder)
        except OSError:
            return _Unseen()
        if _guard is not None:
            _guard[1].close()
        _guard = folder, Guard(1, function)
    guard = _guard[1]
    return guard.outcome(guard.submit(function, item, limits))


def _sees(folder: str) -> bool:
    return Path(folder).is_dir()


def _ray() -> ModuleType:
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "error")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # the new default; unset, Ray warns
    try:
        import ray
    except ImportError as error:
        raise SettingsError(
            "runtime.engine is ray, which is not installed.", 'Run: pip install "scanlens[scale]"'
        ) from error
    return ray


@contextmanager
def _cluster(ray: ModuleType, engine: Engine) -> Iterator[None]:
    """Join the cluster, or start one on this machine, and leave it afterwards as it was.

    A connection that the caller has made already is used and kept.
    """
    if ray.is_initialized():
        yield
        return
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    folder = None
    if engine.address is None:
        # Short, because Ray puts sockets below it, whose paths may have 107 characters at most.
        folder = tempfile.mkdtemp(prefix="ray", dir="/tmp" if Path("/tmp").is_dir() else None)
        ray.init(
            address="local",  # or it would join whatever cluster was started here last
            num_cpus=engine.workers,
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE,
            _node_ip_address="127.0.0.1",
            _temp_dir=folder,
            **quiet,
        )
    else:
        _join(ray, engine.address, quiet)
    try:
        yield
    finally:
        ray.shutdown()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _join(ray: ModuleType, address: str, quiet: dict[str, Any]) -> None:
    refusal = SettingsError(
        f"no Ray cluster answers at runtime.address={address}.",
        "Start one with: ray start --head; or set runtime.address=null, or runtime.engine=local.",
    )
    if address != "auto":
        # Ray itself would try for minutes.
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), _CONNECT_S).close()
        except (OSError, ValueError) as error:
            raise refusal from error
    os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "1")  # attempts, of some seconds each
    try:
        ray.init(address=address, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise refusal from error


def _first_answer(ray: ModuleType, folder: str, engine: Engine) -> None:
    """Make sure that the cluster runs anything at all, and sees the folder that paths are relative to."""
    answer = ray.remote(num_cpus=_CORES_A_TASK)(_sees).remote(folder)
    if not ray.wait([answer], timeout=_ANSWER_S)[0]:
        ray.cancel(answer)
        raise SettingsError(
            f"the Ray cluster {engine.address or 'of this machine'} has had no half core free for "
            f"{_ANSWER_S:g} s.",
            "Add a node, end what occupies it, or set runtime.engine=local.",
        )
    try:
        seen = ray.get(answer)
    except ray.exceptions.RayError as error:
        raise _unusable(error) from error
    if not seen:
        raise _unseen(folder)


def _unseen(folder: str) -> SettingsError:
    return SettingsError(
        f"a node of the Ray cluster does not see the project folder, where scanlens was started: {folder}.",
        "Put the project and the scans on storage that all nodes mount at the same path.",
    )


def _unusable(error: Exception) -> SettingsError:
    """Return what to say of an error of Ray's; its own message, of pages, may quote an item."""
    cause = getattr(error, "cause", None) or error
    return SettingsError(
        f"the Ray cluster cannot run the work ({type(cause).__name__}).",
        "Give all nodes the same Python and scanlens, or set runtime.engine=local.",
    )


def _result(ray: ModuleType, reference: Any, folder: str) -> Any:
    """Wait for a result for as long as there are nodes that may bring it.

    Raises:
        SettingsError: The nodes are gone, do not see the folder or cannot run the function.
    """
    errors = ray.exceptions
    while not ray.wait([reference], timeout=_LOOK_S)[0]:
        if not any(node["Alive"] and node["Resources"].get("CPU") for node in ray.nodes()):
            raise SettingsError(
                "the Ray cluster has lost all its nodes.",
                "Run again when they are back: what is finished is not done again.",
            )
    try:
        result = ray.get(reference)
    except errors.OutOfMemoryError:
        return Failed("its node ran out of memory")
    except (errors.WorkerCrashedError, errors.NodeDiedError, errors.ObjectLostError):
        return Failed(f"lost its node {_RETRIES} times")
    except errors.RayError as error:
        raise _unusable(error) from error
    if isinstance(result, _Unseen):
        raise _unseen(folder)
    return result
