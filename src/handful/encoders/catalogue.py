"""The encoders that Handful knows by name, with what one needs to choose among them."""

from handful.encoders.catalogue_families import entries
from handful.encoders.entry import Entry as Entry

BUILTIN = Entry(
    name="builtin",
    title="EfficientNet-Lite2 + all-MiniLM-L6-v2",
    dimension=512,
    image_side=260,
    image_parameters=6_092_072,
    text_parameters=22_713_216,
    licence="Apache-2.0",
    file_bytes=38_000_000,
    imagenet_top1=77.6,
    imagenet_source="its publishers; of its classifier trained on ImageNet, not without a shot",
    zero_shot=False,
    trained_on="ImageNet-1k; a billion pairs of sentences",
    note="Inside the package, runs offline on any CPU; words work near ImageNet's 1,000 things only.",
    layout="package",
    checked="the shipped files",
)

CATALOGUE = {entry.name: entry for entry in (BUILTIN, *entries())}
