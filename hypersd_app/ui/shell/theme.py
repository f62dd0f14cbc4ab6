"""One calm theme: paper and ink, one accent, light and dark. System fonts, so that nothing is fetched."""

from __future__ import annotations

import gradio as gr
from gradio.themes.utils import colors, sizes

FONTS = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "monospace")


def calm_theme() -> gr.themes.Base:
    """The theme for `launch(theme=...)`; `static/studio.css` uses the same colours through Gradio's variables."""
    theme = gr.themes.Base(
        primary_hue=colors.teal,
        secondary_hue=colors.stone,
        neutral_hue=colors.stone,
        radius_size=sizes.radius_md,
        text_size=sizes.text_md,
        font=FONTS,
        font_mono=MONO,
    )
    return theme.set(
        body_background_fill="#f6f4f0",
        body_background_fill_dark="#171614",
        background_fill_primary="#fffefb",
        background_fill_primary_dark="#211f1c",
        background_fill_secondary="#f1eee8",
        background_fill_secondary_dark="#1c1a18",
        block_background_fill="#fffefb",
        block_background_fill_dark="#211f1c",
        block_border_color="#e5e0d6",
        block_border_color_dark="#35322d",
        border_color_primary="#e0dacf",
        border_color_primary_dark="#3a3731",
        block_border_width="1px",
        block_shadow="none",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        block_title_text_weight="500",
        block_title_text_color="#5c564c",
        block_title_text_color_dark="#b5aea2",
        input_background_fill="#ffffff",
        input_background_fill_dark="#191815",
        button_primary_background_fill="#0f766e",
        button_primary_background_fill_hover="#0d655e",
        button_primary_background_fill_dark="#117a71",
        button_primary_background_fill_hover_dark="#0f6d65",
        button_primary_text_color="#ffffff",
        button_large_text_weight="550",
        button_large_text_size="15px",
        button_secondary_background_fill="#fffefb",
        button_secondary_background_fill_dark="#211f1c",
        button_secondary_background_fill_hover="#f1eee8",
        button_secondary_background_fill_hover_dark="#2a2723",
        button_secondary_border_color="#e0dacf",
        button_secondary_border_color_dark="#3a3731",
        checkbox_background_color_selected="#0f766e",
        checkbox_background_color_selected_dark="#14867c",
        checkbox_border_color_selected="#0f766e",
        checkbox_border_color_selected_dark="#14867c",
        color_accent="#0f766e",
        input_border_color="#e0dacf",
        input_border_color_dark="#3a3731",
        input_border_width="1px",
        slider_color="#0f766e",
        slider_color_dark="#2aa79b",
    )
