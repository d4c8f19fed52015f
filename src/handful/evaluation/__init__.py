"""How good a classifier is, and how sure one may be of that."""

from handful.evaluation.classifier import evaluate_classifier, evaluate_on, settings_of
from handful.evaluation.curve import LearningCurve, Measures, Taught, Teach, learning_curve, teacher
from handful.evaluation.episodes import Episode, episodes
from handful.evaluation.evaluation import Evaluation, evaluate
from handful.evaluation.held_out import HeldOut, hold_out
from handful.evaluation.metrics import Estimate
from handful.evaluation.views import PolicyFound, ViewsFound, choose_views, compare_views

__all__ = [
    "Episode",
    "Estimate",
    "Evaluation",
    "HeldOut",
    "LearningCurve",
    "Measures",
    "PolicyFound",
    "Taught",
    "Teach",
    "ViewsFound",
    "choose_views",
    "compare_views",
    "episodes",
    "evaluate",
    "evaluate_classifier",
    "evaluate_on",
    "hold_out",
    "learning_curve",
    "settings_of",
    "teacher",
]
