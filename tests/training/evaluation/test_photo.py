"""Photographs' metrics against their reference code's formulas on random weights, and the whole table on small stand-ins."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

from hypersd_app.errors import InvalidRequest, ModelUnavailable
from hypersd_app.training.evaluation.photo import inception, report
from hypersd_app.training.evaluation.photo.convert import convert
from hypersd_app.training.evaluation.photo.metrics import METRICS, ClipPair
from hypersd_app.training.evaluation.photo.prompts import read_prompts
from hypersd_app.training.evaluation.photo.rows import student_rows, teacher_rows
from hypersd_app.training.workspace import Workspace
from tests.support import tiny_models

RNG = np.random.default_rng(0)
IMAGES = [Image.fromarray(RNG.integers(0, 256, (48, 40, 3), np.uint8)) for _ in range(3)]
CAPTIONS = ["a red cat", "blue moon", "dog"]


def write_clip(folder):
    torch.manual_seed(3)
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**small, "vocab_size": tiny_models.CLIP_TOKENS, "max_position_embeddings": 16, "bos_token_id": 54, "eos_token_id": 55}
    config = CLIPConfig(text_config=text, vision_config={**small, "image_size": 32, "patch_size": 16}, projection_dim=12)
    CLIPModel(config).eval().save_pretrained(folder)
    tiny_models.clip_tokenizer(folder)
    side = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    CLIPProcessor(CLIPImageProcessor(**side), CLIPTokenizer.from_pretrained(folder)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("scale", [100.0, None], ids=["clip-score", "pick-score"])
def test_clip_score_and_pick_score_are_scaled_cosines_of_the_two_towers(tmp_path, scale):
    """As in torchmetrics and in PickScore's model card: both embeddings are divided by their length."""
    score = ClipPair(write_clip(tmp_path), scale)
    model = CLIPModel.from_pretrained(tmp_path).eval()
    given = CLIPProcessor.from_pretrained(tmp_path)(
        text=CAPTIONS, images=IMAGES, padding="max_length", max_length=16, truncation=True, return_tensors="pt"
    )
    with torch.no_grad():
        seen = model.visual_projection(model.vision_model(pixel_values=given["pixel_values"]).pooler_output)
        read = model.text_projection(
            model.text_model(input_ids=given["input_ids"], attention_mask=given["attention_mask"]).pooler_output
        )
    factor = 100.0 if scale else model.logit_scale.exp().item() / 100
    torch.testing.assert_close(score(IMAGES, CAPTIONS), factor * functional.cosine_similarity(seen, read), atol=1e-4, rtol=1e-4)
    assert (score(IMAGES, CAPTIONS) - score(IMAGES[::-1], CAPTIONS)).abs().max() > 1e-4
    with pytest.raises(ModelUnavailable, match="CLIP model"):
        ClipPair(tmp_path / "none", scale)


def test_resizing_for_fid_is_clean_fid_s():
    """Bicubic with antialiasing in float, channel by channel, clipped and not rounded (cleanfid/resize.py)."""
    for size in ((600, 400), (64, 64)):
        image = Image.fromarray(RNG.integers(0, 256, (size[1], size[0], 3), np.uint8))
        found = inception.clean_resize(image)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
        expected = functional.interpolate(pixels, (299, 299), mode="bicubic", antialias=True)[0].permute(1, 2, 0).clamp(0, 255)
        assert found.shape == (299, 299, 3) and found.dtype == np.float32 and (found % 1).any()
        assert np.abs(found - expected.numpy()).max() < 0.05


def test_inception_is_fid_s_and_not_torchvision_s():
    """pytorch-fid's shapes by name; pools that leave the padding out, and a largest value in the last block."""
    network = inception.new_inception()
    assert network.Mixed_5b.branch_pool.conv.weight.shape == (32, 192, 1, 1) and network.fc.weight.shape == (1008, 2048)
    x = torch.rand(1, 2048, 3, 3)
    with torch.no_grad():
        for name, pooled in (
            ("Mixed_7c", functional.max_pool2d(x, 3, 1, 1)),
            ("Mixed_7b", functional.avg_pool2d(x[:, :1280], 3, 1, 1, count_include_pad=False)),
        ):
            block = getattr(network, name)
            made = block(x[:, : pooled.shape[1]])
            torch.testing.assert_close(made[:, -192:], block.branch_pool(pooled))
            torch.testing.assert_close(made[:, :320], block.branch1x1(x[:, : pooled.shape[1]]))


