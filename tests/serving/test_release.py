import json
import shutil

import lance
import numpy as np
import pyarrow as pa
import pytest
from tiny_store import drawn, make_notes, release_of, write_store

from corpus.store import Store
from corpus.tables import N_BUCKETS, bucket_of
from serving.manifest import open_chunks, read_manifest
from serving.release import build_release, find_encoder, searchable_chunks
from serving.shard_files import load_shard


def random_vectors(texts):
    return np.random.default_rng(len(texts)).normal(size=(len(texts), 8))


@pytest.fixture(scope="module")
def built(tmp_path_factory, unused_encoder):
    folder, fingerprint = unused_encoder
    path = tmp_path_factory.mktemp("built")
    chunks = write_store(path / "store", make_notes(), fingerprint, random_vectors)
    release_of(path / "store", fingerprint, folder, path / "release", shards=3)
    return path, chunks


@pytest.fixture
def copy(built, tmp_path):
    return shutil.copytree(built[0] / "release", tmp_path / "release")


def test_shards_hold_every_chunk_once_in_patient_order_beside_its_own_vector(built):
    path, chunks = built
    manifest = read_manifest(path / "release")
    vector_of = {
        chunk["chunk_id"]: vector / np.linalg.norm(vector)
        for chunk, vector in zip(chunks, random_vectors(chunks), strict=True)
    }
    seen = []
    for number, shard in enumerate(manifest.shards):
        rows, index = load_shard(path / "release", number)
        assert 36 <= rows.num_rows <= 60, "24 patients of 6 chunks, about a third each"
        for row, (chunk_id, patient) in enumerate(
            zip(rows["chunk_id"].to_pylist(), rows["patient_id"].to_pylist(), strict=True)
        ):
            assert bucket_of(patient) in shard.buckets
            np.testing.assert_allclose(index.vectors[row], vector_of[chunk_id], rtol=1e-5)
        keys = list(zip(rows["bucket"].to_pylist(), rows["patient_id"].to_pylist(), strict=True))
        assert keys == sorted(keys)
        seen += rows["chunk_id"].to_pylist()
    assert sorted(seen) == sorted(vector_of)
    assert sorted(bucket for shard in manifest.shards for bucket in shard.buckets) == list(range(N_BUCKETS))


def test_row_ids_lead_to_the_chunks_in_the_store(built):
    path, _ = built
    manifest = read_manifest(path / "release")
    rows, _ = load_shard(path / "release", 0)
    chunks = lance.dataset(str(path / "store/chunks.lance"), version=manifest.chunks_version)
    some = rows["row_id"].to_pylist()[:3]
    found = chunks.to_table(filter=f"_rowid IN {tuple(some)}", columns=["text"], with_row_id=True)
    text_of = dict(zip(found["_rowid"].to_pylist(), found["text"].to_pylist(), strict=True))
    assert [text_of[row] for row in some] == rows["text"].to_pylist()[:3]


def test_a_store_version_that_is_gone_is_named(built):
    manifest = read_manifest(built[0] / "release").model_copy(update={"chunks_version": 99})
    with pytest.raises(ValueError, match="of version 2, the release is of 99"):
        open_chunks(manifest)


def test_a_store_written_anew_since_the_release_is_refused(built):
    manifest = read_manifest(built[0] / "release").model_copy(update={"store_id": "of an earlier writing"})
    with pytest.raises(ValueError, match="written anew since the release was built; rebuild the release"):
        open_chunks(manifest)


def test_a_store_that_was_removed_is_refused(built, tmp_path):
    manifest = read_manifest(built[0] / "release").model_copy(update={"store": str(tmp_path / "gone")})
    with pytest.raises(ValueError, match="the store of the release is not there"):
        open_chunks(manifest)


@pytest.mark.parametrize("patients", [0, 1])
def test_shards_may_be_empty(tmp_path, unused_encoder, patients):
    folder, fingerprint = unused_encoder
    vectors_of = lambda texts: np.ones((len(texts), 8))  # noqa: E731
    write_store(tmp_path / "store", make_notes(patients), fingerprint, vectors_of)
    release_of(tmp_path / "store", fingerprint, folder, tmp_path / "release", shards=2)
    shards = [load_shard(tmp_path / "release", number) for number in range(2)]
    assert sorted(rows.num_rows for rows, _ in shards) == [0, 6 * patients]
    assert all(shard.buckets for shard in read_manifest(tmp_path / "release").shards)


