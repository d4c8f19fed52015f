"""Networks of timm, smaller than any that it knows by name."""

from functools import partial

from timm.models import register_model
from timm.models.fastvit import FastVit, RepConditionalPosEnc
from timm.models.vision_transformer import VisionTransformer
from torch import nn

_SIZES = {"patch_size": 8, "img_size": 32, "embed_dim": 16, "depth": 2, "num_heads": 2}


@register_model
def tiny_fastvit(pretrained: bool = False, **options: object) -> nn.Module:
    """As fastvit_mci1: convolutions, and attention in the last stage."""
    return FastVit(
        layers=(1, 1, 1, 1),
        embed_dims=(8, 8, 16, 32),
        mlp_ratios=(2, 2, 2, 2),
        se_downsamples=(False, False, True, True),
        pos_embs=(None, None, None, partial(RepConditionalPosEnc, spatial_shape=(7, 7))),
        token_mixers=("repmixer", "repmixer", "repmixer", "attention"),
        lkc_use_act=True,
        **_known(options),
    )


@register_model
def tiny_vit_map(pretrained: bool = False, **options: object) -> nn.Module:
    """As vit_base_patch16_siglip_224: no class token, pooled by attention."""
    return VisionTransformer(**_SIZES, class_token=False, **{**_known(options), "global_pool": "map"})


@register_model
def tiny_vit(pretrained: bool = False, **options: object) -> nn.Module:
    """As vit_base_patch16_224: pooled by its class token."""
    network = VisionTransformer(**_SIZES, **_known(options))
    network.default_cfg = {}
    return network


def _known(options: dict[str, object]) -> dict[str, object]:
    """What the factory of timm adds for its own use left out."""
    return {
        key: value
        for key, value in options.items()
        if value is not None and key in ("num_classes", "global_pool", "drop_rate", "drop_path_rate")
    }
