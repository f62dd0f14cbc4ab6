"""LCM (Luo et al., "Latent Consistency Models", 2023): every point jumps to clean data, and so does its sampler."""

from __future__ import annotations

from hypersd_app.distill.methods.method import Method
from hypersd_app.distill.terms.consistency import ConsistencyTerm

METHOD = Method("lcm", "LCM", ((1, 1.0),), "clean", lambda kit: [ConsistencyTerm(kit, adversarial=())], eta=1.0)
