"""Partitions, regions, hosts and ARNs against botocore's own resolution."""

from __future__ import annotations

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.targets.sns.endpoints import (
    Topic,
    parse_region,
    parse_topic,
    partitions,
    regions,
)


def test_regions__hosts_are_those_that_botocore_calls() -> None:
    session = botocore.session.Session()
    for region in regions().values():
        client = session.create_client(
            "sns", region_name=region.name, aws_access_key_id="key", aws_secret_access_key="secret"
        )
        assert client.meta.endpoint_url == f"https://{region.sns_host}"
        assert client.meta.partition == region.partition


def test_regions__hold_all_where_sns_is_known_to_be() -> None:
    session = botocore.session.Session()
    assert partitions() == set(session.get_available_partitions())
    for partition in partitions():
        assert set(session.get_available_regions("sns", partition)) <= regions().keys()


def test_regions__hold_nothing_that_is_none() -> None:
    assert not [name for name in regions() if "global" in name or "fips" in name]
    assert {"aws", "aws-cn", "aws-us-gov", "aws-iso"} <= partitions()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("eu-west-9", "did you mean eu-west-"),
        ("EU-WEST-1", "did you mean eu-west-1"),
        ("aws-global", "is not a region"),
        ("evil.example.com#", "give one like"),
        ("x" * 100_000, "give one like"),
        ("", "give one like"),
    ],
)
def test_parse_region__unknown(text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        parse_region(text)


@pytest.mark.parametrize(
    ("text", "region", "name"),
    [
        ("arn:aws:sns:us-east-1:123456789012:MyTopic", "us-east-1", "MyTopic"),
        ("arn:aws-cn:sns:cn-north-1:123456789012:a_b-c", "cn-north-1", "a_b-c"),
        ("arn:aws-us-gov:sns:us-gov-west-1:000000000000:t", "us-gov-west-1", "t"),
        ("arn:aws-iso:sns:us-iso-east-1:123456789012:t", "us-iso-east-1", "t"),
        ("arn:aws:sns:eu-west-1:123456789012:orders.fifo", "eu-west-1", "orders.fifo"),
        (f"arn:aws:sns:eu-west-1:123456789012:{'x' * 256}", "eu-west-1", "x" * 256),
    ],
)
def test_parse_topic__valid(text: str, region: str, name: str) -> None:
    topic = parse_topic(text)
    assert (topic.arn, topic.region, topic.name) == (text, region, name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is not the ARN"),
        ("my-topic", "is not the ARN"),
        ("arn:aws:sqs:us-east-1:123456789012:queue", "is not the ARN"),
        ("arn:aws:sns:us-east-1:12345678901:t", "account id that is not 12 digits"),
        ("arn:aws:sns:us-east-1:1234567890123:t", "account id that is not 12 digits"),
        ("arn:aws:sns:us-east-1:１２３４５６７８９０１２:t", "account id that is not 12 digits"),
        ("arn:aws:sns:us-east-1:123456789012:", "is not the ARN"),
        ("arn:aws:sns:us-east-1:123456789012:t:0000-subscription", "is the ARN of a subscription"),
        ("arn:aws:sns:us-east-1:123456789012:t.fifo.fifo", "is not the ARN"),
        ("arn:aws:sns:us-east-1:123456789012:t.other", "is not the ARN"),
        ("arn:aws:sns:us-east-1:123456789012:t\n", "line ends around the ARN"),
        (" arn:aws:sns:us-east-1:123456789012:t", "spaces or line ends around"),
        ("arn:aws:sns:evil.example.com/:123456789012:t", "is not the ARN"),
        ("arn:aws:sns:us-east-1@evil:123456789012:t", "is not the ARN"),
        ("arn:evil:sns:us-east-1:123456789012:t", "names a partition"),
        ("arn:aws:sns:cn-north-1:123456789012:t", "names a region that is not one of the partition aws;"),
        ("arn:aws:sns:eu-west-9:123456789012:t", "names a region"),
        ("arn:aws:sns:aws-global:123456789012:t", "names a region"),
        (f"arn:aws:sns:us-east-1:123456789012:{'x' * 257}", "more than 256"),
        (f"arn:aws:sns:us-east-1:123456789012:{'x' * 252}.fifo", "more than 256"),
    ],
)
def test_parse_topic__refused(text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        parse_topic(text)


@given(st.text() | st.from_regex(r"arn:aws(-cn)?:sns:[a-z0-9-]{0,20}:[0-9]{12}:[\w.-]{0,300}"))
def test_parse_topic__parses_or_says_what_is_wrong(text: str) -> None:
    try:
        topic = parse_topic(text)
    except ValueError:
        return
    assert isinstance(topic, Topic)
    parts = ("arn", topic.partition, "sns", topic.region, topic.account, topic.name)
    assert ":".join(parts) == text
    assert regions()[topic.region].partition == topic.partition
