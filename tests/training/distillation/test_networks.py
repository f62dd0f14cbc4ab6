"""The roles on small random UNets in the shapes of SD1.5 and SDXL: who acts, who learns, and what is written down."""

import copy

import pytest
import torch

from hypersd_app.diffusion.schedules import NoiseSchedule
from hypersd_app.errors import ModelUnavailable
from hypersd_app.training.core.conditioning import Conditioning
from hypersd_app.training.core.lora import fuse_lora, load_lora, low_rank, save_difference, save_lora
from hypersd_app.training.distillation.denoiser import UNetDenoiser, weight_layers
from hypersd_app.training.distillation.networks import ACCELERATOR, AdapterNetworks, WholeNetworks
from tests.diffusion.test_segments import stable_diffusion_scheduler
from tests.support import tiny_models

SCHEDULE = NoiseSchedule.from_scheduler(stable_diffusion_scheduler())


def rand(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def unet(large=False, seed=0):
    torch.manual_seed(seed)
    return tiny_models.randomized(tiny_models.small_unet(48 if large else 32, large=large), 1)


def told(large=False, count=3, seed=2):
    if not large:
        return Conditioning(rand(count, 5, 32, seed=seed))
    return Conditioning(rand(count, 5, 48, seed=seed), rand(count, 32, seed=seed + 1), torch.full((count, 6), 64.0))


X, T = rand(3, 4, 8, 8), torch.tensor([100, 500, 999])


def adapters(large=False, **changes):
    return AdapterNetworks(unet(large), 4, **changes)


def whole(large=False, **changes):
    return WholeNetworks(UNetDenoiser(unet(large)), **changes)


def learn(networks, large=False, steps=2):
    """A few steps towards anything."""
    parameters = [parameter for parameter in networks.module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(parameters, 0.5)
    for _ in range(steps):
        (networks.student(X, T, told(large)) - 1).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("large", [False, True], ids=["sd15", "sdxl"])
@pytest.mark.parametrize("kind", [adapters, whole])
def test_student_and_fake_score_begin_as_the_teacher_and_part_from_it_alone(kind, large):
    networks = kind(large)
    networks.begin_fake(2)
    c = told(large)
    with torch.no_grad():
        plain = unet(large)(X, T, c.embeddings, added_cond_kwargs=c.added).sample
    for role in (networks.teacher, networks.student, networks.fake, networks.target):
        torch.testing.assert_close(role(X, T, c).detach(), plain, atol=1e-5, rtol=1e-5)
    learn(networks, large)
    moved = networks.student(X, T, c).detach()
    assert (moved - plain).abs().max() > 1e-3
    torch.testing.assert_close(networks.teacher(X, T, c), plain, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(networks.fake(X, T, c), plain, atol=1e-5, rtol=1e-5)
    optimizer = torch.optim.SGD(networks.fake_parameters().values(), 0.5)
    for _ in range(2):
        with networks.training_fake():
            (networks.live_fake(X, T, c) + 1).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    assert (networks.fake(X, T, c) - plain).abs().max() > 1e-3
    torch.testing.assert_close(networks.student(X, T, c).detach(), moved, atol=1e-5, rtol=1e-5)


def test_what_sdxl_is_told_beside_the_text_matters():
    networks, c = adapters(True), told(True)
    plain = networks.teacher(X, T, c)
    for other in (Conditioning(c.embeddings, c.pooled + 1, c.time_ids), Conditioning(c.embeddings, c.pooled, c.time_ids * 2)):
        assert (networks.teacher(X, T, other) - plain).abs().max() > 1e-4
    both = Conditioning.join([c, c.rows(3)])
    assert len(both) == 6 and both.pooled.shape == (6, 32) and torch.equal(both.pooled[3], both.pooled[5])


@pytest.mark.parametrize("kind", [adapters, whole])
def test_the_target_is_the_average_and_gets_no_gradient(kind):
    networks, c = kind(target_decay=0.5), told()
    begun = networks.student(X, T, c).detach()
    learn(networks)
    torch.testing.assert_close(networks.target(X, T, c), begun)
    before = networks.student(X, T, c)
    goal = networks.target(X, T, c)
    (before - goal).square().mean().backward()  # the swap between forward and backward harms no graph
    learnt = [parameter for parameter in networks.module.parameters() if parameter.requires_grad]
    assert not goal.requires_grad and any(parameter.grad is not None and parameter.grad.any() for parameter in learnt)
    networks.target_average.update(1000)
    half = networks.target(X, T, c)
    assert 0.05 < (half - begun).norm() / (before.detach() - begun).norm() < 0.95


@pytest.mark.parametrize("kind", [adapters, whole])
def test_checkpointing_saves_memory_and_changes_no_gradient(kind):
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        networks, c = kind(gradient_checkpointing=checkpointing), told()
        learn(networks)
        networks.module.train()
        loss = (networks.student(X, T, c) - networks.teacher(X, T, c) - 1).square().mean()
        loss = loss + sum(feature.mean() for feature in networks.features(networks.student(X, T, c), T, c))
        loss.backward()
        gradients.append([parameter.grad for parameter in networks.module.parameters() if parameter.requires_grad])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, plain, atol=1e-5, rtol=1e-4)
    assert any(blocks.gradient_checkpointing for blocks in networks.unet.down_blocks)


@pytest.mark.parametrize("large", [False, True], ids=["sd15", "sdxl"])
def test_the_encoder_s_features_are_the_unet_s_own(large):
    model, c, seen = unet(large), told(large), []
    for block in model.down_blocks:
        block.register_forward_hook(lambda module, inputs, output: seen.append(output[0]))
    model.mid_block.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        model(X, T, c.embeddings, added_cond_kwargs=c.added)
    expected, seen[:] = list(seen), []
    x = X.clone().requires_grad_()
    networks = AdapterNetworks(model, 4)
    learn(networks, large)
    seen.clear()
    found = networks.features(x, T, c)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.detach(), other, atol=1e-5, rtol=1e-5)
    assert [feature.shape[1] for feature in found] == networks.feature_channels
    torch.stack([feature.sum() for feature in found]).sum().backward()
    assert x.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in model.parameters()), "the teacher's weights get none"


