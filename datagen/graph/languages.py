"""Codes of languages: ISO 639-1, as in the table of terms, from the three letters that UMLS and BIOS write."""

_ISO_639_1 = {
    "ARA": "ar", "BAQ": "eu", "CHI": "zh", "CHS": "zh", "CZE": "cs", "DAN": "da", "DUT": "nl", "ENG": "en",
    "EST": "et", "FIN": "fi", "FRE": "fr", "GER": "de", "GRE": "el", "HEB": "he", "HUN": "hu", "ITA": "it",
    "JPN": "ja", "KOR": "ko", "LAV": "lv", "NOR": "no", "POL": "pl", "POR": "pt", "RUS": "ru", "SCR": "hr",
    "SPA": "es", "SWE": "sv", "TUR": "tr", "UKR": "uk",
}  # fmt: skip


def iso_639_1(code: str) -> str:
    """`en` for `ENG`, `EN` or `en`; a code that is not known stays, in lower case."""
    return _ISO_639_1.get(code.upper(), code.lower())
