"""Estimates in percent, as data and as the tables have them."""

from handful.evaluation import Estimate

Figure = dict[str, float | None]  # value, low, high; None for what cannot be told


def percent(estimate: Estimate) -> Figure:
    """An estimate in percent, or in points."""
    return {name: None if part is None else 100 * part for name, part in estimate.as_dict().items()}


def percent_of_all(estimate: Estimate) -> Figure:
    """A share in percent; its interval ends at 0 and at 100, which Student's does not."""
    return percent(Estimate(estimate.value, max(estimate.low, 0.0), min(estimate.high, 1.0)))


def value(figure: Figure) -> float:
    """The figure without its interval."""
    return float("nan") if figure["value"] is None else figure["value"]


def interval(figure: object, sign: str = "", digits: int = 1) -> str:
    """The figure with its interval, where it has one; a dash for none."""
    if not isinstance(figure, dict) or figure["value"] is None:
        return "–"
    spec = f"{sign}.{digits}f"
    if figure["low"] is None:
        return format(figure["value"], spec)
    return f"{figure['value']:{spec}} [{figure['low']:{spec}}, {figure['high']:{spec}}]"
