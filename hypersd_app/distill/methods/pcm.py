"""PCM (Wang et al., "Phased Consistency Models", 2024): a fixed number of phases, every point jumps to its phase's edge.

Four phases, drawn deterministically: with four steps or eight its jumps are the ones trained, with one or two they go beyond
a phase, which it was never made for. Its heads tell the student's jump from the target's, both re-noised, at the weight
of its authors' training scripts.
"""

from __future__ import annotations

from hypersd_app.distill.methods.method import Method
from hypersd_app.distill.terms.consistency import ConsistencyTerm

METHOD = Method(
    "pcm", "PCM, 4 phases", ((4, 1.0),), "edge", lambda kit: [ConsistencyTerm(kit, adversarial=(0.1,), real="target")], eta=0.0
)
