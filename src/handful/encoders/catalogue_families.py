"""Families of CLIP-like models: figures of open_clip, papers and cards; nothing was downloaded for them."""

from collections.abc import Iterator
from dataclasses import dataclass

from handful.encoders.entry import Entry, Layout

_Facts = tuple[int, int, int, int]  # columns, pixels, parameters of the image and of the text tower

_RESULTS = "open_clip, docs/openclip_results.csv"
_COUNTED = "parameters counted in open_clip 3.3"
_IMMICH = "hub id in immich's list of models"
_XENOVA = "hub id in public code that uses it"

# Counted without weights, from open_clip's configurations.
_RN50: _Facts = (1024, 224, 38_316_896, 63_690_241)
_B32: _Facts = (512, 224, 87_849_216, 63_428_097)
_B16: _Facts = (512, 224, 86_192_640, 63_428_097)
_L14: _Facts = (768, 224, 303_966_208, 123_650_305)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Family:
    licence: str
    trained_on: str
    note: str
    source: str | None
    checked: str
    warning: str | None = None


@dataclass(frozen=True, slots=True)
class _Model:
    name: str
    title: str
    facts: tuple[int, int, int | None, int | None]
    top1: float | None
    export: str | None
    repository: str | None = None
    revision: str | None = None


_OPENAI = _Family(
    licence="MIT",
    trained_on="400 million pairs of the web (WIT)",
    note="The models that most papers compare with; OpenAI's card advises to test in the domain before use.",
    source=_RESULTS,
    checked=f"{_RESULTS}; {_COUNTED}; {_IMMICH}",
)
_LAION = _Family(
    licence="MIT",
    trained_on="LAION-2B",
    note="Open data and open weights; stronger than OpenAI's at the same size.",
    source=_RESULTS,
    checked=f"{_RESULTS}; {_COUNTED}; {_IMMICH}, where it is in it",
)
_DATACOMP = _Family(
    licence="MIT",
    trained_on="DataComp-1B",
    note="The most accurate of the plain CLIP shapes with an open licence.",
    source=_RESULTS,
    checked=f"{_RESULTS}; {_COUNTED}",
)
_SIGLIP = _Family(
    licence="Apache-2.0",
    trained_on="WebLI",
    note="Trained with a sigmoid: cosines are lower than CLIP's, rankings are better.",
    source=_RESULTS,
    checked=f"{_RESULTS}; {_COUNTED}; {_IMMICH}",
)
_SIGLIP2 = _Family(
    licence="Apache-2.0",
    trained_on="WebLI, many languages",
    note="Reads many languages; its text tower is large, since it knows 256,000 tokens.",
    source="big_vision, README_siglip2.md",
    checked=f"big_vision, README_siglip2.md; {_COUNTED}; hub id in immich's list, or in public code",
)
_RESEARCH = "Apple's licence for research models: not for commercial use; read LICENSE beside the weights"
_MOBILE = _Family(
    licence="apple-amlr",
    warning=_RESEARCH,
    trained_on="DataCompDR-1B",
    note="Made for phones: the fastest for its accuracy on a CPU.",
    source="apple/ml-mobileclip, README.md",
    checked=f"apple/ml-mobileclip, README.md; {_COUNTED}, S0 as rounded there; {_XENOVA}",
)
_MOBILE2 = _Family(
    licence="apple-amlr",
    warning=_RESEARCH,
    trained_on="DFNDR-2B",
    note="The successor of MobileCLIP in the same shapes.",
    source="MobileCLIP2 (2025), as cited by others",
    checked=f"figures of the paper as others cite them; {_COUNTED}",
)
_DFN = _Family(
    licence="apple-sample-code-license",
    warning="Apple's own licence, and its cards have changed: read LICENSE beside the weights before "
    "commercial use",
    trained_on="DFN-2B",
    note="CLIP's shapes on data that a network has filtered.",
    source=_RESULTS,
    checked=f"{_RESULTS}; {_COUNTED}; licence of a card of 2024",
)
_PE = _Family(
    licence="Apache-2.0",
    trained_on="5.4 billion pairs",
    note="Meta's Perception Encoder, the strongest open one of its sizes; texts of at most 32 tokens.",
    source="facebookresearch/perception_models, README.md",
    checked=f"facebookresearch/perception_models, README.md; {_COUNTED}",
)
_BIOMED = _Family(
    licence="MIT",
    warning="its card allows research only, and no use in care: any deployed use is out of its scope",
    trained_on="PMC-15M, figures of biomedical articles",
    note="For pictures of the clinic and the laboratory, in English; weak on everything else.",
    source=None,
    checked="its model card; parameters not counted, no figure for ImageNet is published",
)
_REMOTE = _Family(
    licence="not stated in its README",
    warning="no licence is stated in its README; ask its authors before commercial use",
    trained_on="pictures from satellites and drones",
    note="For pictures from above.",
    source=None,
    checked=f"its README; {_COUNTED} (CLIP's shapes); no figure for ImageNet is published",
)

