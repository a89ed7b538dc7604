import numpy as np
import pytest

from services.vector_ops.vectors.nearest import Nearest, NearestError


def make_vectors(count, dimension=16, seed=1):
    vectors = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_nearest_are_those_of_exact_arithmetic():
    vectors = make_vectors(300)
    nearest = Nearest(16)
    nearest.add(np.arange(1000, 1300), vectors)
    for query in make_vectors(20, seed=2):
        exact = np.sort(vectors @ query)[::-1][:5]
        found = nearest.find(query, 5)
        assert [score for _one, score in found] == pytest.approx(exact.tolist(), abs=2e-3)
        assert [float(vectors[one - 1000] @ query) for one, _score in found] == pytest.approx(exact.tolist(), abs=2e-3)


def test_removed_ids_are_not_found_and_the_others_keep_their_vector():
    vectors = make_vectors(50)
    nearest = Nearest(16)
    nearest.add(np.arange(50), vectors)
    nearest.remove(np.arange(0, 50, 2))
    assert len(nearest) == 25
    for at in range(50):
        found = nearest.find(vectors[at], 1)[0]
        assert (found[0] == at) == bool(at % 2)


def test_many_vectors_move_into_clusters_and_stay_findable():
    vectors = make_vectors(600)
    nearest = Nearest(16, flat_limit=500)
    nearest.add(np.arange(600) + 7, vectors)
    nearest.settle()
    assert nearest.is_clustered
    assert sum(nearest.find(vectors[at], 1)[0][0] == at + 7 for at in range(600)) == 600
    nearest.remove(np.arange(7, 107))
    nearest.add(np.arange(2000, 2050), make_vectors(50, seed=9))
    assert len(nearest) == 550
    assert nearest.find(make_vectors(50, seed=9)[3], 1)[0][0] == 2003
    assert all(one >= 107 for one, _score in nearest.find(vectors[0], 20))


def test_few_vectors_stay_flat():
    nearest = Nearest(16, flat_limit=500)
    nearest.add(np.arange(500), make_vectors(500))
    nearest.settle()
    assert not nearest.is_clustered


@pytest.mark.parametrize("limit", [10, 1000])
def test_written_vectors_are_read_as_they_were(tmp_path, limit):
    vectors = make_vectors(200)
    nearest = Nearest(16, flat_limit=limit)
    nearest.add(np.arange(200), vectors)
    nearest.settle()
    nearest.write(tmp_path / "v.faiss")
    other = Nearest(16)
    other.read(tmp_path / "v.faiss", 200)
    assert other.is_clustered == nearest.is_clustered
    assert other.find(vectors[3], 4) == nearest.find(vectors[3], 4)
    other.remove(np.array([3]))
    assert other.find(vectors[3], 1)[0][0] != 3


def test_a_file_of_another_dimension_or_number_is_refused(tmp_path):
    nearest = Nearest(16)
    nearest.add(np.arange(5), make_vectors(5))
    nearest.write(tmp_path / "v.faiss")
    with pytest.raises(NearestError, match="another kind"):
        Nearest(8).read(tmp_path / "v.faiss", 5)
    with pytest.raises(NearestError, match="5 vectors, not 6"):
        Nearest(16).read(tmp_path / "v.faiss", 6)
    (tmp_path / "v.faiss").write_bytes((tmp_path / "v.faiss").read_bytes()[:60])
    with pytest.raises(NearestError, match="cannot be read"):
        Nearest(16).read(tmp_path / "v.faiss", 5)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    nearest = Nearest(16)
    nearest.write(tmp_path / "v.faiss")
    before = (tmp_path / "v.faiss").read_bytes()
    (tmp_path / "folder.faiss").mkdir()
    with pytest.raises(OSError, match="folder"):
        nearest.write(tmp_path / "folder.faiss")
    with pytest.raises(OSError, match="cannot be written"):
        nearest.write(tmp_path / "absent" / "v.faiss")
    assert (tmp_path / "v.faiss").read_bytes() == before
    assert not list(tmp_path.glob("*.tmp"))
