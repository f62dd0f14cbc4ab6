"""The sticker autoencoder: any size from one set of latents, alpha, and latents of unit variance."""

import torch
from torch.nn import functional

from hypersd_app.models.sticker_autoencoder import AttentionBlock, StickerAutoencoder, premultiplied


def small() -> StickerAutoencoder:
    torch.manual_seed(0)
    return StickerAutoencoder(channels=(16, 16, 16), planes=3, attention_heads=2)


def test_one_set_of_latents_is_decoded_at_any_size():
    model = small().eval()
    with torch.no_grad():
        latents = model.latents(torch.randn(1, 4, 64, 64))
        small_image = model.decode(latents, return_dict=False)[0]
        large = model.decode(latents, return_dict=False, size=(256, 256))[0]
    assert small_image.shape == (1, 4, 64, 64) and large.shape == (1, 4, 256, 256)
    error = (functional.avg_pool2d(large, 4) - small_image).abs().mean()
    assert error < 0.1 * small_image.std(), "the same image, larger"


def test_every_pixel_is_a_mixture_of_the_planes_colours():
    model = small().eval()
    seen = {}
    model.decoder.colours.register_forward_hook(lambda *call: seen.update(colours=call[-1]))
    with torch.no_grad():
        image = model.decode(torch.randn(2, 16, 4, 4), return_dict=False)[0]
    colours = seen["colours"].unflatten(1, (3, 4)).amax((1, 3, 4)), seen["colours"].unflatten(1, (3, 4)).amin((1, 3, 4))
    assert (image.amax((2, 3)) <= colours[0] + 1e-5).all() and (image.amin((2, 3)) >= colours[1] - 1e-5).all()


def test_latents_have_unit_variance_whatever_the_encoder_puts_out():
    model = small().train()
    with torch.no_grad():
        model.encoder[-1].weight.mul_(1000)
        latents = model.latents(torch.randn(8, 4, 64, 64))
    assert latents.mean((0, 2, 3)).abs().max() < 1e-3 and (latents.std((0, 2, 3)) - 1).abs().max() < 0.05


def test_attention_begins_as_the_identity():
    x = torch.randn(1, 16, 4, 6)
    assert torch.equal(AttentionBlock(16, 2)(x), x)


def test_premultiplied_undoes_the_white_ground():
    rgb, alpha = torch.rand(1, 3, 5, 5), torch.rand(1, 1, 5, 5)
    on_white = rgb * alpha + 1 - alpha
    back, same_alpha = premultiplied(torch.cat([on_white, alpha], 1) * 2 - 1)
    assert torch.allclose(back, rgb * alpha, atol=1e-6) and torch.allclose(same_alpha, alpha)


def test_it_is_saved_and_loaded_with_its_statistics(tmp_path):
    model = small().train()
    with torch.no_grad():
        model.latents(torch.randn(4, 4, 32, 32))
    model.eval().save_pretrained(tmp_path)
    again = StickerAutoencoder.from_pretrained(tmp_path).eval()
    image = torch.randn(1, 4, 32, 32)
    with torch.no_grad():
        assert torch.equal(again(image), model(image))
