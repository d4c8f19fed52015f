"""The table of scorers of one encoder's rows, by the kind that saved heads name."""

from handful.adapters.bottleneck import Bottleneck
from handful.adapters.class_rows import ClassRows
from handful.adapters.kernel_ridge import KernelRidge
from handful.adapters.key_value_cache import KeyValueCache
from handful.adapters.scorer import Scorer

SCORERS: dict[str, type[Scorer]] = {
    scorer.kind: scorer for scorer in (ClassRows, KeyValueCache, KernelRidge, Bottleneck)
}