_IMMICH_APP = "immich-app/"
_FAMILIES: tuple[tuple[_Family, tuple[_Model, ...]], ...] = (
    (
        _OPENAI,
        (
            _Model(
                "clip-rn50", "CLIP RN50", _RN50, 59.8, "RN50-quickgelu --pretrained openai", "RN50__openai"
            ),
            _Model(
                "clip-vit-b-32",
                "CLIP ViT-B/32",
                _B32,
                63.3,
                "ViT-B-32-quickgelu --pretrained openai",
                "ViT-B-32__openai",
            ),
            _Model(
                "clip-vit-b-16",
                "CLIP ViT-B/16",
                _B16,
                68.3,
                "ViT-B-16-quickgelu --pretrained openai",
                "ViT-B-16__openai",
            ),
            _Model(
                "clip-vit-l-14",
                "CLIP ViT-L/14",
                _L14,
                75.5,
                "ViT-L-14-quickgelu --pretrained openai",
                "ViT-L-14__openai",
                "9b27c6b49d2ff4957fa0b5a25521eee12f109543",
            ),
        ),
    ),
    (
        _LAION,
        (
            _Model(
                "laion2b-vit-b-32",
                "OpenCLIP ViT-B/32",
                _B32,
                66.6,
                "ViT-B-32 --pretrained laion2b_s34b_b79k",
                "ViT-B-32__laion2b-s34b-b79k",
            ),
            _Model(
                "laion2b-vit-b-16", "OpenCLIP ViT-B/16", _B16, 70.2, "ViT-B-16 --pretrained laion2b_s34b_b88k"
            ),
            _Model(
                "laion2b-vit-l-14",
                "OpenCLIP ViT-L/14",
                _L14,
                75.3,
                "ViT-L-14 --pretrained laion2b_s32b_b82k",
                "ViT-L-14__laion2b-s32b-b82k",
            ),
        ),
    ),
    (
        _DATACOMP,
        tuple(
            _Model(f"datacomp-{name.lower()}", f"DataComp {title}", facts, top1, f"{name} --pretrained {tag}")
            for name, title, facts, top1, tag in (
                ("ViT-B-32", "ViT-B/32", _B32, 69.2, "datacomp_xl_s13b_b90k"),
                ("ViT-B-16", "ViT-B/16", _B16, 73.5, "datacomp_xl_s13b_b90k"),
                ("ViT-L-14", "ViT-L/14", _L14, 79.2, "datacomp_xl_s13b_b90k"),
            )
        ),
    ),
    (
        _SIGLIP,
        (
            _Model(
                "siglip-vit-b-16",
                "SigLIP B/16",
                (768, 224, 92_884_224, 110_271_746),
                76.0,
                "ViT-B-16-SigLIP --pretrained webli",
                "ViT-B-16-SigLIP__webli",
            ),
            _Model(
                "siglip-so400m-14-384",
                "SigLIP So400m/14, 384 px",
                (1152, 384, 428_225_600, 449_734_898),
                83.1,
                "ViT-SO400M-14-SigLIP-384 --pretrained webli",
                "ViT-SO400M-14-SigLIP-384__webli",
            ),
        ),
    ),
    (
        _SIGLIP2,
        (
            _Model(
                "siglip2-vit-b-16",
                "SigLIP 2 B/16",
                (768, 224, 92_884_224, 282_303_746),
                78.2,
                "ViT-B-16-SigLIP2 --pretrained webli",
                "onnx-community/siglip2-base-patch16-224-ONNX",
                "ba1f3b0843f24bc5417d38e19c37b287d719b2f4",
            ),
            _Model(
                "siglip2-so400m-16-384",
                "SigLIP 2 So400m/16, 384 px",
                (1152, 384, 428_256_704, 707_782_898),
                84.1,
                "ViT-SO400M-16-SigLIP2-384 --pretrained webli",
                "ViT-SO400M-16-SigLIP2-384__webli",
            ),
        ),
    ),
    (
        _MOBILE,
        (
            _Model(
                "mobileclip-s0",
                "MobileCLIP-S0",
                (512, 256, 11_400_000, 42_400_000),
                67.8,
                None,
                "Xenova/mobileclip_s0",
            ),
            _Model(
                "mobileclip-s1",
                "MobileCLIP-S1",
                (512, 256, 21_541_632, 63_428_097),
                72.6,
                "MobileCLIP-S1 --pretrained datacompdr",
                "Xenova/mobileclip_s1",
                "48c0a9f89ff272544d1f2595483011a183fd1a52",
            ),
            _Model(
                "mobileclip-s2",
                "MobileCLIP-S2",
                (512, 256, 35_815_232, 63_428_097),
                74.4,
                "MobileCLIP-S2 --pretrained datacompdr",
                "Xenova/mobileclip_s2",
            ),
        ),
    ),
    (
        _MOBILE2,
        tuple(
            _Model(
                f"mobileclip2-{size.lower()}",
                f"MobileCLIP2-{size}",
                facts,
                top1,
                f"{name} --pretrained dfndr2b",
            )
            for size, name, facts, top1 in (
                ("S0", "MobileCLIP2-S0", (512, 256, 11_406_976, 63_428_097), 71.5),
                ("S2", "MobileCLIP2-S2", (512, 256, 35_815_232, 63_428_097), 77.2),
                ("B", "MobileCLIP2-B", (512, 224, 86_349_056, 63_428_097), 79.4),
            )
        ),
    ),
    (
        _DFN,
        (
            _Model("dfn-vit-b-16", "DFN ViT-B/16", _B16, 76.2, "ViT-B-16-quickgelu --pretrained dfn2b"),
            _Model(
                "dfn-vit-l-14",
                "DFN ViT-L/14",
                _L14,
                81.4,
                "ViT-L-14-quickgelu --pretrained dfn2b",
                "ViT-L-14-quickgelu__dfn2b",
            ),
        ),
    ),
    (
        _PE,
        tuple(
            _Model(
                f"pe-core-{name.lower()}",
                f"PE-Core {title}",
                facts,
                top1,
                f"PE-Core-{name} --pretrained meta",
            )
            for name, title, facts, top1 in (
                ("T-16-384", "T/16, 384 px", (512, 384, 6_141_056, 63_405_057), 62.1),
                ("S-16-384", "S/16, 384 px", (512, 384, 23_783_168, 63_405_057), 72.7),
                ("B-16", "B/16", (1024, 224, 93_673_984, 353_986_561), 78.4),
                ("L-14-336", "L/14, 336 px", (1024, 336, 317_152_256, 353_986_561), 83.5),
            )
        ),
    ),
    (
        _BIOMED,
        (
            _Model(
                "biomedclip",
                "BiomedCLIP ViT-B/16 + PubMedBERT",
                (512, 224, None, None),
                None,
                "hf-hub:microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224",
            ),
        ),
    ),
    (
        _REMOTE,
        (
            _Model(
                "remoteclip-vit-b-32",
                "RemoteCLIP ViT-B/32",
                _B32,
                None,
                "ViT-B-32 --pretrained RemoteCLIP-ViT-B-32.pt",
            ),
            _Model(
                "remoteclip-vit-l-14",
                "RemoteCLIP ViT-L/14",
                _L14,
                None,
                "ViT-L-14 --pretrained RemoteCLIP-ViT-L-14.pt",
            ),
        ),
    ),
)


def entries() -> Iterator[Entry]:
    """One of the catalogue for each model."""
    for family, models in _FAMILIES:
        for model in models:
            dimension, side, image, text = model.facts
            repository = model.repository
            if repository is not None and "/" not in repository:
                repository = _IMMICH_APP + repository
            yield Entry(
                name=model.name,
                title=model.title,
                dimension=dimension,
                image_side=side,
                image_parameters=image,
                text_parameters=text,
                licence=family.licence,
                warning=family.warning,
                imagenet_top1=model.top1,
                imagenet_source=family.source if model.top1 is not None else None,
                trained_on=family.trained_on,
                note=family.note,
                repository=repository,
                revision=model.revision,
                layout=None if repository is None else _layout(repository),
                export=model.export,
                checked=family.checked,
            )


def _layout(repository: str) -> Layout:
    return "immich" if repository.startswith(_IMMICH_APP) else "transformers.js"
