"""Parameters that are right, and the secret in them."""

from __future__ import annotations

from tests.support.factories import CANARY

SECRET = f"{CANARY}/wJalrXUtnFEMI"

SNS = {
    "name": "Wake up",
    "cron": "0 8 * * *",
    "sns_topic": "arn:aws:sns:eu-west-1:123456789012:reports",
    "sns_region": "eu-west-1",
    "sns_message": "good morning",
    "sns_access_key_id": "AKIAIOSFODNN7EXAMPLE",
    "sns_secret_access_key": SECRET,
}

AWS = {
    "name": "billing",
    "kind": "aws",
    "aws_access_key_id": "AKIAIOSFODNN7EXAMPLE",
    "aws_secret_access_key": SECRET,
}
"""A connection."""
WEB = {"name": "hooks", "kind": "http", "base_url": "https://1.1.1.1/in", "token": f"{CANARY}-token"}
"""Another one."""

HTTP = {
    "name": "Wake up",
    "cron": "0 8 * * *",
    "delivery_type": "http",
    "delivery_http_url": "https://1.1.1.1/in",
    "delivery_http_method": "post",
}
