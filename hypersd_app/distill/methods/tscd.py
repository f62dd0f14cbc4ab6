"""TSCD (Ren et al., "Hyper-SD", 2024, Algorithm 1): TCD within segments, whose number falls from 8 to 1.

The shares of the stages are ours: the later ones carry clean data further and need longer.
"""

from __future__ import annotations

from hypersd_app.distill.methods.method import Method
from hypersd_app.distill.terms.consistency import ConsistencyTerm

STAGES = ((8, 0.1), (4, 0.1), (2, 0.2), (1, 0.6))
METHOD = Method("tscd", "TSCD", STAGES, "random", lambda kit: [ConsistencyTerm(kit)])
