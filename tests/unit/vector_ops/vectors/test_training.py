import importlib.util
import sys
from pathlib import Path

import numpy as np
import pygit2
import pytest
from scipy import sparse

from services.vector_ops.lexical.terms import hash_text
from services.vector_ops.vectors.table import read_table

SCRIPTS = Path(__file__).parents[4] / "scripts"


def load_script(name):
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


TRAIN, MINE = load_script("train_static_vectors"), load_script("mine_static_pairs")
TOPICS = {
    "mail": ("send letter somebody", "smtp deliver recipient envelope"),
    "file": ("throw away folder", "unlink rmdir scandir entry"),
    "math": ("biggest number size", "absolute magnitude sqrt norm"),
    "time": ("tell today date", "datetime calendar utc timestamp"),
}


def bags(rows, columns=12, seed=0):
    chance = np.random.default_rng(seed)
    return sparse.csr_array(
        (chance.random((rows, columns)) * (chance.random((rows, columns)) < 0.5)).astype(np.float64)
    )


def test_gradient_is_that_of_differences():
    rows = np.random.default_rng(5).normal(size=(12, 4))
    query, code, ids = bags(6, seed=1), bags(6, seed=2), np.array([0, 1, 2, 3, 3, 4])
    _loss, gradient, touched = TRAIN.find_gradient(rows, query, code, ids)
    for at, row in enumerate(touched.tolist()):
        for column in range(4):
            nudged = [rows.copy(), rows.copy()]
            nudged[0][row, column] += 1e-5
            nudged[1][row, column] -= 1e-5
            up, down = (TRAIN.find_gradient(one, query, code, ids)[0] for one in nudged)
            assert gradient[at, column] == pytest.approx((up - down) / 2e-5, abs=1e-5)


def write_pairs(folder):
    """Write three repositories of made-up pairs: words of a topic beside code of the same topic."""
    chance = np.random.default_rng(7)
    for repository in range(3):
        pairs = []
        for _ in range(300):
            topic = chance.choice(list(TOPICS))
            words, code = (chance.permutation(one.split()) for one in TOPICS[topic])
            pairs.append(MINE.Pair(" ".join(words[:3]), " ".join(code[:3]), "", "", "src/x.py", is_commit=False))
        MINE.save_pairs(folder / f"r{repository}.npz", pairs)


def train(pairs, out, monkeypatch, epochs):
    monkeypatch.setattr(TRAIN, "BLOCK_PAIRS", 32)
    monkeypatch.setattr(TRAIN, "BLOCKS", 2)
    arguments = ["train", str(pairs), str(out), "--epochs", str(epochs), "--dimension", "16"]
    monkeypatch.setattr(sys, "argv", arguments)
    TRAIN.main()
    return read_table(out)


def test_training_brings_words_near_to_the_code_that_they_are_written_beside(tmp_path, monkeypatch):
    (tmp_path / "pairs").mkdir()
    write_pairs(tmp_path / "pairs")
    table = train(tmp_path / "pairs", tmp_path / "table.npz", monkeypatch, epochs=10)

    def embed(text):
        rows, known = table.find_rows(hash_text(text))
        vector = table.decode(rows[known]).sum(axis=0)
        return vector / np.linalg.norm(vector)

    codes = np.stack([embed(code) for _words, code in TOPICS.values()])
    for at, (words, _code) in enumerate(TOPICS.values()):
        assert int((codes @ embed(words)).argmax()) == at


def test_training_twice_gives_the_same_table(tmp_path, monkeypatch):
    (tmp_path / "pairs").mkdir()
    write_pairs(tmp_path / "pairs")
    one, two = (train(tmp_path / "pairs", tmp_path / f"{name}.npz", monkeypatch, epochs=2) for name in "ab")
    assert (one.codes == two.codes).all()
    assert one.digest == two.digest


def commit(repository, files, message, parents):
    builder = repository.TreeBuilder()
    for name, text in files.items():
        builder.insert(name, repository.create_blob(text.encode()), pygit2.enums.FileMode.BLOB)
    author = pygit2.Signature("A", "a@example.org", 1_700_000_000, 0)
    return repository.create_commit("refs/heads/main", author, author, message, builder.write(), parents)


PYTHON = (
    "class Cart:\n    def add_item(self, item, count):\n"
    '        """Put some pieces of an item into the cart. More.\n\n        Args:\n            item: it\n        """\n'
    "        for piece in range(count):\n            self.pieces.append(item)\n        return self.total(item)\n"
)
GO = (
    "package shop\n\n// CloseShop locks every door of the shop for the night.\nfunc CloseShop(doors []Door) error {\n"
    "\tfor _, door := range doors {\n\t\tdoor.Lock()\n\t}\n\treturn nil\n}\n"
)
RUST = (
    "/// Counts how many coins the till holds today.\n#[inline]\npub fn count_coins(till: &Till) -> usize {\n"
    "    till.coins.iter().filter(|coin| coin.is_valid()).count()\n}\n"
)
TYPESCRIPT = (
    "/**\n * Prints the price label of a product.\n * @param product it\n */\n"
    "export function printLabel(product: Product): void {\n  printer.print(product.price.toString());\n}\n"
)


def test_pairs_are_doc_comments_with_their_functions_and_messages_with_the_lines_they_replaced(tmp_path):
    repository = pygit2.init_repository(str(tmp_path), bare=True, initial_head="main")
    files = {"cart.py": PYTHON, "shop.go": GO, "till.rs": RUST, "label.ts": TYPESCRIPT}
    first = commit(repository, files, "Open the shop", [])
    changed = PYTHON.replace("range(count)", "range(abs(count))")
    commit(repository, files | {"cart.py": changed}, "Accept negative counts of pieces (#12)", [first])

    class Always:
        def random(self):
            return 0.9

        def sample(self, found, count):
            return found[:count]

        def shuffle(self, found):
            found.sort()

    docs = {pair.path: pair for pair in MINE.mine_docs(repository, Always())}
    assert {path: (pair.query, pair.own) for path, pair in docs.items()} == {
        "cart.py": ("Put some pieces of an item into the cart.", "add_item"),
        "shop.go": ("CloseShop locks every door of the shop for the night.", "CloseShop"),
        "till.rs": ("Counts how many coins the till holds today.", "count_coins"),
        "label.ts": ("Prints the price label of a product.", "printLabel"),
    }
    assert docs["cart.py"].owner.strip() == "Cart"
    assert "Put some" not in docs["cart.py"].code
    assert "self.pieces.append(item)" in docs["cart.py"].code
    (pair,) = MINE.mine_commits(str(tmp_path), 10, Always())
    assert pair.query.strip() == "Accept negative counts of pieces"
    assert "range(count)" in pair.code
    assert "abs" not in pair.code
