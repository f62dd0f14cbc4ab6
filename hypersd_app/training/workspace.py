"""Where the training stages find each other's results: the run folders first, then the weights that ship."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from hypersd_app.catalog.builtin import ACCELERATOR
from hypersd_app.errors import ModelUnavailable
from hypersd_app.models.autoencoders import PocketVae, load_autoencoder
from hypersd_app.models.controlnet import PocketControlNet
from hypersd_app.models.layout import LayoutPrior, size_of
from hypersd_app.models.pocket import PocketUNet
from hypersd_app.training.core.device import in_float32, place, training_device
from hypersd_app.training.data.compositions import Compositions
from hypersd_app.training.data.dataset import ImageDataset
from hypersd_app.training.data.latents import LatentStore, blank_latents
from hypersd_app.training.data.text_encoder import TextEmbedder, export_text_encoder

LAYOUT_FILE = "layout.safetensors"
DRAWN_FILE = "drawn.safetensors"


@dataclass(frozen=True)
class Workspace:
    """`family` names one chain of results: data, autoencoder, latents, teacher and what is built on them."""

    runs: Path
    assets: Path
    family: str = "pocket"
    user_styles: Path = Path("styles")  # where the app looks for the user's own LoRA files

    def run(self, stage: str, preset: str) -> Path:
        """The folder of one stage's run."""
        return self.runs / stage / preset

    @property
    def packages(self) -> Path:
        """Downloaded icon packages."""
        return self.runs / "npm"

    @property
    def latents_path(self) -> Path:
        """The encoded images of this family."""
        return self.runs / "latents" / f"{self.family}.npy"

    @property
    def drawings_path(self) -> Path:
        """The folder of drawings of this family's images."""
        return self.runs / "drawings" / self.family

    @cached_property
    def data(self) -> ImageDataset:
        """The family's images; raises ModelUnavailable before the data stage has run."""
        return self.images(self.family)

    def images(self, name: str) -> ImageDataset:
        """A data set by the name of its preset; raises ModelUnavailable before it was made."""
        folder = self.run("data", name)
        if not (folder / "config.json").exists():
            raise ModelUnavailable(f"No images in {folder}: run `train data --preset {name}` first.")
        return ImageDataset(folder)

    @cached_property
    def latents(self) -> LatentStore:
        """The latents of the images, encoded as they are read."""
        return LatentStore(self.latents_path, self.data, self.autoencoder)

    @cached_property
    def compositions(self) -> Compositions:
        """Scenes of several things, put together from the parts of the family's data set."""
        return Compositions(self.data, self.latents, blank_latents(self.autoencoder))

    @cached_property
    def embed(self) -> TextEmbedder:
        """The frozen text encoder, unpacked on first use."""
        if not (self.assets / "text_encoder" / "model.safetensors").exists():
            export_text_encoder(self.assets)
        return TextEmbedder(self.assets)

    @cached_property
    def autoencoder(self) -> PocketVae:
        """The family's autoencoder, float32 on the training device."""
        return load_autoencoder(self.vae).float().to(training_device())

    @property
    def vae(self) -> Path:
        """The folder of the newest autoencoder: of stickers, of images on white, else the one that ships."""
        stickers = self.run("sticker-autoencoder", self._model_family) / "model"
        return stickers if stickers.exists() else self.weights("autoencoder", "model", "vae")

    def teacher(self) -> PocketUNet:
        """A fresh copy of the newest teacher, float32 on the training device."""
        unet = PocketUNet.from_pretrained(self.weights("teacher", "unet", "unet"))
        in_float32(unet.conv_out)
        return place(unet.float())

    def layout(self) -> dict[str, Tensor]:
        """The newest layout prior's weights, float32: this machine's, else the shipped UNet's. Raises ModelUnavailable."""
        trained = self.run("layout", self._model_family) / LAYOUT_FILE
        if trained.exists():
            return load_file(trained)
        if not (self.assets / "unet" / "config.json").exists():
            raise ModelUnavailable(f"No layout prior in {trained.parent}: run `train layout --preset {self._model_family}` first.")
        return PocketUNet.from_pretrained(self.assets / "unet").float().layout.state_dict()

    def prior(self) -> LayoutPrior:
        """A frozen copy of the newest layout prior, float32 on the training device. Raises ModelUnavailable."""
        state = self.layout()
        prior = LayoutPrior(size_of(state)).requires_grad_(False)
        prior.load_state_dict(state)
        return prior.to(training_device())

    def load_drawn(self, controlnet: PocketControlNet) -> None:
        """Give a ControlNet what the sketches stage has learnt on this machine, if anything."""
        trained = self.run("sketches", self._model_family) / DRAWN_FILE
        if trained.exists():
            controlnet.drawn.load_state_dict(load_file(trained))

    @property
    def _model_family(self) -> str:
        """Whose model this family works on: the held-out styles have data of their own, but are trained on the base model."""
        return "tiny" if self.family == "tiny" else "pocket"

    def weights(self, stage: str, name: str, asset: str) -> Path:
        """The newest result of a stage: `runs/<stage>/<family>/<name>`, else the shipped `<asset>`."""
        for path in (self.run(stage, self._model_family) / name, self.assets / asset):
            if path.exists():
                return path
        raise ModelUnavailable(f"No {stage} weights: run `train {stage} --preset {self.family}` first.")

    def accelerator(self) -> Path:
        """The newest accelerator: this machine's, else the shipped one. Raises ModelUnavailable."""
        return self.weights("student", ACCELERATOR, ACCELERATOR)

    def initial(self, stage: str, preset: str, asset: str) -> Path | None:
        """Shipped weights to start from where this machine holds no checkpoint of its own."""
        if (self.run(stage, preset) / "checkpoint.safetensors").exists() or preset != self.family:
            return None
        return self.assets / asset if (self.assets / asset / "config.json").exists() else None
