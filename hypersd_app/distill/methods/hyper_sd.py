"""Everything Hyper-SD does at once: TSCD, score distillation and feedback."""

from __future__ import annotations

from hypersd_app.distill.methods.method import Method
from hypersd_app.distill.methods.tscd import STAGES
from hypersd_app.distill.terms.consistency import ConsistencyTerm
from hypersd_app.distill.terms.feedback import FeedbackTerm
from hypersd_app.distill.terms.score import ScoreTerm

METHOD = Method(
    "hyper-sd", "TSCD + DMD + feedback", STAGES, "random", lambda kit: [ConsistencyTerm(kit), ScoreTerm(kit), FeedbackTerm(kit)]
)
