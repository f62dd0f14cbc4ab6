"""The kinds of students that are no unified LoRA: feedback over another, whole one-step UNets, exactly N steps, with guidance."""

import dataclasses

import pytest
import torch
from safetensors import safe_open

from hypersd_app.catalog.builtin import trained_students
from hypersd_app.diffusion.schedules import NoiseSchedule
from hypersd_app.models.pocket import new_scheduler
from hypersd_app.training.core.distributed import Processes
from hypersd_app.training.core.loop import LoopConfig, train_step
from hypersd_app.training.core.lora import fuse_lora, merge_loras
from hypersd_app.training.distillation.config import AdversarialConfig, FeedbackConfig, ScoreConfig, StudentConfig
from hypersd_app.training.distillation.step import Distiller
from hypersd_app.training.distillation.train import FEEDBACK_FILE, TeacherModel, new_context, save_student
from tests.support import tiny_models
from tests.support.two_processes import RandomSource

V = NoiseSchedule.from_scheduler(new_scheduler())
BASE = StudentConfig(
    batch=2, rank=2, precision="no", guidance_scale=2.0, stages=((1, 1.0),), lr=1e-2, adversarial=AdversarialConfig(weights=(0.0,)),
    score=ScoreConfig(weights=(1.0,), pairs=0, fake_rank=2, fake_steps=2, adversarial=(0.1,)),
    feedback=FeedbackConfig(weights=(1.0,), rewards=(("bright", 1.0),), structure=0.0, every=1, steps=(1,)),
    loop=LoopConfig(steps=2, warmup=1),
)  # fmt: skip


class Bright:
    """A reward for large values."""

    title, enough = "bright", 100.0

    def __call__(self, images, captions):
        return images.flatten(1).mean(1)


def unet():
    torch.manual_seed(0)
    return tiny_models.randomized(tiny_models.small_unet(32), 1)


def trained(folder, **changes):
    """Distiller, metrics and a saved file of a student of two steps."""
    teacher = TeacherModel(
        family="sd15", unet=unet(), schedule=V, source=RandomSource(), reward=lambda name: Bright(), segmenter=lambda: None,
        preview=lambda unet, path: None,
    )  # fmt: skip
    config = dataclasses.replace(BASE, **changes)
    context = new_context(config, teacher, Processes.open("no"), folder, lambda *_: None)
    distiller = Distiller(context)
    state = distiller.training_state()
    rows = [train_step(state, config.loop, distiller)[1] for _ in range(2)]
    save_student(context, folder, "sd15")
    return distiller, rows


def metadata(path):
    with safe_open(path, "pt") as file:
        return file.metadata()


def asked(context, role="student"):
    """Which timesteps a role is asked for from now on."""
    found, run = [], getattr(context.networks, role)
    setattr(context.networks, role, lambda x, t, c: (found.append(t.tolist()), run(x, t, c))[1])
    return found


def test_feedback_is_a_lora_over_the_student_and_merges_at_any_scale(tmp_path):
    runs = tmp_path / "student"
    trained(runs / "base", method="tcd")
    accelerator = runs / "base" / "accelerator.safetensors"
    distiller, rows = trained(runs / "feedback", method="feedback", begin_with="base", target_decay=0.0)
    context = distiller.context
    assert "reward_bright" in rows[0] and not (runs / "feedback" / "accelerator.safetensors").exists()
    c = RandomSource().condition(["a", "b"])
    x, t = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1)), torch.tensor([999, 499])
    wanted = {1.0: context.networks.student(x, t, c).detach(), 0.0: context.networks.teacher(x, t, c)}
    for scale, expected in wanted.items():
        merge_loras([(accelerator, 1.0), (runs / "feedback" / FEEDBACK_FILE, scale)], tmp_path / "m.safetensors", torch.float32)
        merged = unet()
        fuse_lora(merged, tmp_path / "m.safetensors")
        torch.testing.assert_close(merged(x, t, c.embeddings).sample.detach(), expected, atol=3e-3, rtol=3e-3)
    assert (wanted[1.0] - wanted[0.0]).abs().max() > 0.03, "the feedback changes something"
    assert metadata(tmp_path / "m.safetensors")["method"] == "tcd", "drawn as the student is"


