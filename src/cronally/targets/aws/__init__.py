"""Calling operations of AWS: any that botocore describes, and those of a few services by parameters of their own."""
