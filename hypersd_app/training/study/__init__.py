"""The study: methods compared at equal cost, several seeds each, on a proxy small enough for minutes a run.

The proxy is a narrower teacher of a few dozen things in two styles, with Pocket's own latents. Cost is counted in forward
passes for one image (`forward_equivalents`), everything that a method runs included, so a dearer step means fewer steps.
What adds to TSCD goes on from one TSCD trunk a seed, and is charged what that cost.
"""
