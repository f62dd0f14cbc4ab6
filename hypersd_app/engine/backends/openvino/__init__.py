"""The OpenVINO backend: networks converted once, compiled for static shapes, cached on disk."""
