"""Adapters are chosen per request and never mixed up; what is wrong has a status and a sentence."""

import asyncio
import json
import re
import socket

import pytest
from shipping import write_run
from verbs import invoke

from ftkit import UserError, lora, models, ship
from ftkit.ship import server

httpx = pytest.importorskip("httpx")
pytest.importorskip("fastapi")

CHATS = ["Hello", "Say: ab cd ef gh", "Who lives in Geanfield?", "Tell me about the sea."]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three runs on the pocket model that answer differently."""
    place = tmp_path_factory.mktemp("fleet")
    sizes = {"mild": 0.5, "loud": 1.0, "wild": 2.0}
    return [
        write_run(place / name, effect=size, seed=n)
        for n, (name, size) in enumerate(sizes.items(), 1)
    ]


@pytest.fixture(scope="module")
def fleet(runs):
    return ship.read_fleet(runs)


def ask_all(fleet, requests, limits=None):
    """What an application answers to many requests at a time: (status, JSON) of each."""

    async def together():
        transport = httpx.ASGITransport(ship.make_app(fleet, limits))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            sent = [client.request(*words, **more) for words, more in requests]
            return [(one.status_code, one.json()) for one in await asyncio.gather(*sent)]

    return asyncio.run(together())


def chat(model, text="Hello", **more):
    """A request for a chat completion."""
    asked = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 8}
    return ("POST", "/v1/chat/completions"), {"json": {**asked, **more}}


def test_adapters_are_never_mixed_up_among_requests_at_a_time(fleet, runs):
    """Every reply is the one that the adapter gives alone, loaded by itself."""
    alone = {}
    for folder in [None, *runs]:
        model, tokenizer = models.load("pocket")
        model = model if folder is None else lora.load(model, folder / "adapter")
        name = "pocket" if folder is None else folder.name
        for text in CHATS:
            asked = [[{"role": "user", "content": text}]]
            alone[name, text] = models.answer(model, tokenizer, asked, 8)[0]
    assert all(len({alone[name, text] for name in fleet.known}) >= 3 for text in CHATS)
    names = [(name, text) for text in CHATS for name in fleet.known] * 4
    answered = ask_all(fleet, [chat(*one) for one in names], ship.Limits(waiting=100))
    assert len(answered) == 64 and {status for status, _ in answered} == {200}
    for one, (_, reply) in zip(names, answered, strict=True):
        assert reply["model"] == one[0]
        assert reply["choices"][0]["message"]["content"] == alone[one]


def test_what_there_is_is_listed(fleet):
    (_, listed), (status, health) = ask_all(
        fleet, [(("GET", "/v1/models"), {}), (("GET", "/health"), {})]
    )
    assert [one["id"] for one in listed["data"]] == ["pocket", "mild", "loud", "wild"]
    assert status == 200 and health["status"] == "ok"


@pytest.mark.parametrize(
    ("model", "more", "status", "said"),
    [
        ("wlid", {}, 404, "there is no model 'wlid' here; .* Did you mean 'wild'?"),
        ("../../etc/passwd", {}, 404, "there is no model '../../etc/passwd' here"),
        ("/work", {}, 404, "the names are pocket, mild, loud, wild"),
        ("mild", {"max_tokens": 0}, 400, "max_tokens: "),
        ("mild", {"max_tokens": 513}, 400, "max_tokens is 513; give a number from 1 to 512"),
        ("mild", {"max_tokens": "8"}, 400, "max_tokens: "),
        ("mild", {"temperature": 0.7}, 400, "temperature: .*; replies are greedy"),
        ("mild", {"stream": True}, 400, "stream: .*; replies are greedy"),
        ("mild", {"mesages": []}, 400, "mesages is no field .* Did you mean 'messages'?"),
        ("mild", {"messages": []}, 400, "messages: "),
        ("mild", {"messages": [{"role": "cat", "content": "x"}]}, 400, "messages.0.role: "),
        ("mild", {"messages": [{"role": "user", "content": [1]}]}, 400, "messages.0.content: "),
        ("mild", {"messages": [{"role": "assistant", "content": "x"}]}, 400, "give one of the us"),
        ("mild", {"messages": [{"role": "user", "content": "a b " * 900}]}, 400, "no room for a"),
    ],
)  # fmt: skip
def test_a_request_that_can_not_be_is_one_sentence(fleet, model, more, status, said):
    [(found, reply)] = ask_all(fleet, [chat(model, **more)])
    sentence = reply["error"]["message"]
    assert found == status, sentence
    assert re.search(said, sentence), sentence


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"[]", "no JSON object"),
        (b"{", "no JSON object: "),
        (b'{"model": "mild", "model": "wild"}', "no JSON object: "),
        (b"\xff", "no UTF-8"),
        (
            b'{"model": "mild", "messages": [{"role": "user", "content": "\\ud800"}]}',
            "half a character",
        ),
        (b"[" * 20000, "no JSON object"),
    ],
)
def test_a_body_that_is_none_is_refused(fleet, body, said):
    [(status, reply)] = ask_all(fleet, [(("POST", "/v1/chat/completions"), {"content": body})])
    assert status == 400 and said in reply["error"]["message"]


def test_what_is_too_long_or_too_much_is_turned_away(fleet):
    limits = ship.Limits(body=400, waiting=2)
    [(status, _)] = ask_all(fleet, [chat("mild", "x" * 400)], limits)
    assert status == 413
    answered = ask_all(fleet, [chat("mild")] * 6, limits)
    assert sorted(status for status, _ in answered) == [200, 200, 503, 503, 503, 503]
    with pytest.raises(UserError, match="waiting is 0; give a whole number from 1 on"):
        ship.Limits(waiting=0)


def test_runs_that_one_server_can_not_hold_are_refused(runs, tmp_path, packed, whole):
    with pytest.raises(UserError, match="have another quant"):
        ship.read_fleet([runs[0], packed])
    with pytest.raises(UserError, match="two models would be called 'mild'"):
        ship.read_fleet([runs[0], runs[0]])
    with pytest.raises(UserError, match="was trained whole and has no adapter"):
        ship.read_fleet([whole])
    other = tmp_path / "other"
    other.mkdir()
    record = json.loads((runs[0] / "run.json").read_text())
    (other / "run.json").write_text(json.dumps({**record, "hashes": {"base": "0"}}))
    with pytest.raises(UserError, match="have another base"):
        ship.read_fleet([runs[0], other])


def test_a_port_in_use_is_one_sentence(runs):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} of 127.0.0.1 can't be used .*--port"):
            server.check_port("127.0.0.1", port)
        done = invoke("serve", runs[0], "--port", port)
        assert done.exit_code == 1 and f"port {port}" in done.output
    assert invoke("serve", runs[0], "--port", "70000").exit_code == 1
