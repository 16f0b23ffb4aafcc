import yaml

from encoders.encoder import Encoder
from encoders.model_card import MODEL_CARD, write_model_card


def test_the_card_says_what_the_encoder_is_made_of(tmp_path):
    encoder = Encoder.load("bundled")
    recipe = {"training": {"loss": "info_nce", "max_steps": 300}}
    data, licences = {"chunks": 19653, "steps": 300}, ["ATC is CC BY-NC-SA 4.0"]
    write_model_card(tmp_path, encoder, "bundled", data, {"dev NDCG@10": 0.61234}, recipe, licences)
    card = (tmp_path / MODEL_CARD).read_text()
    head, body = card.split("---\n")[1:]
    assert yaml.safe_load(head)["library_name"] == "sentence-transformers"
    for said in (encoder.fingerprint, "| chunks | 19,653 |", "| dev NDCG@10 | 0.6123 |", "- ATC is CC BY-NC-SA 4.0"):
        assert said in body
    assert yaml.safe_load(body.split("```yaml\n")[1].split("```")[0]) == recipe
    assert "trust_remote_code" not in body


def test_a_card_without_scores_has_no_table_of_them(tmp_path):
    write_model_card(tmp_path, Encoder.load("bundled"), "bundled", {"chunks": 1}, {}, {}, [])
    assert "Scores" not in (tmp_path / MODEL_CARD).read_text()
