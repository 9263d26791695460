"""The contract: what crosses the wire, each attribute declared once.

A request is a typed dictionary, an answer is a frozen dataclass. Each attribute carries an `Attribute`: description,
limits, default, example, whether it is secret. From these declarations come validation and its messages (`reading`),
the JSON of answers (`writing`), the OpenAPI schemas (`schema`), the options of the CLI, the parameters and answer
types of the client, and the tables of the API reference.
"""
