"""Analogies: the share of questions that 3CosAdd and 3CosMul answer rightly, by section."""

from x2static.evaluation.analogy import Accuracy, AnalogyScore, check_questions, read_questions, score_questions
from x2static.evaluation.files import QUESTIONS, find_files
from x2static.evaluation.measures import MIN_PAIRS, figures_of, score_all
from x2static.pipeline.evaluations.registry import EvaluateConfig, Results, for_each
from x2static.pipeline.tables import marked, score_table
from x2static.report.table import figure
from x2static.schemas.vectors import WordVectors

NOTE = "3CosAdd, 3CosMul: share of right answers (questions covered/total); every known word may be the answer"


def run(vectors: dict[str, WordVectors], config: EvaluateConfig) -> Results:
    """Answer analogy questions with sets of word vectors; `score` is by 3CosAdd."""
    datasets = {path.stem: read_questions(path) for path in find_files(QUESTIONS, config.data)}
    for_each(vectors, lambda _, one: check_questions(one, datasets))  # of the last set before the first is scored
    scores = for_each(vectors, lambda _, one: score_all(one, datasets, score_questions, "analogy questions"))
    heads, columns = [], {}
    for name, of_one in scores.items():
        rows: list[tuple[str, Accuracy | AnalogyScore]] = []
        for score in of_one:
            rows += [(f"  {section}", accuracy) for section, accuracy in score.sections.items()]
            kinds = {"semantic": score.semantic, "syntactic": score.syntactic, "all": score}
            rows += [(f"{score.task}, {kind}", accuracy) for kind, accuracy in kinds.items() if accuracy]
        heads = [head for head, _ in rows]  # the same for all sets
        ones = [one for _, one in rows]
        columns[name] = [f"{marked(one):<5} {figure(one.cos_mul):<5} ({one.covered}/{one.total})" for one in ones]
    figures = {name: figures_of(of_one) for name, of_one in scores.items()}
    return Results([score_table(heads, columns, NOTE, few=f"{MIN_PAIRS} questions")], figures)
