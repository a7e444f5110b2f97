"""Text classification on frozen vectors (paper §4.3): CR, MR, MPQA, SUBJ, TREC, SST-5 and any task of their form."""

from evaluation.classification.linear import evaluate_sentence_classification
from evaluation.classification.protocol import evaluate_classification, evaluate_classification_runs
from evaluation.classification.scores import ClassificationScore

__all__ = [
    "ClassificationScore",
    "evaluate_classification",
    "evaluate_classification_runs",
    "evaluate_sentence_classification",
]
