"""What a label is, and all that follows from it; one class a kind of task, by the name in ``data.task``."""

from scanlens.tasks.classes import Classes
from scanlens.tasks.finding import PositiveClass, findings, positive_class
from scanlens.tasks.number import Number
from scanlens.tasks.ordered import OrderedClasses
from scanlens.tasks.task import Metric, Task, not_registered, register, task_names, task_of

__all__ = [
    "Classes",
    "Metric",
    "Number",
    "OrderedClasses",
    "PositiveClass",
    "Task",
    "findings",
    "not_registered",
    "positive_class",
    "register",
    "task_names",
    "task_of",
]

register(Classes("auto"))
register(Classes("binary"))
register(Classes("multiclass"))
register(OrderedClasses("ordinal"))
register(Number("regression"))
