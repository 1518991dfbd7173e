"""What the converters can be told."""

from dataclasses import dataclass

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options.option import Options, option


@dataclass(frozen=True)
class RecordSetOptions(Options):
    """The record set that is written."""

    output_dir: str = option("", "folder of the record set; made if need be")
    set_name: str = option("", "first part of the shards' names; default: the folder's name")
    num_shards: int = option(
        16, "shards to write; fewer where there are fewer images", minimum=1, maximum=99999
    )
    classes: str = option(
        "default",
        "class list: default (VOC's 20, or the JSON's own), auto (every name found, sorted), a "
        "file with a name a line, or another set's manifest.json",
    )
    shuffle_seed: int = option(0, "seed of the order of the records", minimum=0)
    overwrite: bool = option(
        False, "replace a record set that is already in --output_dir, once the new one is whole"
    )

    def __post_init__(self):
        super().__post_init__()
        if "/" in self.set_name or "\\" in self.set_name:
            raise InputError(f"--set_name={self.set_name}: must be a name, not a path")
