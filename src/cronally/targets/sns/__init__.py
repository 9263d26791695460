"""The target `sns`: AWS SNS topics, with the keys of the IAM user of each cron job."""
