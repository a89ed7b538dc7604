"""A view of a few files in memory: real documents of real texts, functions found by their `def` lines."""

import hashlib
import re

from services.vector_ops.core.view import FileRow, SymbolRow
from services.vector_ops.languages.facts import FileFacts, Symbol
from services.vector_ops.lexical.documents import encode_document

_DEF = re.compile(r"def (\w+)")

FILES = {
    "shop/cart.py": "def add_item(cart, item):\n    cart.items.append(item)\n"
    "    cart.total += item.price\n    return cart\n",
    "shop/mail.py": "def send_receipt(user, order):\n    body = render_template('receipt', order=order)\n"
    "    smtp = connect_mail_server()\n    smtp.send(user.email, body)\n\n"
    "def parse_header(line):\n    name, _, value = line.partition(':')\n    return name.strip(), value.strip()\n",
    "shop/files.py": "def remove_directory(path):\n    for entry in os.scandir(path):\n        os.unlink(entry.path)\n"
    "    os.rmdir(path)\n",
}


class MemoryView:
    """The part of `IndexView` that vectors read."""

    def __init__(self, files, skipped=()):
        self.files = dict(files)
        self.skipped = set(skipped)
        self.documents_read = 0

    @property
    def epoch(self):
        return hashlib.sha256(repr(sorted(self.files.items())).encode()).hexdigest()

    def list_files(self):
        return [
            FileRow(at, path, sha_of(text), "python", False, False, "secret" if path in self.skipped else "")
            for at, (path, text) in enumerate(sorted(self.files.items()))
        ]

    def read_text(self, path):
        return self.files.get(path, "")

    def read_documents(self, paths):
        for path in paths:
            if path in self.files:
                self.documents_read += 1
                yield path, encode_document(facts_of(self.files[path]), self.files[path])

    def list_symbols(self, path):
        return [
            SymbolRow(at, path, at, *one[:7], one.signature, one.doc, False)
            for at, one in enumerate(facts_of(self.files[path]).symbols)
        ]


def sha_of(text):
    return hashlib.sha1(text.encode()).hexdigest()


def facts_of(text):
    lines = text.split("\n")
    starts = [at for at, line in enumerate(lines, 1) if _DEF.match(line)]
    ends = [*(start - 1 for start in starts[1:]), len(lines)]
    names = [_DEF.match(lines[start - 1])[1] for start in starts]
    symbols = [
        Symbol(name, name, "function", start, 5, start, end)
        for name, start, end in zip(names, starts, ends, strict=False)
    ]
    return FileFacts("python", tuple(symbols))
