"""Which partitions, regions and SNS hosts there are, and which topic ARNs name one of them.

Invariant: a host that Cronally calls for a tenant comes from AWS's own list. A region is looked up, never
pasted into a host name, so no ARN and no region parameter can lead a signed request elsewhere.

Source: the partitions file that botocore carries and its own endpoint rules read. It is 8 KB; the older
`endpoints.json` (1.2 MB) says nothing more about SNS.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Final

_ARN: Final = re.compile(r"arn:([a-z0-9-]+):sns:([a-z0-9-]+):([0-9]{12}):([A-Za-z0-9_-]+(?:\.fifo)?)")
# With .fifo: https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html
_MAX_NAME_LENGTH: Final = 256
_PHONE: Final = re.compile(r"\s*\+?[0-9][0-9 ()/.-]{5,20}\s*", re.ASCII)
# `aws-global` and its like stand for services without regions, and SNS has some.
_PSEUDO_REGION: Final = "-global"

_ARN_EXAMPLE: Final = "arn:aws:sns:eu-west-1:123456789012:my-topic"


@dataclass(frozen=True, slots=True)
class Region:
    """A region of AWS."""

    name: str
    partition: str
    sns_host: str


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic's ARN in parts."""

    arn: str
    partition: str
    region: str
    account: str
    name: str


@cache
def regions() -> Mapping[str, Region]:
    """Every region by its name. Read from disk at the first call (1 ms), then kept."""
    document = json.loads(files("botocore").joinpath("data/partitions.json").read_bytes())
    return {
        name: Region(name, partition["id"], f"sns.{name}.{partition['outputs']['dnsSuffix']}")
        for partition in document["partitions"]
        for name in partition["regions"]
        if not name.endswith(_PSEUDO_REGION)
    }


@cache
def partitions() -> frozenset[str]:
    """The names of the partitions: aws, aws-cn, aws-us-gov, ..."""
    return frozenset(region.partition for region in regions().values())


def parse_region(text: str) -> Region:
    """The region of this name. Raises ValueError with a sentence that says what to give."""
    region = regions().get(text)
    if region is None:
        near = get_close_matches(text[:40].strip().lower(), regions(), n=1)
        raise ValueError(
            f"is not a region of AWS; {f'did you mean {near[0]}?' if near else 'give one like eu-west-1'}"
        )
    return region


def parse_topic(text: str) -> Topic:
    """The topic that an ARN names.

    Raises ValueError with a sentence that says what to give, without repeating the text.
    """
    match = _ARN.fullmatch(text)
    if match is None:
        raise ValueError(_almost(text) or f"is not the ARN of an SNS topic; give one like {_ARN_EXAMPLE}")
    partition, region_name, account, name = match.groups()
    if partition not in partitions():
        raise ValueError(
            f"names a partition that AWS does not have; there are {', '.join(sorted(partitions()))}"
        )
    region = regions().get(region_name)
    if region is None or region.partition != partition:
        raise ValueError(
            f"names a region that is not one of the partition {partition}; copy the ARN from SNS"
        )
    if len(name) > _MAX_NAME_LENGTH:
        raise ValueError(f"names a topic of more than {_MAX_NAME_LENGTH} characters; copy the ARN from SNS")
    return Topic(text, partition, region_name, account, name)


def _almost(text: str) -> str | None:
    """What is wrong with a text that is nearly a topic's ARN: the end of a sentence that says what to do about it."""
    if _ARN.fullmatch(text.strip()):
        return "has spaces or line ends around the ARN; leave them out"
    if _PHONE.fullmatch(text):
        return (
            "is a phone number: keys that may send to one may send to all, at a price; subscribe it to a topic, and"
            " give the topic's ARN"
        )
    parts = text.split(":")
    if not text.startswith("arn:"):
        return None
    if parts[2:3] == ["sns"] and parts[5:] and parts[5].startswith(("endpoint/", "app/")):
        return (
            "is the ARN of a platform endpoint or application, which belongs to one device or app; subscribe the"
            " endpoint to a topic, and give the topic's ARN"
        )
    if parts[2:3] != ["sns"]:
        return f"is not the ARN of an SNS topic, but of something else; give one like {_ARN_EXAMPLE}"
    if len(parts) == 7 and _ARN.fullmatch(":".join(parts[:6])):
        return (
            "is the ARN of a subscription; leave out its last colon and what follows, and it is the topic's"
        )
    if len(parts) == 6 and not re.fullmatch("[0-9]{12}", parts[4], re.ASCII):
        return "has an account id that is not 12 digits; copy the ARN from SNS"
    return None
