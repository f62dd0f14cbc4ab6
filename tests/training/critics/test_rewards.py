"""Rewards: the adapters on small random weights, and the stand-ins on images whose answer is known."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import BlipConfig, CLIPVisionConfig, CLIPVisionModelWithProjection

from hypersd_app.errors import InvalidRequest, ModelUnavailable
from hypersd_app.training.core.contact_sheet import from_uint8
from hypersd_app.training.critics.aesthetic import AestheticReward, score_head
from hypersd_app.training.critics.clip_pixels import DEVIATION, MEAN, clip_pixels
from hypersd_app.training.critics.image_reward import DEVIATION as SPREAD
from hypersd_app.training.critics.image_reward import MEAN as CENTRE
from hypersd_app.training.critics.image_reward import ImageReward
from hypersd_app.training.critics.quality import spoil
from hypersd_app.training.critics.registry import open_reward
from hypersd_app.training.critics.segmenter import masks
from hypersd_app.training.data.dataset import SceneRenderer
from hypersd_app.training.data.icons.sources import ICON_SETS, IconLibrary
from hypersd_app.training.data.scenes import Placement, Scene
from hypersd_app.training.data.thumbnails import moved, shrink, shrink_tensor
from hypersd_app.training.workspace import Workspace
from tests.support import tiny_models
from tests.support.icon_packages import write_package

IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1


def moves_pixels(reward, captions):
    """The gradient reaches the images and nothing of the reward itself."""
    images = IMAGES.clone().requires_grad_()
    reward(images, captions).sum().backward()
    assert images.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in reward.parameters())


def test_clip_sees_normalized_pixels():
    white = clip_pixels(torch.ones(1, 3, 40, 40), 32)
    expected = [(1 - mean) / deviation for mean, deviation in zip(MEAN, DEVIATION, strict=True)]
    assert white.shape == (1, 3, 32, 32)
    assert white[0, :, 7, 9].tolist() == pytest.approx(expected, rel=1e-4)


def test_the_aesthetic_predictor_scores_unit_embeddings(tmp_path):
    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=16,
        projection_dim=12,
    )  # fmt: skip
    clip = CLIPVisionModelWithProjection(config).eval()
    clip.save_pretrained(tmp_path / "clip")
    with pytest.raises(ModelUnavailable, match="head"):
        AestheticReward(tmp_path)
    head = score_head(12).eval()
    assert [name for name, _ in head.named_parameters()][::2] == [f"{n}.weight" for n in (0, 2, 4, 6, 7)], "LAION's own numbers"
    save_file({f"layers.{name}": value for name, value in head.state_dict().items()}, tmp_path / "head.safetensors")
    reward = AestheticReward(tmp_path)
    with torch.no_grad():
        embedding = clip(clip_pixels(IMAGES, 32)).image_embeds
        expected = head(embedding / embedding.norm(dim=-1, keepdim=True)).flatten()
    torch.testing.assert_close(reward(IMAGES, ["", ""]), expected)
    moves_pixels(reward, ["", ""])
    save_file({"layers.0.weight": torch.zeros(3, 3)}, tmp_path / "head.safetensors")
    with pytest.raises(ModelUnavailable, match="not the aesthetic predictor"):
        AestheticReward(tmp_path)


def original_names(model):
    """The module's tensors under the names that ImageReward's own file uses."""
    rows = {
        "vision.embeddings.class_embedding": "blip.visual_encoder.cls_token",
        "vision.embeddings.position_embedding": "blip.visual_encoder.pos_embed",
        "vision.embeddings.patch_embedding": "blip.visual_encoder.patch_embed.proj",
        "vision.post_layernorm": "blip.visual_encoder.norm",
        "vision.encoder.layers.0.self_attn.qkv": "blip.visual_encoder.blocks.0.attn.qkv",
        "vision.encoder.layers.0.self_attn.projection": "blip.visual_encoder.blocks.0.attn.proj",
        "vision.encoder.layers.0.layer_norm1": "blip.visual_encoder.blocks.0.norm1",
        "vision.encoder.layers.0.layer_norm2": "blip.visual_encoder.blocks.0.norm2",
        "vision.encoder.layers.0.mlp.fc1": "blip.visual_encoder.blocks.0.mlp.fc1",
        "vision.encoder.layers.0.mlp.fc2": "blip.visual_encoder.blocks.0.mlp.fc2",
    }
    found = {}
    for name, value in model.state_dict().items():
        base, dot, last = name.rpartition(".")
        whole = name if name in rows else base
        if name.startswith("text."):
            found[f"blip.text_encoder.{name.removeprefix('text.')}"] = value
        elif name.startswith("head."):
            found[f"mlp.layers.{name.removeprefix('head.')}"] = value
        else:
            found[rows[name] if whole == name else f"{rows[whole]}{dot}{last}"] = value
    return {name: value.clone() for name, value in found.items()}


def test_image_reward_reads_image_and_prompt_together(tmp_path):
    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = BlipConfig(
        text_config={**small, "vocab_size": 64, "max_position_embeddings": 48},
        vision_config={**small, "image_size": 32, "patch_size": 16},
    )
    tiny_models.bert_tokenizer(tmp_path, 35)
    config.save_pretrained(tmp_path)
    with pytest.raises(ModelUnavailable, match="ImageReward needs"):
        ImageReward(tmp_path)
    blank = object.__new__(ImageReward)
    torch.nn.Module.__init__(blank)
    from transformers import BlipTextModel, BlipVisionModel

    blank.vision, blank.head = BlipVisionModel(config.vision_config), score_head(16)
    blank.text = BlipTextModel(config.text_config, add_pooling_layer=False)
    with torch.no_grad():
        for parameter in blank.parameters():  # large enough to tell images apart
            parameter.copy_(0.5 * torch.randn(parameter.shape))
    extra = {"blip.vision_proj.weight": torch.zeros(2, 2), "blip.text_encoder.embeddings.position_ids": torch.zeros(1)}
    save_file({**original_names(blank), **extra}, tmp_path / "image_reward.safetensors")
    reward = ImageReward(tmp_path)
    for name, value in blank.state_dict().items():
        assert torch.equal(reward.state_dict()[name], value), name
    captions = ["a red cat", "blue"]
    scores = reward(IMAGES, captions)
    with torch.no_grad():
        tokens = reward.tokenizer(captions, padding="max_length", max_length=35, return_tensors="pt")
        seen = reward.vision(clip_pixels(IMAGES, 32)).last_hidden_state
        text = reward.text(tokens["input_ids"], tokens["attention_mask"], encoder_hidden_states=seen).last_hidden_state
        expected = (reward.head(text[:, 0]).flatten() - CENTRE) / SPREAD
    torch.testing.assert_close(scores, expected)
    assert (reward(IMAGES, ["blue", "a red cat"]) - scores).abs().min() > 1e-6, "the prompt matters"
    assert (reward(IMAGES.flip(0), captions) - scores).abs().min() > 1e-6, "the image matters"
    moves_pixels(reward, captions)


def test_unknown_and_missing_rewards_say_what_to_do(tmp_path):
    workspace = Workspace(tmp_path, tmp_path)
    with pytest.raises(InvalidRequest, match="agreement, quality, aesthetic, image-reward"):
        open_reward("beauty", workspace)
    with pytest.raises(ModelUnavailable, match="train reward --preset quality"):
        open_reward("quality", workspace)


def test_small_images_are_means_of_sixteen_pixels_both_ways():
    images = np.random.default_rng(0).integers(0, 256, (2, 256, 256, 3), np.uint8)
    expected = images.reshape(2, 64, 4, 64, 4, 3).astype(np.float32).mean((2, 4))
    assert np.abs(shrink(images) - expected).max() <= 0.51
    torch.testing.assert_close(shrink_tensor(from_uint8(images)), from_uint8(shrink(images)), atol=0.006, rtol=0)


def test_moved_images_stay_on_white_paper():
    images = np.full((6, 64, 64, 3), 255, np.uint8)
    images[:, 24:40, 24:40] = 0
    seen = moved(images, np.random.default_rng(1))
    assert seen.shape == (6, 3, 64, 64) and seen.min() >= -1 and seen.max() <= 1
    assert (seen[:, :, :4] > 0.75).all() and (seen[:, :, 30:34, 30:34] < -0.7).all()
    assert (seen[0] - seen[1]).abs().max() > 0.1


def test_spoilt_images_are_further_from_the_whole_the_more_they_lost():
    images = from_uint8(np.random.default_rng(0).integers(0, 256, (64, 64, 64, 3), np.uint8).repeat(1, 0))
    spoilt, intact = spoil(images, np.random.default_rng(2))
    distance = (spoilt - images).square().mean((1, 2, 3)).sqrt()
    assert ((intact >= 0) & (intact <= 1)).all()
    order = torch.corrcoef(torch.stack([distance, 1 - intact]))[0, 1]
    assert order > 0.5 and distance[intact.argmax()] < 0.3 * distance.max()


def test_masks_are_the_icons_alpha_and_their_edges(tmp_path):
    library = IconLibrary(ICON_SETS["noto"], write_package(tmp_path, "icons"))
    renderer = SceneRenderer({"noto": library}, {}, 64)
    boxes = (Placement("red-apple", 1, x=0.25, y=0.5, size=0.4), Placement("red-apple", 1, x=0.75, y=0.5, size=0.4))
    drawn, edges = masks(renderer, Scene("pair", "noto", boxes))
    assert drawn.shape == (64, 64) and drawn[32, 16] == 1 and drawn[32, 48] == 1 and drawn[32, 32] == 0
    assert edges[32, 16] == 0 and edges[32, 3] + edges[32, 4] > 0 and edges.mean() < 0.25
    touching = (Placement("red-apple", 1, x=0.3, y=0.5, size=0.4), Placement("red-apple", 1, x=0.7, y=0.5, size=0.4))
    _, between = masks(renderer, Scene("pair", "noto", touching))
    assert between[32, 31:34].any(), "two things that touch are two"
