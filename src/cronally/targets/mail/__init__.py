"""Mail, through the operator's SMTP server."""
