"""Data sets by name or folder. Describing one is free; loading needs no network, and only the feeds need torch.

`sources` knows what there is, `parts` what a data set is; `feeds` gives its parts to a training.
"""

from explorer.train.data.parts import Augmentation, Dataset, Files, Part, Source, Statistics
from explorer.train.data.sources import SOURCES, load, source

__all__ = ["SOURCES", "Augmentation", "Dataset", "Files", "Part", "Source", "Statistics", "load", "source"]
