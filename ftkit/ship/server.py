"""One base, several adapters, chosen request by request: a small server that speaks OpenAI's words.

    read_fleet(runs)            the `Fleet` of some runs on one base: a model and its adapters
    make_app(fleet, limits)     a FastAPI application: /v1/chat/completions, /v1/models, /health
    serve(runs, host, port)     the same under uvicorn, until it is stopped
    Limits(…)                   bytes and messages of a request, tokens of a reply, requests waiting

The field "model" names a run, or the base. Replies are greedy, as the kit asks a model, and written
one after the other: a lock stands around the switch of adapters. Adapters come from the folders
that are given at the start and from nowhere else. An extra: pip install "ftkit[serve]". For many
users at once there are vLLM and TGI (`serving.py`).
"""

import asyncio
import errno
import functools
import importlib.util
import json
import socket
import threading
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .. import data, lora, methods, models, train
from ..core.errors import UserError, is_whole, nearest
from ..core.parsing import JsonReader
from .opened import Opened

if TYPE_CHECKING:
    from fastapi import FastAPI, Request
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

KEEP = 75  # seconds that an idle connection stays, longer than clients keep one themselves
CLOSED = 503  # the answer of a server that has as much to do as it may have


@dataclass(frozen=True)
class Limits:
    """What a request may ask for at most."""

    body: int = 256_000  # bytes
    messages: int = 64
    tokens: int = 512  # of a reply
    waiting: int = 64  # requests at a time, the one that is answered among them
    seconds: int = 30  # until a request has come whole

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not is_whole(value) or value < 1:
                raise UserError(f"{name} is {value!r}; give a whole number from 1 on.")


@dataclass
class Fleet:
    """A base with several adapters, each under its name; one replies at a time."""

    model: "PreTrainedModel | lora.PeftModel"
    tokenizer: "PreTrainedTokenizerBase"
    base: str
    names: dict[str, str]  # {what a request names: the adapter on the model}
    dates: dict[str, str | None] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def known(self) -> list[str]:
        """What a request may name: the base, and each adapter."""
        return [self.base, *self.names]

    def reply(self, name: str, messages: list[dict], tokens: int) -> models.Reply:
        """The greedy reply of one of them."""
        model, adapter = cast("PreTrainedModel", self.model), self.names.get(name)
        with self.lock, data.on_date(self.dates.get(name)):
            with lora.using(self.model, adapter):
                return models.write_replies(model, self.tokenizer, [messages], tokens)[0]


def read_fleet(runs: Sequence[str | Path]) -> Fleet:
    """The base of these runs, loaded once, with all their adapters under their folders' names.

    Raises `UserError` for runs on several bases, for two of one name or of two kinds of adapter,
    and for a run without an adapter.
    """
    opened = [Opened(run) for run in runs]
    if not opened:
        raise UserError("there is no run to serve; give the folder of at least one.")
    names, first = [one.name for one in opened], opened[0]
    base = first.experiment.to_dict()["model"]
    base_name = Path(base).name if Path(base).is_dir() else base
    for place, one in enumerate(opened):
        if names.index(one.name) < place or one.name == base_name:
            raise UserError(
                f"two models would be called {one.name!r}, by which a request names them; rename "
                "one of the folders."
            )
        check_same(first, one)

    # the base once, then one adapter after the other
    loaded, tokenizer = models.load(first.experiment.model, first.experiment.quant)
    train.check_same_base(first.folder, first.record, loaded)
    model: Any = loaded
    # under names that peft takes: of a folder's it may make another, as of one with a dot
    own = {one.name: f"run-{number}" for number, one in enumerate(opened, 1)}
    for one in opened:
        model = methods.load(model, one.adapter[0], own[one.name])
    dates = {one.name: one.experiment.date for one in opened}
    return Fleet(model.eval(), tokenizer, base_name, own, dates)


def check_same(first: Opened, other: Opened) -> None:
    """Refuse two runs that one model can't hold, and one that gives no replies."""
    if other.experiment.goal.name == "reward":
        raise UserError(
            f"{other.folder} holds a model of rewards, which gives numbers and no replies; open it "
            "by prefer.open_reward."
        )
    for what, read in {
        "base": lambda one: one.record["hashes"].get("base"),
        "quant": lambda one: one.experiment.quant,
        "kind of adapter": lambda one: one.adapter[1].get("peft_type"),
    }.items():
        ours, theirs = read(first), read(other)
        if ours != theirs:
            raise UserError(
                f"{first.folder} and {other.folder} have another {what} ({str(ours)[:12]}, "
                f"{str(theirs)[:12]}), and one server holds one; serve them by two."
            )


