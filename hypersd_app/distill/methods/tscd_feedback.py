"""TSCD, then rewards beside it in the last stage (Hyper-SD, section 3.3)."""

from __future__ import annotations

from hypersd_app.distill.methods.method import Method
from hypersd_app.distill.methods.tscd import STAGES
from hypersd_app.distill.terms.consistency import ConsistencyTerm
from hypersd_app.distill.terms.feedback import FeedbackTerm

METHOD = Method("tscd-feedback", "TSCD + feedback", STAGES, "random", lambda kit: [ConsistencyTerm(kit), FeedbackTerm(kit)])
