"""The table holds what Hyper-SD published, and the guard refuses everything else."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from hypersd_app.catalog import validation
from hypersd_app.catalog.catalog import Catalog
from hypersd_app.catalog.safetensors_header import read_header
from hypersd_app.catalog.scanning.checkpoint_kinds import checkpoint_kind
from hypersd_app.catalog.scanning.scan import read_style
from hypersd_app.catalog.specs import Recipe
from hypersd_app.errors import InvalidRequest, ModelUnavailable
from hypersd_app.settings import Settings
from tests.support.checkpoints import checkpoint_tensors

PUBLISHED = {
    "Hyper-SD15-1step-lora", "Hyper-SD15-2steps-lora", "Hyper-SD15-4steps-lora", "Hyper-SD15-8steps-lora",
    "Hyper-SD15-8steps-CFG-lora", "Hyper-SD15-12steps-CFG-lora", "Hyper-SDXL-1step-lora", "Hyper-SDXL-2steps-lora",
    "Hyper-SDXL-4steps-lora", "Hyper-SDXL-8steps-lora", "Hyper-SDXL-8steps-CFG-lora", "Hyper-SDXL-12steps-CFG-lora",
    "Hyper-SDXL-1step-Unet", "Hyper-SD3-4steps-CFG-lora", "Hyper-SD3-8steps-CFG-lora", "Hyper-SD3-16steps-CFG-lora",
    "Hyper-FLUX.1-dev-8steps-lora", "Hyper-FLUX.1-dev-16steps-lora",
}  # fmt: skip


@pytest.fixture
def settings(tmp_path) -> Settings:
    folders = {name: tmp_path / name for name in ("assets", "runs", "cache", "models", "styles")}
    return Settings(**folders)


def recipes(settings, model) -> dict[str, Recipe]:
    return {recipe.name: recipe for recipe in Catalog(settings).recipes(model)}


def test_every_published_file_has_a_recipe(settings):
    sources = [r.lora or r.unet for model in Catalog(settings).models() for r in model.recipes]
    names = {source.filename.removesuffix(".safetensors") for source in sources if source is not None}
    assert names == PUBLISHED


NO, GUIDED = None, (5.0, 5.0, 8.0)
SD15_ROWS = {
    "unified": ("Hyper-SD15-1step-lora", NO), "2steps": ("Hyper-SD15-2steps-lora", NO), "4steps": ("Hyper-SD15-4steps-lora", NO),
    "8steps": ("Hyper-SD15-8steps-lora", NO), "8steps-cfg": ("Hyper-SD15-8steps-CFG-lora", GUIDED),
    "12steps-cfg": ("Hyper-SD15-12steps-CFG-lora", GUIDED), "teacher": ("", (1.0, 7.5, 15.0)),
}  # fmt: skip
ROWS = {
    "sd15": SD15_ROWS,
    "sdxl": {
        **{name: (file.replace("SD15", "SDXL"), guidance) for name, (file, guidance) in SD15_ROWS.items()},
        "teacher": ("", (1.0, 5.0, 15.0)), "1step-unet": ("Hyper-SDXL-1step-Unet", NO),
    },
    "sd3": {
        "4steps-cfg": ("Hyper-SD3-4steps-CFG-lora", (1.0, 3.0, 10.0)),
        "8steps-cfg": ("Hyper-SD3-8steps-CFG-lora", (1.0, 5.0, 10.0)),
        "16steps-cfg": ("Hyper-SD3-16steps-CFG-lora", (1.0, 7.0, 10.0)),
    },
    "flux": {
        "8steps": ("Hyper-FLUX.1-dev-8steps-lora", (1.0, 3.5, 10.0)),
        "16steps": ("Hyper-FLUX.1-dev-16steps-lora", (1.0, 3.5, 10.0)),
    },
}  # fmt: skip
CONTROLS = {
    "sd15": {
        "scribble": ("lllyasviel/control_v11p_sd15_scribble", 1.0), "scribble-v10": ("lllyasviel/sd-controlnet-scribble", 1.0),
        "canny": ("lllyasviel/control_v11p_sd15_canny", 1.0), "softedge": ("lllyasviel/control_v11p_sd15_softedge", 1.0),
        "lineart": ("lllyasviel/control_v11p_sd15_lineart", 1.0), "depth": ("lllyasviel/control_v11f1p_sd15_depth", 1.0),
    },
    "sdxl": {
        "scribble": ("xinsir/controlnet-scribble-sdxl-1.0", 1.0), "canny": ("diffusers/controlnet-canny-sdxl-1.0", 0.5),
    },
    "sd3": {}, "flux": {},
}  # fmt: skip


@pytest.mark.parametrize("model", ROWS)
def test_the_rows_are_the_published_ones(settings, model):
    found = {}
    for name, row in recipes(settings, model).items():
        source = row.lora or row.unet
        assert source is None or source.repo == "ByteDance/Hyper-SD"
        found[name] = ("" if source is None else source.filename.removesuffix(".safetensors"), row.guidance)
    assert found == ROWS[model]
    assert [row.unet is not None for row in recipes(settings, model).values()] == [name == "1step-unet" for name in ROWS[model]]
    controls = Catalog(settings).model(model).controls
    assert {row.kind: (row.source.repo, row.scale) for row in controls} == CONTROLS[model]


def test_revisions_are_pinned_everywhere_in_a_row(settings):
    pins = "stabilityai/stable-diffusion-xl-base-1.0=abc, ByteDance/Hyper-SD=v2 madebyollin/taesdxl=old"
    catalog = Catalog(replace(settings, revisions=pins))
    row = catalog.model("sdxl")
    assert {row.source.revision, row.decoders[0].source.revision} == {"abc"}
    assert row.decoders[0].half_source.revision is None
    assert row.decoders[1].source.revision == "old"
    assert {(r.lora or r.unet).revision for r in row.recipes if r.lora or r.unet} == {"v2"}
    assert catalog.model("sd15").source.revision is None
    for wrong in ("nonsense", "a/b=", "a=1", "a/b/c=1"):
        with pytest.raises(InvalidRequest, match="revisions"):
            Catalog(replace(settings, revisions=wrong))


@pytest.mark.parametrize("model", ["sd15", "sdxl"])
def test_each_recipe_has_the_scheduler_it_was_trained_for(settings, model):
    rows = recipes(settings, model)
    assert rows["unified"].scheduler == "TCDScheduler"
    assert rows["unified"].steps == tuple(range(1, 9))
    assert rows["unified"].eta == (0.0, 1.0, 1.0)
    for name in ("2steps", "4steps", "8steps", "8steps-cfg", "12steps-cfg", "teacher"):
        assert rows[name].scheduler == "DDIMScheduler"
        assert dict(rows[name].scheduler_arguments) == {"timestep_spacing": "trailing"}
    assert {name for name, row in rows.items() if row.negative_prompt} == {"8steps-cfg", "12steps-cfg", "teacher"}


def test_the_dedicated_unet_runs_one_step_at_800(settings):
    row = recipes(settings, "sdxl")["1step-unet"]
    assert (row.scheduler, row.timesteps, row.steps, row.guidance) == ("LCMScheduler", (800,), (1,), None)


def test_sd3_and_flux_loras_act_at_an_eighth(settings):
    for model in ("sd3", "flux"):
        assert {row.lora_scale for row in recipes(settings, model).values()} == {0.125}


def test_pocket_offers_what_is_there(settings):
    catalog = Catalog(settings)
    assert [row.name for row in catalog.recipes("pocket")] == ["teacher"]
    assert catalog.model("pocket").controls == ()
    folder = settings.assets / "pocket"
    (folder / "controlnet").mkdir(parents=True)
    (folder / "controlnet" / "config.json").write_text("{}", encoding="utf-8")
    save_file({"x": torch.zeros(1)}, folder / "accelerator.safetensors")
    run = settings.runs / "student" / "tcd"
    run.mkdir(parents=True)
    save_file({"x": torch.zeros(1)}, run / "accelerator.safetensors")
    catalog.rescan()
    assert [row.name for row in catalog.recipes("pocket")] == ["unified", "teacher", "run-tcd"]
    assert [row.kind for row in catalog.model("pocket").controls] == ["scribble"]


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("num_inference_steps", lambda r: validation.check_steps(r["4steps"], 3)),
        ("num_inference_steps", lambda r: validation.check_steps(r["unified"], 9)),
        ("guidance_scale", lambda r: validation.allowed_guidance(r["unified"], 5.0)),
        ("guidance_scale", lambda r: validation.allowed_guidance(r["8steps-cfg"], 4.9)),
        ("guidance_scale", lambda r: validation.allowed_guidance(r["8steps-cfg"], float("nan"))),
        ("eta", lambda r: validation.allowed_eta(r["4steps"], 0.5)),
        ("eta", lambda r: validation.allowed_eta(r["unified"], 1.5)),
        ("negative_prompt", lambda r: validation.check_negative_prompt(r["unified"], "blurry", 0.0)),
        ("negative_prompt", lambda r: validation.check_negative_prompt(r["teacher"], "blurry", 1.0)),
    ],
)
def test_the_guard_names_the_field_and_what_is_allowed(settings, field, call):
    with pytest.raises(InvalidRequest) as caught:
        call(recipes(settings, "sd15"))
    assert caught.value.field == field
    assert caught.value.allowed


def test_the_guard_lets_equal_computations_pass(settings):
    rows = recipes(settings, "sd15")
    assert validation.allowed_guidance(rows["unified"], 1.0) == validation.allowed_guidance(rows["unified"], None) == 0.0
    assert validation.allowed_guidance(rows["8steps-cfg"], None) == 5.0
    assert validation.allowed_eta(rows["4steps"], 0.0) == 0.0
    validation.check_negative_prompt(rows["teacher"], " ", 1.0)
    validation.check_negative_prompt(rows["teacher"], "blurry", 1.1)
    assert [rows["teacher"].negative_prompt_matters(scale) for scale in (None, 1.0, 1.1)] == [True, False, True]
    assert validation.allowed_eta(rows["unified"], None) == 1.0


def test_a_recipe_is_chosen_by_its_steps(settings):
    model = Catalog(settings).model("sd15")
    assert validation.choose_recipe(model, "", 1).name == "unified"
    assert validation.choose_recipe(model, "", 12).name == "12steps-cfg"
    assert validation.choose_recipe(model, "", 20).name == "teacher"
    with pytest.raises(InvalidRequest, match="num_inference_steps"):
        validation.choose_recipe(Catalog(settings).model("pocket"), "", 1)


def test_sizes_follow_the_model(settings):
    catalog = Catalog(settings)
    assert validation.check_size(catalog.model("sd15"), "width", None, 512) == 512
    for model, value in (("sd15", 510), ("sd15", 128), ("sd15", 4096), ("pocket", 512)):
        with pytest.raises(InvalidRequest, match="width"):
            validation.check_size(catalog.model(model), "width", value, 512)


def style_file(path, key, shape, metadata=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({f"{key}.lora_A.weight": torch.zeros(shape), f"{key}.lora_B.weight": torch.zeros(8, shape[0])}, path, metadata)
    return path


ATTENTION = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"


@pytest.mark.parametrize(("width", "family"), [(384, "pocket"), (768, "sd15"), (2048, "sdxl")])
def test_a_style_tells_its_family_by_its_shape(tmp_path, width, family):
    style = read_style(style_file(tmp_path / "ink.safetensors", ATTENTION, (4, width), {"title": "Ink!", "trigger": "ink drawing"}))
    assert (style.family, style.title, style.trigger, style.rank, style.modules) == (family, "Ink!", "ink drawing", 4, (ATTENTION,))


def test_styles_are_found_without_a_restart_and_broken_ones_left_out(settings):
    catalog = Catalog(settings)
    assert catalog.styles("sd15") == ()
    style_file(settings.styles / "ink.safetensors", ATTENTION, (4, 768))
    style_file(settings.styles / "sdxl" / "clay.safetensors", "lora_unet_mid_block_attentions_0_proj_in", (4, 10))
    (settings.styles / "broken.safetensors").write_bytes(b"\xff" * 20)
    catalog.rescan()
    assert [style.name for style in catalog.styles("sd15")] == ["ink"]
    assert [style.name for style in catalog.styles("sdxl")] == ["clay"]
    with pytest.raises(InvalidRequest, match="ink"):
        catalog.style(catalog.model("sd15"), "../../etc/passwd")


def test_models_of_the_user_are_found(settings):
    folder = settings.models / "mine"
    folder.mkdir(parents=True)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionXLPipeline"}), encoding="utf-8")
    save_file(checkpoint_tensors(), settings.models / "sd15.safetensors")
    save_file({"what": torch.zeros(1)}, settings.models / "unknown.safetensors")
    rows = {row.name: row for row in Catalog(settings).models()}
    assert rows["mine"].family == "sdxl"
    assert rows["sd15-2"].family == "sd15", "a file may not take a known model's name"
    assert "unknown" not in rows


def test_a_header_that_is_cut_or_foreign_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.zeros(100)}, path)
    content = path.read_bytes()
    for damaged in (content[:-10], content[:20], b"", b"PK\x03\x04" + bytes(40), b"\x02" + bytes(7) + b"[]" + bytes(9)):
        path.write_bytes(damaged)
        with pytest.raises(ModelUnavailable):
            read_header(path)
    with pytest.raises(ModelUnavailable):
        checkpoint_kind(tmp_path / "missing.safetensors")


def test_a1111_folders_are_read_with_what_lies_beside_the_files(settings):
    root = settings.models
    style_file(root / "Lora" / "people" / "clay.safetensors", ATTENTION, (4, 768))
    (root / "Lora" / "people" / "clay.json").write_text(
        json.dumps({"activation text": "clay figure", "sd version": "SD1"}), encoding="utf-8"
    )
    Image.new("RGB", (900, 600), "red").save(root / "Lora" / "people" / "clay.preview.png")
    style_file(root / "Lora" / "odd.safetensors", "lora_unet_mid_block_attentions_0_proj_in", (4, 10))
    (root / "Lora" / "odd.civitai.info").write_text(
        json.dumps({"trainedWords": ["odd", "odder"], "baseModel": "SDXL 1.0"}), encoding="utf-8"
    )
    style_file(root / "Lora" / "bare.safetensors", "lora_unet_mid_block_attentions_0_proj_in", (4, 10))
    (root / "Lora" / "bare.json").write_text("no json", encoding="utf-8")
    (root / "Stable-diffusion").mkdir()
    save_file(checkpoint_tensors(), root / "Stable-diffusion" / "dream.safetensors")
    catalog = Catalog(settings)
    (clay,) = catalog.styles("sd15")
    assert (clay.name, clay.trigger) == ("clay", "clay figure")
    with Image.open(io.BytesIO(base64.b64decode(clay.preview.partition(",")[2]))) as preview:
        assert preview.size == (256, 171)
    assert [(style.name, style.trigger) for style in catalog.styles("sdxl")] == [("odd", "odd, odder")]
    assert catalog.model("dream").family == "sd15"


def test_a_preview_that_is_no_image_is_not_shown(tmp_path):
    evil = {"preview": 'data:image/png;base64,AA=" onerror="alert(1)'}
    assert read_style(style_file(tmp_path / "a.safetensors", ATTENTION, (4, 384), evil)).preview == ""
    fine = {"modelspec.thumbnail": "data:image/jpeg;base64,AAAA", "modelspec.trigger_phrase": "in ink", "modelspec.title": "Ink"}
    style = read_style(style_file(tmp_path / "b.safetensors", ATTENTION, (4, 384), fine))
    assert (style.preview, style.trigger, style.title) == ("data:image/jpeg;base64,AAAA", "in ink", "Ink")