@pytest.mark.parametrize("fault", ["missing", "old version", "zero", "infinite"])
def test_a_chunk_without_a_usable_vector_is_an_error(tmp_path, unused_encoder, fault):
    folder, fingerprint = unused_encoder
    store, notes = tmp_path / "store", make_notes(2)
    bad = {"zero": 0.0, "infinite": np.inf}.get(fault, 1.0)
    vectors_of = lambda texts: np.vstack([np.full((1, 8), bad), np.ones((len(texts) - 1, 8))])  # noqa: E731
    chunks = write_store(store, notes, fingerprint, vectors_of)
    vectors = lance.dataset(str(store / f"vectors/{fingerprint}.lance"))
    if fault == "missing":
        vectors.delete(f"chunk_id = '{chunks[0]['chunk_id']}'")
    if fault == "old version":
        vectors.update({"version": "0"}, where=f"chunk_id = '{chunks[0]['chunk_id']}'")
    with pytest.raises(ValueError, match=f"1 chunks have no usable vector.*{chunks[0]['chunk_id']}"):
        release_of(store, fingerprint, folder, tmp_path / "release", shards=1)
    with pytest.raises(ValueError, match="not a finished release"):
        read_manifest(tmp_path / "release")


def test_another_encoder_is_refused_with_both_fingerprints(built, copy, unused_encoder, tmp_path):
    folder, fingerprint = unused_encoder
    with pytest.raises(ValueError, match=f"of encoder 0123456789abcdef, the encoder there is {fingerprint}"):
        release_of(built[0] / "store", "0123456789abcdef", folder, tmp_path / "other", shards=1)
    assert find_encoder(copy) == str(copy / "encoder")
    (copy / "encoder/tokenizer.json").write_text("{ }")
    with pytest.raises(ValueError, match=rf"of encoder {fingerprint}, the encoder there is \w{{16}}"):
        find_encoder(copy)


def test_a_store_that_was_not_encoded_is_refused(built, tmp_path):
    shutil.copytree(built[0] / "store", tmp_path / "store", ignore=shutil.ignore_patterns("vectors"))
    manifest = read_manifest(built[0] / "release")
    with pytest.raises(ValueError, match="encode the store"):
        release_of(
            tmp_path / "store",
            manifest.encoder_fingerprint,
            built[0] / "release/encoder",
            tmp_path / "release",
            shards=1,
        )


def test_vectors_in_another_number_format_are_not_taken(built, tmp_path):
    store, manifest = Store(built[0] / "store"), read_manifest(built[0] / "release")
    with pytest.raises(ValueError, match=f"{manifest.encoder_fingerprint}-int8.lance: not there; .* in int8 first"):
        in_int8(store, built[0], tmp_path / "release")


def test_vectors_of_each_number_format_lie_beside_each_other(copy, built, tmp_path):
    shutil.copytree(built[0] / "store", tmp_path / "store")
    store, manifest = Store(tmp_path / "store"), read_manifest(copy)
    fp32 = store.vectors(manifest.vectors_name).to_table()
    turned = -fp32["vector"].combine_chunks().flatten().to_numpy()
    column = pa.FixedSizeListArray.from_arrays(pa.array(turned), 8)
    store.begin_vectors(f"{manifest.encoder_fingerprint}-int8", 8)
    store.add_vectors(f"{manifest.encoder_fingerprint}-int8", fp32.set_column(2, "vector", column))
    in_int8(store, built[0], tmp_path / "in int8")
    assert read_manifest(tmp_path / "in int8").number_format == "int8"
    expected, found = load_shard(copy, 0)[1].vectors, load_shard(tmp_path / "in int8", 0)[1].vectors
    np.testing.assert_allclose(found[: len(found) // 4], -expected[: len(found) // 4], atol=1e-6)


def test_an_unknown_number_format_in_the_manifest_is_refused(copy):
    manifest = json.loads((copy / "release.json").read_text())
    (copy / "release.json").write_text(json.dumps(manifest | {"number_format": "int4"}))
    with pytest.raises(ValueError, match=r"release\.json: number_format: .*'fp32', 'bf16' or 'int8'"):
        read_manifest(copy)


def in_int8(store, path, output):
    fingerprint, encoder = read_manifest(path / "release").encoder_fingerprint, path / "release/encoder"
    build_release(store, searchable_chunks(store), fingerprint, encoder, drawn, output, 3, number_format="int8")


@pytest.mark.parametrize("name", ["rows.arrow", "vectors.npy"])
def test_a_changed_or_missing_file_is_named(copy, name):
    path = copy / "shard-1" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"shard-1/{name}: its SHA-256"):
        load_shard(copy, 1)
    path.unlink()
    with pytest.raises(ValueError, match=rf"shard-1/{name}: missing"):
        load_shard(copy, 1)


def test_a_wrong_row_count_or_an_unknown_key_in_the_manifest_is_named(copy):
    manifest = json.loads((copy / "release.json").read_text())
    manifest["shards"][0]["rows"] += 1
    (copy / "release.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="the manifest says"):
        load_shard(copy, 0)
    (copy / "release.json").write_text(json.dumps(manifest | {"colour": "red"}))
    with pytest.raises(ValueError, match=r"release\.json: colour"):
        read_manifest(copy)
