"""The scripted model server as a command: for tests that run commands themselves."""

import subprocess
import sys

import httpx2

from tests.fakes.model_server.fixtures import REPOSITORY, RemoteModelServer, serve_script

__all__ = ["serve_script"]

KEY = "test-key"
ASK = [{"role": "user", "content": "mend it"}]


def ask(server, key=KEY, headers=None):
    headers = {"Authorization": f"Bearer {key}", **(headers or {})}
    body = {"model": "m1", "messages": ASK}
    return httpx2.post(f"{server.openai_url}/chat/completions", json=body, headers=headers)


def test_the_command_serves_and_tells_its_records(serve_script):
    server = serve_script({"rules": [{"reply": "yes"}], "keys": [KEY]})
    assert ask(server, headers={"Idempotency-Key": "k1"}).json()["choices"][0]["message"]["content"] == "yes"
    assert server.stats()["answered"] == 1
    assert server.requests()[0]["body"]["messages"] == ASK
    server.play([{"reply": "no"}])
    assert ask(server).json()["choices"][0]["message"]["content"] == "no"
    server.reset()
    assert server.requests() == []


def test_the_command_refuses_a_broken_script_with_its_place(tmp_path):
    script = tmp_path / "script.json"
    for content, line in (('[{"reply": "x", "whem": {}}]', "rule 1 does not know whem"), ("[", "is no JSON")):
        script.write_text(content)
        command = [sys.executable, "-m", "tests.fakes.model_server", "--script", str(script)]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=30)
        assert done.returncode == 2
        assert line in done.stderr


def test_the_command_takes_keys_and_tells_its_port_in_a_file(tmp_path):
    (tmp_path / "script.json").write_text('[{"reply": "yes"}]')
    port_file = tmp_path / "port"
    command = [sys.executable, "-m", "tests.fakes.model_server", "--key", KEY, "--port-file", str(port_file)]
    command += ["--script", str(tmp_path / "script.json")]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        try:
            server = RemoteModelServer(int(process.stdout.readline()))
            assert port_file.read_text() == f"{server.port}\n"
            assert ask(server).status_code == 200
            assert ask(server, key="other").status_code == 401
        finally:
            process.terminate()