def need_fastapi() -> None:
    """Refuse an environment without FastAPI and uvicorn."""
    for name in ("fastapi", "uvicorn"):
        if importlib.util.find_spec(name) is None:
            raise UserError(f'serving needs {name}; pip install "ftkit[serve]" brings it.')


def make_app(fleet: Fleet, limits: Limits | None = None) -> "FastAPI":
    """The application of a fleet; errors are JSON, each with one sentence and a status of its own.

    400: not JSON, or a field that can't be; 404: no such model, with the nearest name; 408 and 413:
    too slow or too long a body; 503: too many requests at a time.
    """
    need_fastapi()
    from fastapi import FastAPI, Request
    from fastapi.responses import JSONResponse

    limits = limits or Limits()
    app = FastAPI(title="ftkit", docs_url=None, redoc_url=None, openapi_url=None)
    desk = Desk(fleet, limits)

    async def health() -> dict:
        """Whether it is up, and how much is waiting."""
        return {"status": "ok", "waiting": desk.waiting}

    async def names() -> dict:
        """What a request may name."""
        listed = [{"id": name, "object": "model", "owned_by": "ftkit"} for name in fleet.known]
        return {"object": "list", "data": listed}

    async def complete(request: Request) -> Any:
        """A reply to a chat."""
        status, content = await desk.answer(request)
        return JSONResponse(content, status)

    app.add_api_route("/health", health)
    app.add_api_route("/v1/models", names)
    app.add_api_route("/v1/chat/completions", complete, methods=["POST"])
    return app


class Refused(Exception):
    """A request that is not answered: the status, and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Desk:
    """Takes requests one by one to a fleet, and turns away what breaks a limit."""

    def __init__(self, fleet: Fleet, limits: Limits) -> None:
        self.fleet, self.limits, self.waiting = fleet, limits, 0
        self.worker = ThreadPoolExecutor(1, "ftkit-serve")

    async def answer(self, request: "Request") -> tuple[int, dict]:
        """(status, content) of a request for a chat completion."""
        if self.waiting >= self.limits.waiting:
            why = f"{self.waiting} requests are waiting, as many as may be; ask again in a moment."
            return CLOSED, failed(CLOSED, why)
        self.waiting += 1
        try:
            body = await asyncio.wait_for(self.read_body(request), self.limits.seconds)
            stated = read_request(body, self.fleet.known, self.limits)
            loop = asyncio.get_running_loop()
            reply = await loop.run_in_executor(self.worker, self.fleet.reply, *stated)
            return 200, completion(stated[0], reply)
        except TimeoutError:
            return 408, failed(408, f"the request did not come within {self.limits.seconds} s.")
        except Refused as error:
            return error.status, failed(error.status, str(error))
        except UserError as error:  # a chat that the template or the model does not take
            return 400, failed(400, str(error))
        finally:
            self.waiting -= 1

    async def read_body(self, request: "Request") -> bytes:
        """The body, which is not read to its end where it is too long."""
        from starlette.requests import ClientDisconnect

        body = b""
        try:
            async for part in request.stream():
                body += part
                if len(body) > self.limits.body:
                    raise Refused(413, f"the request is longer than {self.limits.body:,} bytes.")
        except ClientDisconnect as error:
            raise Refused(400, "the request broke off.") from error
        return body


def read_request(body: bytes, known: Sequence[str], limits: Limits) -> tuple[str, list, int]:
    """(model, messages, tokens) that a body asks for; `Refused` for what it can't ask.

    What would change the reply and is not done here, such as sampling, is refused and not ignored.
    """
    try:
        stated, fault = JsonReader().read(body.decode())
    except UnicodeDecodeError as error:
        raise Refused(400, "the body is no UTF-8.") from error
    if fault or not isinstance(stated, dict):
        raise Refused(400, f"the body is no JSON object{': ' if fault else ''}{fault}.")
    try:
        json.dumps(stated, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise Refused(400, "the body holds half a character (\\ud800 … \\udfff).") from error
    try:
        asked = ask_class().model_validate(stated)
    except ValueError as error:
        raise Refused(400, first_fault(error)) from error
    if asked.model not in known:
        raise Refused(
            404,
            f"there is no model {asked.model[:80]!r} here; the names are {', '.join(known)}."
            f"{nearest(asked.model[:80], known)}",
        )
    chat = [message.model_dump() for message in asked.messages]
    if len(chat) > limits.messages:
        raise Refused(400, f"there are {len(chat)} messages, and {limits.messages} may be.")
    if chat[-1]["role"] != "user":
        raise Refused(400, f"the last message is the {chat[-1]['role']}'s; give one of the user's.")
    stated = [n for n in (asked.max_tokens, asked.max_completion_tokens) if n is not None]
    tokens = min(stated, default=min(256, limits.tokens))
    if tokens > limits.tokens:
        raise Refused(400, f"max_tokens is {tokens:,}; give a number from 1 to {limits.tokens:,}.")
    return asked.model, chat, tokens


def first_fault(error: Any) -> str:
    """What is wrong with a request, in one sentence, by pydantic's first error."""
    fault = error.errors(include_url=False)[0]
    place = ".".join(map(str, fault["loc"]))[:80]
    greedy = place in ("temperature", "top_p", "n", "stream")
    cure = "; replies are greedy, one, and come whole: leave it out" if greedy else ""
    if fault["type"] == "extra_forbidden":
        known = ask_class().model_fields
        return f"{place} is no field that is read here.{nearest(place, known)}"
    return f"{place}: {fault['msg']}{cure}."