def test_low_rank_is_the_nearest():
    matrix = rand(6, 9)
    up, down = low_rank(matrix, 2)
    values = torch.linalg.svdvals(matrix)
    assert (up @ down - matrix).norm().item() == pytest.approx(values[2:].norm().item(), rel=1e-4)
    assert up.norm().item() == pytest.approx(down.norm().item(), rel=1e-4)


@pytest.mark.parametrize("large", [False, True], ids=["sd15", "sdxl"])
def test_whole_weights_are_written_as_a_lora_that_does_what_they_do(large, tmp_path):
    networks, c = whole(large), told(large)
    learn(networks, large)
    wanted = networks.student(X, T, c).detach()
    path = tmp_path / "student.safetensors"
    kept = save_difference(networks.teacher_unet, networks.unet, 4096, path, {"family": "x"}, torch.float32)
    assert kept == pytest.approx(1, abs=1e-4)
    fused = unet(large)
    before = {name: layer.weight.detach().clone() for name, layer in weight_layers(fused).items()}
    fuse_lora(fused, path)
    assert any(not torch.equal(before[name], layer.weight) for name, layer in weight_layers(fused).items())
    found = fused(X, T, c.embeddings, added_cond_kwargs=c.added).sample.detach()
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-3)
    assert save_difference(networks.teacher_unet, networks.unet, 1, path, {}) < kept


def test_an_accelerator_is_trained_further_from_its_file(tmp_path):
    networks = adapters()
    learn(networks)
    save_lora(networks.unet, ACCELERATOR, tmp_path / "a.safetensors", {}, torch.float32)
    assert not list(tmp_path.glob("*.partial"))
    other = adapters()
    load_lora(other.unet, ACCELERATOR, tmp_path / "a.safetensors")
    torch.testing.assert_close(other.student(X, T, told()), networks.student(X, T, told()))
    with pytest.raises(ModelUnavailable, match="rank"):
        load_lora(AdapterNetworks(unet(), 2).unet, ACCELERATOR, tmp_path / "a.safetensors")


def test_a_copy_stays_what_it_was():
    """The teacher of whole networks is not the module that learns."""
    networks = whole()
    before = copy.deepcopy(networks.teacher_unet.state_dict())
    learn(networks)
    assert all(torch.equal(value, networks.teacher_unet.state_dict()[name]) for name, value in before.items())