def test_the_dedicated_unet_is_one_file_told_800(tmp_path):
    folder = tmp_path / "student" / "dedicated"
    score = dataclasses.replace(BASE.score, timestep=800, fresh=True)
    distiller, rows = trained(folder, method="one-step", weights="whole", whole_file=True, score=score)
    assert {"matching", "real_heads", "real_adversarial", "reward_bright"} <= rows[0].keys()
    context = distiller.context
    times = asked(context)
    distiller.losses[1](0, _batch(context))
    assert times == [[800, 800]], "feedback too"
    (recipe,) = trained_students(tmp_path)["sd15"]
    assert recipe.unet.path == folder / "unet.safetensors" and recipe.lora is None
    assert (recipe.scheduler, recipe.timesteps, recipe.steps) == ("LCMScheduler", (800,), (1,))
    from safetensors.torch import load_file

    copy = unet()
    copy.load_state_dict({name: value.float() for name, value in load_file(recipe.unet.path).items()})


def _batch(context):
    from hypersd_app.training.distillation.context import Batch

    x0, captions = context.source.batch(0, 2)
    return Batch(x0=x0, conditioning=context.source.condition(captions), captions=captions, seed=0, total=2)


def test_a_student_that_keeps_guidance_is_guided_while_it_learns(tmp_path):
    folder = tmp_path / "student" / "guided"
    distiller, _ = trained(folder, method="tscd", stages=((8, 1.0),), exact_steps=8, kept_guidance=(5.0, 8.0))
    context = distiller.context
    sizes, scales, guided = {}, [], context.guided
    for role in ("student", "target", "teacher"):
        run = getattr(context.networks, role)
        setattr(context.networks, role, lambda x, t, c, role=role, run=run: (sizes.setdefault(role, len(x)), run(x, t, c))[1])
    object.__setattr__(context, "guided", lambda role, c, scale: (scales.append(scale), guided(role, c, scale))[1])
    distiller.losses[0](0, _batch(context))
    assert sizes == {"teacher": 4, "target": 4, "student": 4}, "both halves of the guidance"
    assert len(set(scales)) == 1 and 5 <= scales[0] <= 8
    (recipe,) = trained_students(tmp_path)["sd15"]
    assert (recipe.steps, recipe.scheduler, recipe.guidance, recipe.negative_prompt) == (
        (8,),
        "DDIMScheduler",
        (5.0, 5.0, 8.0),
        True,
    )


def test_exactly_n_steps_are_drawn_by_ddim_without_guidance(tmp_path):
    trained(tmp_path / "student" / "four", method="tscd", stages=((4, 1.0),), exact_steps=4)
    (recipe,) = trained_students(tmp_path)["sd15"]
    assert (recipe.steps, recipe.scheduler, recipe.guidance, recipe.eta) == ((4,), "DDIMScheduler", None, None)
    assert dict(recipe.scheduler_arguments) == {"timestep_spacing": "trailing"}


@pytest.mark.parametrize("method", ["dmd2", "tdm"])
def test_scores_are_matched_along_the_student_s_own_way(tmp_path, method):
    """DMD2 at all noise levels, TDM at those of the step it is at; both start at one of four trailing timesteps."""
    distiller, _ = trained(tmp_path, method=method)
    context, starts, seen = distiller.context, [], []
    students, fakes = asked(context), asked(context, "fake")
    (loss,) = distiller.losses
    for step in range(12):
        students.clear(), fakes.clear()
        loss(step, _batch(context))
        starts.append(students[-1][0])
        seen.append(fakes[-1])
    assert set(starts) == {999, 749, 499, 249}
    lower = {999: 749, 749: 499, 499: 249, 249: 0}
    inside = [all(lower[start] <= t <= start for t in times) for start, times in zip(starts, seen, strict=True)]
    assert all(inside) if method == "tdm" else not all(inside)


def test_the_last_convolution_computes_in_float32():
    context_unet = unet()
    from hypersd_app.training.core.device import in_float32

    in_float32(context_unet.conv_out)
    x, inner = torch.randn(1, 4, 8, 8), []
    context_unet.conv_out.register_forward_hook(lambda module, inputs, output: inner.append((inputs[0], output)))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        context_unet(x, 999, torch.randn(1, 4, 32))
    read, made = inner[0]
    layer = context_unet.conv_out
    assert made.dtype == torch.float32
    exact = torch.nn.functional.conv2d(read.float(), layer.weight, layer.bias, padding=1)
    torch.testing.assert_close(made, exact)
