"""Distillation methods as a table; each is a file of a few lines over the same terms and the same loop."""

from __future__ import annotations

from collections.abc import Mapping

from hypersd_app.distill.methods import hyper_sd, lcm, pcm, tcd, tscd, tscd_dmd, tscd_feedback
from hypersd_app.distill.methods.method import Method

METHODS: Mapping[str, Method] = {
    module.METHOD.name: module.METHOD for module in (lcm, tcd, pcm, tscd, tscd_feedback, tscd_dmd, hyper_sd)
}
