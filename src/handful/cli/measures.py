"""How figures of an evaluation are called."""

SAID = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "ece": "calibration error",
    "nll": "log loss (nats)",
    "known_rejected": "rejected by mistake",
    "auroc": "unknown: AUROC",
    "fpr95": "unknown: FPR95",
    "foreign_rejected": "unknown: rejected",
}