def test_prompts_are_lines_or_coco_s_first_captions(tmp_path):
    (tmp_path / "p.txt").write_text("a cat\n\n  a dog \n", encoding="utf-8")
    assert read_prompts(tmp_path / "p.txt", 5) == ["a cat", "a dog"] and read_prompts(tmp_path / "p.txt", 1) == ["a cat"]
    rows = [(7, 3, "second\n"), (2, 9, "first "), (7, 1, "the  first of seven")]
    annotations = [{"image_id": image, "id": place, "caption": caption} for image, place, caption in rows]
    (tmp_path / "c.json").write_text(json.dumps({"annotations": annotations}), encoding="utf-8")
    assert read_prompts(tmp_path / "c.json", 5000) == ["first", "the first of seven"]
    for wrong in ("none.txt", "p2.txt", "bad.json"):
        if wrong != "none.txt":
            (tmp_path / wrong).write_text("[]" if wrong == "bad.json" else "\n", encoding="utf-8")
        with pytest.raises(InvalidRequest, match="prompts"):
            read_prompts(tmp_path / wrong, 5)


def test_published_pickles_become_safetensors_where_they_are_looked_for(tmp_path):
    workspace = Workspace(tmp_path, tmp_path)
    torch.save({"layers.0.weight": torch.ones(2, 3).t()}, tmp_path / "head.pth")
    written = convert("aesthetic", tmp_path / "head.pth", workspace)
    assert written == workspace.run("reward", "aesthetic") / "head.safetensors"
    assert torch.equal(load_file(written)["layers.0.weight"], torch.ones(3, 2))
    (tmp_path / "no.pth").write_bytes(b"nothing")
    torch.save(["a list"], tmp_path / "list.pth")
    for name, file, error in (("x", "head.pth", "weights"), ("aesthetic", "no.pth", "source"), ("aesthetic", "gone.pth", "source")):
        with pytest.raises(InvalidRequest, match=error):
            convert(name, tmp_path / file, workspace)
    with pytest.raises(ModelUnavailable, match="named tensors"):
        convert("inception", tmp_path / "list.pth", workspace)


def test_students_are_drawn_as_their_files_say(tmp_path):
    def rows(name, **metadata):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        save_file({"x": torch.zeros(1)}, tmp_path / name, metadata)
        return [(row.title, row.steps, row.guidance, row.scheduler.__name__) for row in student_rows(tmp_path / name)]

    assert rows("a/accelerator.safetensors") == [("a", steps, 0.0, "TCDScheduler") for steps in (1, 2, 4, 8)]
    assert rows("Mine.safetensors", exact_steps="8", kept_guidance="5.0,8.0") == [("Mine", 8, 5.0, "DDIMScheduler")]
    assert rows("b/unet.safetensors", timestep="800") == [("b", 1, 0.0, "LCMScheduler")]
    assert [row.steps for row in teacher_rows("t", 7.5)] == [25, 1, 2, 4], "half of 2, 4 and 8: guidance runs the network twice"
    with pytest.raises(InvalidRequest, match="student"):
        student_rows(tmp_path / "none.safetensors")


def test_the_table_end_to_end_and_what_is_there_is_not_drawn_again(tmp_path, monkeypatch):
    teacher = tiny_models.write_sd15(tmp_path / "sd15")
    lora = tmp_path / "mine.safetensors"
    tiny_models.write_lora(lora, tiny_models.small_unet(32), 2, metadata={"exact_steps": "2"})
    clip = ClipPair(write_clip(tmp_path / "clip"), 100.0)
    monkeypatch.setattr(report, "open_metrics", lambda workspace: dict.fromkeys(METRICS, clip))
    monkeypatch.setattr(
        report, "InceptionFeatures", lambda folder: lambda images: np.stack([np.asarray(i.resize((2, 2))).ravel() for i in images])
    )
    (tmp_path / "real").mkdir()
    for number, image in enumerate(IMAGES):
        image.save(tmp_path / "real" / f"{number}.png")
    (tmp_path / "p.txt").write_text("\n".join(CAPTIONS), encoding="utf-8")

    def table():
        return report.write(
            teacher, [lora], tmp_path / "p.txt", tmp_path / "real", Workspace(tmp_path, tmp_path), tmp_path / "out", 3, 2.0
        )

    text = table()
    assert text == (tmp_path / "out" / "photo.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith(("| sd15", "| mine"))]
    assert (
        len(rows) == 5
        and all("–" not in row and "nan" not in row for row in rows)
        and len({row.split("|")[4] for row in rows}) == 5
    )
    assert "| *Hyper-SD15, unified LoRA, published* | 1 |" in text and "*SDXL, published*" not in text
    folder = tmp_path / "out" / "sd15" / "mine-2-0"
    assert len(list(folder.glob("*.png"))) == 3
    monkeypatch.setattr(report, "draw", None)
    assert table() == text
