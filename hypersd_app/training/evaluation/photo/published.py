"""What the Hyper-SD paper (arXiv 2404.13686) reports on COCO-5k, to stand beside one's own rows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One row: CLIP score x 100, LAION aesthetic score, ImageReward, PickScore / 100."""

    family: str
    title: str
    steps: int
    clip: float
    aesthetic: float
    image_reward: float
    pick: float


PUBLISHED = (
    Published("sd15", "SD1.5", 25, 31.88, 5.26, 0.18, 0.217),
    Published("sd15", "LCM", 4, 30.36, 5.66, -0.37, 0.212),
    Published("sd15", "TCD", 4, 30.62, 5.45, -0.15, 0.214),
    Published("sd15", "PeRFlow", 4, 30.77, 5.64, -0.35, 0.208),
    Published("sd15", "Hyper-SD15, unified LoRA", 1, 30.87, 5.79, 0.29, 0.215),
    Published("sdxl", "SDXL", 25, 33.16, 5.54, 0.87, 0.229),
    Published("sdxl", "LCM", 4, 32.43, 5.42, 0.48, 0.224),
    Published("sdxl", "TCD", 4, 32.45, 5.42, 0.67, 0.226),
    Published("sdxl", "Lightning", 4, 32.40, 5.63, 0.72, 0.229),
    Published("sdxl", "Hyper-SDXL, LoRA", 4, 32.56, 5.74, 0.93, 0.232),
    Published("sdxl", "Turbo", 1, 32.33, 5.33, 0.78, 0.228),
    Published("sdxl", "Lightning", 1, 32.17, 5.34, 0.54, 0.223),
    Published("sdxl", "Hyper-SDXL, UNet", 1, 32.85, 5.85, 1.19, 0.231),
)
