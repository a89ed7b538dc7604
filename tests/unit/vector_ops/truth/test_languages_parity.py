"""A bounded sample of `tests/benchmarks/parity.py`: random edits of small programs in the languages of full depth."""

import random
from pathlib import Path

import pytest

from tests.benchmarks.parity import check

PROGRAMS = {
    "python": {
        "shop/__init__.py": "from .models import Item as Thing\nfrom . import views\n",
        "shop/models.py": (
            "from shop.base import Base\n\n\nclass Item(Base):\n    owner: 'Person'\n\n    def price(self):\n"
            "        return self.total()\n\n    def owned(self) -> 'Person':\n        return self.owner\n\n\n"
            "class Person(Base):\n    def name(self):\n        return self.label()\n"
        ),
        "shop/base.py": (
            "class Base:\n    def total(self):\n        return 1\n\n    def label(self):\n        return ''\n"
        ),
        "shop/views.py": (
            "from shop import Thing\nfrom .models import *\n\n\ndef show(item: Item):\n    item.price()\n"
            "    return item.owned().name()\n\n\ndef make():\n    return show(Thing())\n"
        ),
        "tests/test_views.py": (
            "from shop import views\n\n\ndef test_show():\n    assert views.make() or views.show(None)\n"
        ),
    },
    "typescript": {
        "src/models.ts": (
            "import { Base } from './base';\nexport class Item extends Base {\n  owner: Person;\n"
            "  price() { return this.total(); }\n  owned(): Person { return this.owner; }\n}\n"
            "export class Person extends Base { name() { return this.label(); } }\n"
        ),
        "src/base.ts": "export class Base {\n  total() { return 1; }\n  label() { return ''; }\n}\n",
        "src/index.ts": "export * from './models';\nexport { Base as Root } from './base';\n",
        "src/views.tsx": (
            "import { Item, Root } from '.';\nexport function show(item: Item) {\n  item.price();\n"
            "  return item.owned().name();\n}\nexport const make = () => show(new Item());\nnew Root().total();\n"
        ),
        "test/views.test.ts": "import { make } from '../src/views';\nmake();\n",
    },
    "rust": {
        "Cargo.toml": '[package]\nname = "shop"\n',
        "src/lib.rs": "pub mod base;\npub mod models;\npub mod views;\npub use models::Item;\n",
        "src/base.rs": "pub trait Base {\n    fn total(&self) -> u32 { 1 }\n    fn label(&self) -> u32;\n}\n",
        "src/models.rs": (
            "use crate::base::Base;\npub struct Item { pub owner: Person }\npub struct Person;\n"
            "impl Item {\n    pub fn new() -> Self { Item { owner: Person } }\n"
            "    pub fn price(&self) -> u32 { self.total() }\n}\n"
            "impl Base for Item {\n    fn label(&self) -> u32 { self.owner.name() }\n}\n"
            "impl Person {\n    pub fn name(&self) -> u32 { 2 }\n}\n"
        ),
        "src/views.rs": (
            "use crate::{base::Base, Item};\npub fn show(item: &Item) -> u32 { item.price() + item.label() }\n"
            "pub fn make() -> u32 { show(&Item::new()) }\n"
        ),
    },
    "go": {
        "go.mod": "module example.org/shop\n",
        "base/base.go": (
            "package base\n\ntype Base struct{}\n\nfunc (b Base) Total() int { return 1 }\n\n"
            "func Label() int { return 2 }\n"
        ),
        "models/item.go": (
            'package models\n\nimport "example.org/shop/base"\n\ntype Item struct {\n\tbase.Base\n\tOwner Person\n}\n\n'
            "func NewItem() *Item { return &Item{} }\n\n"
            "func (i *Item) Price() int { return i.Total() + i.Owner.Name() }\n"
        ),
        "models/person.go": (
            'package models\n\nimport "example.org/shop/base"\n\ntype Person struct{}\n\n'
            "func (p Person) Name() int { return base.Label() }\n"
        ),
        "views/views.go": (
            'package views\n\nimport "example.org/shop/models"\n\n'
            "func Show(i *models.Item) int { return i.Price() }\n\n"
            "func Make() int { return Show(models.NewItem()) }\n"
        ),
    },
}
WORDS = [
    "Item",
    "Person",
    "Base",
    "total",
    "label",
    "price",
    "name",
    "show",
    "make",
    "Total",
    "Price",
    "Show",
    "models",
]
COMMITS = 9


def edit_text(draw, text):
    """Swap a word, or drop, repeat or move a line."""
    lines = text.splitlines(keepends=True) or ["\n"]
    at, other = draw.randrange(len(lines)), draw.randrange(len(lines))
    kind = draw.choice(["word", "word", "drop", "repeat", "move", "blank"])
    if kind == "word":
        found = [word for word in WORDS if word in lines[at]] or WORDS[:1]
        lines[at] = lines[at].replace(draw.choice(found), draw.choice(WORDS))
    elif kind == "drop":
        lines.pop(at)
    elif kind == "blank":
        lines.insert(at, "\n")
    else:
        lines.insert(other, lines[at] if kind == "repeat" else lines.pop(at))
    return "".join(lines)


def edit_files(draw, files, program):
    """Change a few files; now and then one goes, comes back, or moves."""
    for _ in range(draw.randrange(1, 3)):
        path = draw.choice(sorted(program))
        if path not in files:
            files[path] = program[path]
        elif draw.random() < 0.15:
            moved = files.pop(path)
            folder = Path(draw.choice(sorted(program))).parent
            if draw.random() < 0.5:
                files[str(folder / Path(path).name)] = moved
        else:
            files[path] = edit_text(draw, files[path])


@pytest.mark.parametrize("language", PROGRAMS)
def test_index_kept_by_increments_equals_a_clean_build(tmp_path, tree, language):
    draw, program = random.Random(7), PROGRAMS[language]
    files = dict(program)
    tree.commit(files)
    for _ in range(COMMITS):
        before = set(files)
        edit_files(draw, files, program)
        tree.remove(*(path for path in before - files.keys() if (tree.root / path).exists()))
        tree.commit(files)
    tally = check(str(tree.root), {language}, COMMITS, 1, tmp_path)
    assert tally.differences == []
    assert (tally.commits, tally.compared) == (COMMITS + 1, COMMITS + 1)
    assert tally.resolved > tally.parsed
