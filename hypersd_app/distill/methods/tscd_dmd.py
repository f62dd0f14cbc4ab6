"""TSCD, then score distillation of the one-step picture beside it, so that 2 to 8 steps survive (Hyper-SD, section 3.4)."""

from __future__ import annotations

from hypersd_app.distill.methods.method import Method
from hypersd_app.distill.methods.tscd import STAGES
from hypersd_app.distill.terms.consistency import ConsistencyTerm
from hypersd_app.distill.terms.score import ScoreTerm

METHOD = Method("tscd-dmd", "TSCD + DMD", STAGES, "random", lambda kit: [ConsistencyTerm(kit), ScoreTerm(kit)])
