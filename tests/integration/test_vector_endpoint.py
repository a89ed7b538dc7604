"""The endpoint backend against a real HTTP server that speaks OpenAI's embeddings."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from services.vector_ops.vectors.embedder import EmbedderUnusableError, VectorsUnavailableError
from services.vector_ops.vectors.endpoint import EndpointEmbedder


class Server(ThreadingHTTPServer):
    """Answers with vectors that are made from the texts; `mode` is how it misbehaves."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.mode = "well"
        self.requests = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, self.headers["Authorization"], body))
        is_first = len(self.server.requests) == 1
        if self.server.mode == "refuse":
            self.reply(401, {"error": {"message": "no such key"}})
        elif self.server.mode == "stumble" and is_first:
            self.reply(503, {"error": {"message": "busy"}})
        elif self.server.mode == "nonsense":
            self.reply(200, {"data": [], "model": "m", "object": "list", "usage": {}})
        else:
            self.reply(200, self.embed(body))

    def embed(self, body):
        rows = [
            {"index": at, "object": "embedding", "embedding": [float(len(text)), 1.0, 2.0]}
            for at, text in enumerate(body["input"])
        ]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        return {"data": rows[::-1], "model": body["model"], "object": "list", "usage": usage}

    def reply(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        """Say nothing."""


class Clock:
    now_s = 0.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def server():
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.02,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def make_embedder():
    made = []

    def make(url, clock=None, timeout_s=5.0):
        made.append(EndpointEmbedder(url, "key-1", "small", clock=clock or Clock(), timeout_s=timeout_s))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_texts_come_back_as_unit_vectors_in_their_order(server, make_embedder):
    embedder = make_embedder(server.url)
    texts = ["x" * at for at in range(150)]
    vectors = embedder.embed_texts(texts)
    assert vectors.shape == (150, 3)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(150), abs=1e-5)
    assert (vectors[3:, 0] / vectors[3:, 1]).tolist() == pytest.approx(list(range(3, 150)), rel=1e-4)
    assert [len(body["input"]) for _path, _key, body in server.requests] == [64, 64, 22]
    assert {(path, key, body["model"]) for path, key, body in server.requests} == {
        ("/v1/embeddings", "Bearer key-1", "small")
    }
    assert embedder.dimension == 3


def test_a_busy_server_is_asked_again(server, make_embedder):
    server.mode = "stumble"
    assert make_embedder(server.url).embed_texts(["hello"]).shape == (1, 3)
    assert len(server.requests) == 2


def test_a_question_is_asked_once_for_somebody_waits(server, make_embedder):
    server.mode = "stumble"
    with pytest.raises(VectorsUnavailableError, match="answered 503; it is asked again in half a minute"):
        make_embedder(server.url).embed_query("hello")
    assert len(server.requests) == 1


def test_a_refused_key_is_said_in_one_line_and_not_tried_again(server, make_embedder):
    server.mode = "refuse"
    embedder = make_embedder(server.url)
    with pytest.raises(VectorsUnavailableError, match="answered 401; check VECTOR_OPS_ENDPOINT_URL") as raised:
        embedder.embed_query("hello")
    assert "key-1" not in str(raised.value)
    assert len(server.requests) == 1


def test_a_server_that_failed_is_left_alone_for_a_while(server, make_embedder):
    server.mode, clock = "nonsense", Clock()
    embedder = make_embedder(server.url, clock)
    for _ in range(3):
        with pytest.raises(VectorsUnavailableError, match="did not send 1 vectors"):
            embedder.embed_query("hello")
    assert len(server.requests) == 1
    server.mode, clock.now_s = "well", 31.0
    assert embedder.embed_query("hello").shape == (3,)


def test_no_server_at_all_is_said_in_one_line(make_embedder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(VectorsUnavailableError, match="did not answer"):
        make_embedder(url).embed_query("hello")


@pytest.mark.parametrize(("url", "model"), [("", "small"), ("ftp://host", "small"), ("http://host/v1", "")])
def test_an_endpoint_without_an_address_or_a_model_is_refused(url, model):
    with pytest.raises(EmbedderUnusableError, match="VECTOR_OPS_ENDPOINT_URL"):
        EndpointEmbedder(url, "", model, clock=Clock())
