"""The numbers that an encoder computes in. Not part of its fingerprint, but of what its vectors are."""

from typing import Literal

NumberFormat = Literal["fp32", "bf16", "int8"]


def vectors_name(fingerprint: str, number_format: NumberFormat) -> str:
    """What an encoder's vectors are kept under. Those in fp32 are the same whatever computed them."""
    return fingerprint if number_format == "fp32" else f"{fingerprint}-{number_format}"
