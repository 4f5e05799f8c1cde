"""A backbone as blocks from its input to its head, the unit in which it is thawed and its rates fall."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn


def blocks(backbone: nn.Module) -> list[list[nn.Module]]:
    """Modules of a backbone by depth, first to last; every module below it is in exactly one block.

    For timm networks a block is what lies between two of its ``feature_info`` entries, which are the ends of
    its resolutions; for others (MONAI's, scanlens' own) it is a child, where single layers before the first
    larger child are one block and later ones belong to the child before them. A block that learns nothing
    and keeps no statistics belongs to its neighbour. The order is that of registration, which in all these
    networks is that of the forward pass.

    Args:
        backbone: Of a :class:`~scanlens.models.classifier.Classifier`.

    Returns:
        Modules, each listed without those below it being implied: act on them one by one and with
        ``recurse=False``. Empty where the backbone has no parameters and no statistics.
    """
    ends = block_ends(backbone)
    found: list[list[nn.Module]] = [[] for _ in range(len(ends) + 1)]
    block, seen = 0, False
    for name, module in backbone.named_modules():
        if name == "":
            # The root's own parameters; its flags are those of no block.
            if _own_state(module):
                found[0].append(module)
            continue
        if block < len(ends):
            inside = name == ends[block] or name.startswith(ends[block] + ".")
            if seen and not inside:
                block, seen = block + 1, False
                inside = block < len(ends) and (name == ends[block] or name.startswith(ends[block] + "."))
            seen = seen or inside
        found[block].append(module)
    return _with_state(found)


def block_parameters(block: Sequence[nn.Module]) -> list[nn.Parameter]:
    """Parameters of a block, in order."""
    return [parameter for module in block for parameter in module.parameters(recurse=False)]


def _own_state(module: nn.Module) -> bool:
    return any(True for _ in module.parameters(False)) or any(True for _ in module.buffers(False))


def _state(module: nn.Module) -> bool:
    return any(_own_state(part) for part in module.modules())


def _with_state(found: list[list[nn.Module]]) -> list[list[nn.Module]]:
    """Blocks without parameters and buffers joined to the one before, at the start to the one behind."""
    joined: list[list[nn.Module]] = []
    waiting: list[nn.Module] = []
    for block in found:
        if any(_own_state(module) for module in block):
            joined.append(waiting + block)
            waiting = []
        elif joined:
            joined[-1].extend(block)
        else:
            waiting = waiting + block
    return joined


def block_ends(backbone: nn.Module) -> list[str]:
    """Names of the modules that end each block but the last, which is all that follows."""
    prefix, inner = "", backbone
    while True:
        info = getattr(inner, "feature_info", None)
        names = [name for name, _ in inner.named_modules()]
        if isinstance(info, list) and info and all(isinstance(entry, dict) for entry in info):
            ends = [str(entry.get("module")) for entry in info]
            if all(end in names for end in ends):
                # What stands behind the last resolution (a norm, a widening layer) belongs to it.
                return [prefix + end for end in ends[:-1]]
        children = [(name, child) for name, child in inner.named_children() if _state(child)]
        if len(children) != 1 or not any(True for _ in children[0][1].children()):
            return [prefix + end for end in _ends_of_children(children)]
        prefix, inner = f"{prefix}{children[0][0]}.", children[0][1]


def _ends_of_children(children: list[tuple[str, nn.Module]]) -> list[str]:
    """The last child of each block but the last."""
    parts: list[tuple[str, nn.Module]] = []
    for name, child in children:
        below = [(f"{name}.{inner}", part) for inner, part in child.named_children()]
        # A sequence of sequences is a list of stages, a sequence of other things is a stage.
        stages = isinstance(child, nn.Sequential) and all(isinstance(c, nn.Sequential) for _, c in below)
        parts += below if stages else [(name, child)]
    ends: list[str] = []
    for number, (_, part) in enumerate(parts[1:], 1):
        single = not any(True for _ in part.children())
        if not single:
            ends.append(parts[number - 1][0])
    return ends
