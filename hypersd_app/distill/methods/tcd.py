"""TCD (Zheng et al., "Trajectory Consistency Distillation", 2024): every point jumps to a random later one."""

from __future__ import annotations

from hypersd_app.distill.methods.method import Method
from hypersd_app.distill.terms.consistency import ConsistencyTerm

METHOD = Method("tcd", "TCD", ((1, 1.0),), "random", lambda kit: [ConsistencyTerm(kit, adversarial=())])
