"""`proker`: kernel ridge regression on what the texts leave unexplained."""

from dataclasses import dataclass

import numpy as np

from handful.adapters.held_out import level_lone_rows
from handful.adapters.kernel_ridge import KernelRidge
from handful.adapters.key_value_cache import kernel
from handful.adapters.known_prior import typicality_without_shots
from handful.adapters.scorer import Fitted, HeldOut
from handful.adapters.support import Support
from handful.errors import SupportError
from handful.rows import FloatArray

_CLIP_SCALE = 100.0  # the logit scale of the encoders that the table was made with
_MOST_ROWS = 12_000  # an inverse of 1.2 GB, three of which are held
# The authors' fixed values, found on ImageNet: shots, β, λ.
_TABLE = np.array(
    [[1, 3.0, 0.05], [2, 2.6, 0.05], [4, 1.5, 0.05], [8, 1.66, 0.07], [16, 1.7, 0.1]], dtype=np.float64
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProkerOptions:
    """None takes the authors' value for the mean number of shots, in between by its logarithm."""

    beta: float | None = None  # sharpness: the kernel is exp(−beta·(1 − cosine))
    ridge: float | None = None  # λ: how far shots are smoothed, and their weight beside the texts

    def __post_init__(self) -> None:
        for name, value in (("beta", self.beta), ("ridge", self.ridge)):
            if value is not None and not (np.isfinite(value) and value > 0):
                raise SupportError(f"{name} is {value}; give a number above 0, or None for the table's")


def fit(support: Support, options: ProkerOptions) -> Fitted:
    """scores = F(q) + k(q, X)·A, with A = (K/Λ + I)⁻¹(Y − F(X)) and F the cosine to the text.

    Λ is λ, times n_y/n̄ for a shot of a class with n_y shots, so that a class's say does not grow with its
    shots; with equal shots it is the paper's λ. F is scaled by the encoder's logit scale over CLIP's 100; a
    class without text has the mean of the texts, and without any text F is 0. Views are keys like any other.

    At most 12,000 rows: the inverse of K is N×N. Raises SupportError above.
    Source: Bendou et al., ProKeR, CVPR 2025; the leave-out identity is in `held_out_predictions`.
    """
    if len(support.X) > _MOST_ROWS:
        raise SupportError(
            f"proker inverts a matrix of N×N, and N is {len(support.X)} rows; give at most {_MOST_ROWS}, "
            "leave out the views, or use 'lda' or 'auto'"
        )
    shots = float(support.counts[support.counts > 0].mean()) if len(support.X) else 1.0
    beta, ridge = (
        float(np.interp(np.log2(shots), np.log2(_TABLE[:, 0]), _TABLE[:, column])) for column in (1, 2)
    )
    beta, ridge = options.beta or beta, options.ridge or ridge
    text = _text_rows(support)
    values = np.zeros((0, support.class_count))
    held_out = None
    if len(support.X):
        prior = support.X.astype(np.float64) @ text.T
        residual = np.eye(support.class_count)[support.y] - prior
        # (K/Λ + I)⁻¹R = Λ(K + Λ)⁻¹R for Λ = λI; with classes apart the symmetric form is kept.
        system = kernel(support.X, support.X, beta).astype(np.float64)
        system[np.diag_indices_from(system)] += ridge * support.counts[support.y] / shots
        inverse = np.asarray(np.linalg.inv(system), np.float64)
        solution = inverse @ residual
        values = ridge * solution
        scores = prior + ridge * held_out_predictions(inverse, solution, residual, support)
        judged = support.company | support.has_text[support.y]
        level_lone_rows(scores, support, judged)
        held_out = HeldOut(scores=scores, typicality=scores.max(axis=1), judged=judged)
    scorer = KernelRidge(
        keys=support.X, values=values.astype(np.float32), text=text.astype(np.float32), beta=beta
    )
    return Fitted(
        scorer=scorer,
        known_prior=typicality_without_shots(scorer, support),
        held_out=held_out,
        sharpness=_CLIP_SCALE if held_out is None else None,
        found={"beta": beta, "ridge": ridge},
    )


def held_out_predictions(
    inverse: FloatArray, solution: FloatArray, target: FloatArray, support: Support
) -> FloatArray:
    """(N, C) what kernel ridge regression predicts for rows when their group is left out.

    With G = (K + Λ)⁻¹ and a = G·t, leaving out the rows g predicts t_g − (G_gg)⁻¹·a_g for them; for a single
    row Rasmussen & Williams, 2006, eq. 5.12. Λ stays as it is with all rows.
    """
    if support.lone_groups:
        return np.asarray(target - solution / np.diag(inverse)[:, None])
    predictions = np.empty_like(target)
    order = np.argsort(support.groups, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(support.groups[order])) + 1):
        predictions[rows] = target[rows] - np.linalg.solve(inverse[np.ix_(rows, rows)], solution[rows])
    return predictions


def _text_rows(support: Support) -> FloatArray:
    """(C, D) text rows in the scale of the table; the mean of the others where a class has none."""
    if support.text is None or not support.has_text.any():
        return np.zeros((support.class_count, support.dimension))
    scale = 1.0 if support.background is None else support.background.logit_scale / _CLIP_SCALE
    text = support.text.astype(np.float64)
    mean = text[support.has_text].mean(axis=0)
    return np.asarray(scale * np.where(support.has_text[:, None], text, mean))
