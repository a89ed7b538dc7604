"""One index over a small repository in four languages, shared by the tests that only ask."""

import pytest

from services.kernel.clock import SystemClock
from services.vector_ops.models import IndexQuery, QueryKind
from services.vector_ops.shelf import open_vector_ops
from tests.fakes.sources import SourceTree

PYTHON = {
    "shop/__init__.py": "from shop.cart import Cart as Basket\nfrom shop.pricing import total\n",
    "shop/base.py": '''\
class Holder:
    """Holds things that have a price."""

    def add(self, item):
        """Put one more thing in."""
        self.items.append(item)
        return item

    def clear(self):
        self.items = []
''',
    "shop/cart.py": '''\
from shop.base import Holder
from shop.pricing import total

LIMIT = 10


class Cart(Holder):
    """A shopping cart."""

    def __init__(self, owner):
        self.owner = owner
        self.items = []

    def add(self, item):
        if len(self.items) >= LIMIT:
            raise CartFullError(item)
        return super().add(item)

    def sum(self):
        """Return the price of everything in the cart."""
        return total(self.items)


class CartFullError(Exception):
    """There is no room."""
''',
    "shop/pricing.py": '''\
def total(items):
    """Add up the prices of items, with the discount taken off."""
    return sum(discounted(item) for item in items)


def discounted(item):
    """Take the discount of a loyal customer off a price."""
    rate = 0.9 if item.is_loyal else 1.0

    def round_price(price):
        return round(price, 2)

    return round_price(item.price * rate)
''',
    "shop/checkout.py": '''\
from shop.cart import Cart
from shop.base import Holder


def check_out(cart: Cart):
    """Pay for a cart."""
    print(cart.sum())
    cart.clear()


def start(owner):
    return Cart(owner)


def fill(holder: Holder, things):
    for thing in things:
        holder.add(thing)
''',
    "examples/demo.py": "from shop.cart import Cart\n\n\ndef demo():\n    return Cart('me').sum()\n",
    "tests/test_cart.py": """\
from shop.cart import Cart


class Item:
    price = 2
    is_loyal = True


def test_sum():
    cart = Cart("me")
    cart.add(Item())
    assert cart.sum() == 1.8
""",
}
GO = {
    "go.mod": "module example.org/acme/depot\n\ngo 1.22\n",
    "depot.go": """\
package depot

// Depot keeps parcels.
type Depot struct {
	parcels []string
}

// Store puts a parcel away.
func (d *Depot) Store(parcel string) int {
	d.parcels = append(d.parcels, parcel)
	return len(d.parcels)
}

// Open makes an empty depot.
func Open() *Depot {
	return &Depot{}
}
""",
    "labels/labels.go": "package labels\n\n// Print writes a label.\nfunc Print(text string) {\n}\n",
}
RUST = {
    "Cargo.toml": '[package]\nname = "rail-road"\nversion = "0.1.0"\n',
    "src/lib.rs": "pub mod train;\n",
    "src/train.rs": """\
pub trait Moves {
    fn travel(&self) -> u32;
}

pub struct Train<T> {
    load: T,
}

impl<T> Train<T> {
    pub fn couple(&self) -> u32 {
        1
    }
}

impl<T> Moves for Train<T> {
    fn travel(&self) -> u32 {
        self.couple()
    }
}

#[cfg(test)]
mod tests {
    fn helper_of_the_tests() {}
}
""",
}
TYPESCRIPT = {
    "web/trie-router/index.ts": """\
export class TrieRouter {
  #nodes: string[] = []

  match(path: string): boolean {
    return this.#has(path)
  }

  #has(path: string): boolean {
    return this.#nodes.includes(path)
  }
}

export default function makeRouter() {
  return new TrieRouter()
}
""",
    "web/trie-router/index.test.ts": """\
import { TrieRouter } from './index'

describe('TrieRouter', () => {
  it('matches a known path', () => {
    new TrieRouter().match('/')
  })
})
""",
}
REPOSITORY = {**PYTHON, **GO, **RUST, **TYPESCRIPT, "README.md": "# A shop\n\nCarts, depots and trains.\n"}


class Asker:
    """Asks the service about one repository, in the present thread."""

    def __init__(self, service, root):
        self.service = service
        self.repo = str(root)

    def ask(self, kind, text="", **given):
        return self.service.query_now(IndexQuery(repo=self.repo, kind=QueryKind(kind), text=text, **given))

    def places(self, kind, text, **given):
        return [f"{hit.path}:{hit.line}" for hit in self.ask(kind, text, **given).hits]


@pytest.fixture(scope="package")
def shop(tmp_path_factory):
    """Return an asker over the repository, with its vectors computed."""
    folder = tmp_path_factory.mktemp("answers")
    tree = SourceTree(folder / "repo")
    tree.commit(REPOSITORY)
    parts = open_vector_ops(folder / "index", SystemClock())
    asker = Asker(parts.service, tree.root)
    parts.service.refresh_now(asker.repo)
    parts.service.tend_now(asker.repo)
    yield asker
    parts.close()