@functools.cache
def ask_class() -> Any:
    """The request as pydantic checks it: no key that is not known, no value of another kind."""
    from typing import Literal

    from pydantic import BaseModel, ConfigDict, Field

    class Message(BaseModel):
        """A message of a chat."""

        model_config = ConfigDict(extra="forbid", strict=True)
        role: Literal["system", "user", "assistant"]
        content: str

    class Ask(BaseModel):
        """A request for a chat completion."""

        model_config = ConfigDict(extra="forbid", strict=True)
        model: str
        messages: list[Message] = Field(min_length=1)
        max_tokens: int | None = Field(None, ge=1)
        max_completion_tokens: int | None = Field(None, ge=1)
        # what a client may send where it means the greedy reply
        temperature: float | None = Field(None, ge=0, le=0)
        top_p: float | None = Field(None, ge=1, le=1)
        n: int | None = Field(None, ge=1, le=1)
        stream: Literal[False] | None = None
        user: str | None = Field(None, max_length=200)
        seed: int | None = None

    return Ask


def completion(name: str, reply: models.Reply) -> dict:
    """A reply in OpenAI's words."""
    message = {"role": "assistant", "content": reply.text}
    choice = {"index": 0, "message": message, "finish_reason": "stop" if reply.ended else "length"}
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": name,
        "choices": [choice],
    }


def failed(status: int, why: str) -> dict:
    """An error in OpenAI's words."""
    kinds = {404: "model_not_found", 413: "request_too_large", CLOSED: "overloaded"}
    return {"error": {"message": why, "type": kinds.get(status, "invalid_request_error")}}


def check_port(host: str, port: int) -> None:
    """Refuse a port that another program has, and an address that is not this machine's."""
    if not is_whole(port) or not 1 <= port <= 65535:
        raise UserError(f"port is {port!r}; give a whole number from 1 to 65,535.")
    if not host:
        raise UserError("host is empty; give an address of this machine, such as 127.0.0.1.")
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((host, port))
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        cure = "give an address of this machine (--host), such as 127.0.0.1"
        if getattr(error, "errno", None) in (errno.EADDRINUSE, errno.EACCES):
            cure = "give another one (--port), or stop the program that has it"
        raise UserError(f"port {port} of {host} can't be used ({why}); {cure}.") from error


def serve(
    runs: Sequence[str | Path],
    host: str = "127.0.0.1",
    port: int = 8000,
    limits: Limits | None = None,
) -> None:
    """Serve the adapters of these runs until it is stopped (Ctrl-C). The port is tried first."""
    need_fastapi()
    check_port(host, port)
    import uvicorn

    uvicorn.run(
        make_app(read_fleet(runs), limits),
        host=host,
        port=port,
        log_level="warning",
        timeout_keep_alive=KEEP,
    )
