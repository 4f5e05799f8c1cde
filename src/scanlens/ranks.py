"""Which of several training processes this is, by what its launcher left in the environment.

Three launchers are known: torchrun (``RANK``), SLURM's ``srun`` (``SLURM_PROCID``) and Lightning, which
starts the processes beside the first one itself (``NODE_RANK``, ``LOCAL_RANK``). No framework is asked: a
stage must know before it opens a file.
"""

from __future__ import annotations

import os


def _number(name: str, otherwise: int = 0) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdigit() else otherwise


def by_torchrun() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def by_slurm() -> bool:
    """Whether ``srun`` started this process as one of several.

    A batch script's shell has the numbers of the job too, but no step.
    """
    return "SLURM_STEP_ID" in os.environ and "SLURM_PROCID" in os.environ and _number("SLURM_NTASKS") > 1


def launched() -> tuple[int, int] | None:
    """Processes a node and nodes, where torchrun or SLURM started the processes; None where nobody did."""
    if by_torchrun():
        a_node = _number("LOCAL_WORLD_SIZE", 1)
        return a_node, max(1, _number("WORLD_SIZE", 1) // a_node)
    if by_slurm():
        nodes = _number("SLURM_NNODES", 1)
        return max(1, _number("SLURM_NTASKS") // nodes), nodes
    return None


def is_first() -> bool:
    """Whether this process writes, reports and tracks; true where it is the only one."""
    if by_torchrun():
        return _number("RANK") == 0
    if by_slurm():
        return _number("SLURM_PROCID") == 0
    return _number("LOCAL_RANK") == 0 and _number("NODE_RANK") == 0
