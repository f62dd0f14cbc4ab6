"""PCM (Wang et al., "Phased Consistency Models", 2024): a fixed number of phases, every point jumps to its phase's edge.

Four phases. Its adversarial part is the one all methods here share, switched on by the first weight of the config.
"""

from __future__ import annotations

from hypersd_app.distill.methods.method import Method
from hypersd_app.distill.terms.consistency import ConsistencyTerm

METHOD = Method("pcm", "PCM, 4 phases", ((4, 1.0),), "edge", lambda kit: [ConsistencyTerm(kit)])
