"""What every fuzz test shares: seeded cases, what a verb may do, and values that are wrong.

    run_cases(kind, count, attempt)    attempt(case) for every seed; a failure names each fault
    case.verb(…)                       a verb in this process, held to what every verb promises
    case.call(function, …)             a call that may raise a UserError and nothing else
    mutate(value, rng)                 a JSON value with something wrong somewhere
    scramble(raw, rng)                 bytes with something wrong somewhere
    change_tensors(tensors, rng)       the tensors of a safetensors file with a fault among them

The seeds are 0, 1, …, the same in every run. FTKIT_FUZZ=5000 tries as many others of each kind,
from 1,000,000 on; FTKIT_FUZZ=1@1000123 tries that one alone, which is what a failure tells.
"""

import copy
import hashlib
import json
import os
import random
import re
import shutil
import signal
import traceback
import warnings
from pathlib import Path
from types import SimpleNamespace

from verbs import invoke

from ftkit.core.errors import UserError

SECONDS = 20  # of the processor: a case that takes longer hangs
PATIENCE = 15  # times as long by the clock, for one that waits; a busy machine is no hang
LONGEST = 1500  # signs of a sentence
SIZES = {"hidden_size": 32, "intermediate_size": 48}  # of the models
INTERNAL = re.compile(
    r"Traceback|NoneType|<class|object at 0x|"
    r"\b(Key|Type|Value|Attribute|Index|Runtime|Unicode\w*|Assertion|Recursion|Overflow|OS|Name"
    r"|ZeroDivision|Import|NotImplemented)Error\b"
)
HALF_WRITTEN = (".ftkit-half-*", ".*.new")


class Hang(BaseException):
    """Not an Exception, so that nothing on the way takes it for an error of its own."""


def ring(signum, frame):
    raise Hang(f"the case took more than {SECONDS} seconds of the processor")


class Case:
    """One seed: its random numbers, a folder of its own, and what it did, for the report."""

    def __init__(self, kind, seed, folder):
        self.rng = random.Random(f"{kind} {seed}")
        self.folder, self.did = folder, []

    def write(self, name, raw):
        """A file of the case's folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw.encode("utf-8", "surrogatepass") if isinstance(raw, str) else raw)
        self.did.append(f"{name} = {shorten(path.read_bytes())}")
        return path

    def verb(self, *words, out=None, names=(), told=False):
        """A verb, held to what every verb promises; its result, with `values` where it has JSON.

        out: the folder or file it writes. names: of these its sentence has to hold one. told: exit
        code 1 may come with findings on standard output instead of a sentence.
        """
        self.did.append("ftkit " + " ".join(map(repr, map(str, words))))
        inside, before = out or self.folder / "out", hash_tree(self.folder, out)
        was_there = inside.exists()
        result = invoke(*words)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code in (0, 1, 2), f"exit code {result.exit_code}"

        # what it said
        text = result.stdout
        values = json.loads(text) if text.strip() and "--json" in words else {}
        assert isinstance(values, dict), f"no JSON object: {text[:100]}"
        said = [line for line in result.stderr.split("\n") if line and line[0] != "…"]
        if result.exit_code == 1 and not (told and text.strip()):
            assert len(said) == 1 and said[0].startswith("ftkit: "), f"no one sentence: {said}"
            assert not text.strip(), f"a sentence, and on standard output {text[:100]!r}"
            check_sentence(said[0].removeprefix("ftkit: "), names)
        if result.exit_code == 0:
            assert not said, f"exit code 0 and on standard error {said}"

        # what it left behind
        assert hash_tree(self.folder, out) == before, "the verb changed what it read"
        if result.exit_code and not was_there and not told:
            assert not inside.exists(), f"it failed and left {sorted(inside.rglob('*'))[:5]}"
        left = [path for pattern in HALF_WRITTEN for path in self.folder.rglob(pattern)]
        assert not left, f"half-written: {left}"
        return SimpleNamespace(code=result.exit_code, values=values, text=text, said=said)

    def call(self, function, *args, names=(), **options):
        """(what the function gives, None), or (None, the sentence of its UserError)."""
        name = getattr(function, "__qualname__", function)
        self.did.append(
            f"{name}({', '.join(repr(each)[:60] for each in args)}, {shorten(options)})"
        )
        try:
            return function(*args, **options), None
        except UserError as error:
            check_sentence(str(error), names)
            return None, str(error)


def check_sentence(sentence, names=()):
    """A sentence is one line that a person can read, and says what it is about."""
    assert re.search(r"[.?…]$", sentence), f"ends in no full stop: {sentence!r}"
    assert sentence.isprintable(), f"not printable: {sentence!r}"
    assert len(sentence) <= LONGEST, f"{len(sentence)} signs: {sentence[:300]!r}"
    assert not INTERNAL.search(sentence), f"speaks of Python: {sentence!r}"
    assert not re.search(r"[^./][.?]\.$|\?\. ", sentence), f"two full stops: {sentence!r}"
    if names:
        assert any(str(name) in sentence for name in names), f"names none of {names}: {sentence!r}"


def hash_tree(folder, but=None):
    """{file: hash} of a folder, but for what a verb writes."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and not (but and path.is_relative_to(but))
    }


def shorten(value):
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 300 else f"{text[:200]} … {text[-80:]}"


def seeds(count):
    """The seeds of a kind: the first `count`, or those that FTKIT_FUZZ asks for."""
    asked = os.environ.get("FTKIT_FUZZ", "")
    if not asked:
        return range(count)
    number, _, first = asked.partition("@")
    start = int(first or 1_000_000)
    return range(start, start + int(number))


def run_cases(kind, count, attempt, folder):
    """attempt(case) for every seed; fails with every different fault, and how to see it again."""
    found = {}
    before = {name: signal.signal(name, ring) for name in (signal.SIGALRM, signal.SIGPROF)}
    try:
        for seed in seeds(count):
            case = Case(kind, seed, folder / f"{seed}")
            case.folder.mkdir(parents=True)
            error = try_one(case, attempt)
            shutil.rmtree(case.folder, ignore_errors=True)
            if error is not None:
                found.setdefault(alike(error), []).append((seed, error, case))
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
    assert not found, report(kind, found)


def try_one(case, attempt):
    """What went wrong in a case; None where nothing did."""
    set_timers(SECONDS)
    try:
        with warnings.catch_warnings(action="ignore"):
            attempt(case)
    except (Exception, Hang) as error:
        return error
    finally:
        set_timers(0)
    return None


def set_timers(seconds):
    """Ring after so many seconds of the processor, and many times more by the clock; 0: never."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE * seconds)


def alike(error):
    """What two errors of one fault have in common: where they were raised, or what they say."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/ftkit/" in f.filename]
    if frames and not isinstance(error, AssertionError):
        return type(error).__name__, frames[-1].filename, frames[-1].name
    words = re.sub(r"'[^']*'|\"[^\"]*\"|/\S+|[\d,.]+", "#", str(error))
    return type(error).__name__, words[:60]


def report(kind, found):
    """Every different fault: its seed, what the case did, and where it went wrong."""
    lines = [f"{len(found)} different faults of the kind {kind!r}"]
    for number, cases in enumerate(found.values(), 1):
        seed, error, case = min(cases, key=lambda each: len("".join(each[2].did)))
        frames = traceback.extract_tb(error.__traceback__)
        places = [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames]
        lines += [f"\n{number}. {len(cases)} cases, such as FTKIT_FUZZ=1@{seed}"]
        lines += [f"   {shorten(step)}" for step in case.did]
        lines += [f"   {type(error).__name__}: {shorten(str(error))}", f"   {places[-6:]}"]
    return "\n".join(lines)


DEEP = json.loads("[" * 400 + "]" * 400)
# Values that files hold by mistake.
WEIRD = (
    None, True, False, 0, -1, 1, 2, 3.5, -0.0, 1e308, 1e-320, float("nan"), float("inf"), 2**63,
    10**400, "", " ", "\n", "\x00", "\x1b[31m", "\ud83d", "é\u2028ü", "a" * 2000, "5", "1e-3",
    "NaN",
    "true", "null", "assistant", "user", "../..", "/", "pocket", [], {}, [[]], [None], {"a": None},
    {"": ""}, ["a", 1, None], [1, 2, 3], DEEP, "{{ x }}", "%s", "2026-07-31", -5, 7, 1024, 10**9,
)  # fmt: skip


def mutate(value, rng, times=1):
    """A copy of a JSON value, in which something is replaced, left out, doubled or renamed."""
    value = copy.deepcopy(value)
    for _ in range(times):
        holder = {"": value}
        change(rng.choice(places(holder)), rng)
        value = holder.get("", None)
    return value


def places(value):
    """(container, key) of everything in a JSON value."""
    found, waiting = [], [value]
    while waiting:
        holder = waiting.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        found += [(holder, key) for key in keys]
        waiting += [holder[key] for key in keys if isinstance(holder[key], dict | list)]
    return found[1:] or found


def change(place, rng):
    """Something else in one place."""
    holder, key = place
    if isinstance(holder, list):
        change_item(holder, key, rng)
        return
    way = rng.randrange(9)
    if way < 5:
        holder[key] = other(holder[key], rng)
    elif way == 5 and key:
        del holder[key]
    elif way == 6:
        holder[misspell(key, rng)] = rng.choice(WEIRD)
    elif way == 7 and key:
        holder[misspell(key, rng)] = holder.pop(key)
    else:
        holder[key] = [holder[key]] if rng.random() < 0.5 else {key: holder[key]}


def change_item(holder, key, rng):
    """Something else in one place of a list."""
    way = rng.randrange(6)
    if way == 0:
        del holder[key]
    elif way == 1:
        holder.insert(key, copy.deepcopy(holder[key]))
    elif way == 2:
        rng.shuffle(holder)
    elif way == 3:
        holder.insert(key, rng.choice(WEIRD))
    else:
        holder[key] = other(holder[key], rng)


def other(value, rng):
    """Another value in place of one: near it, or of another kind."""
    if rng.random() < 0.5:
        return copy.deepcopy(rng.choice(WEIRD))
    if isinstance(value, bool):
        return rng.choice([not value, str(value), int(value)])
    if isinstance(value, int | float):
        return rng.choice([-value, value + 1, value * 2, value // 2, str(value), 0, value - 1])
    if isinstance(value, str):
        return misspell(value, rng)
    return str(value)


def misspell(word, rng):
    """A word as people get it wrong."""
    word = str(word)
    place = rng.randrange(len(word) + 1)
    return rng.choice(
        [word.upper(), word.title(), f" {word}", f"{word} ", f"{word}s", word[:-1], word[::-1],
         word[:place] + word[place + 1 :], word[:place] + "_" + word[place:], word.replace("_",
         "-")]
    )  # fmt: skip


def as_json(value, rng):
    """A value as JSON, as different programs write it."""
    spaces = rng.choice([None, None, 1])
    return json.dumps(value, ensure_ascii=rng.random() < 0.5, indent=spaces)


BITS = (
    b"\x00", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\r\n", b"\r", b"\n\n", b"\xe2\x80\xa8",
    b"\x85",
    b"\xc2\x85", b"\\ud800", b"\xed\xa0\x80", b"{", b"}", b"[", b"]", b'"', b",", b":", b"\t", b"#",
    b"NaN", b"-Infinity", b"1e999", b"null", b"'", b"&a", b"*a", b"<<: ", b"!!python/none", b"? ",
    b"---", b"%", b"{%", b"{{", b"\xe9", b"0", b"9" * 50, b"9" * 5000, b"[" * 3000,
)  # fmt: skip


def scramble(raw, rng, times=1):
    """Bytes in which some are flipped, cut, doubled, put in or written in another encoding."""
    for _ in range(times):
        place, length = rng.randrange(len(raw) + 1), rng.randrange(1, 40)
        way = rng.randrange(8)
        if way == 0 and raw:
            place = min(place, len(raw) - 1)
            raw = raw[:place] + bytes([raw[place] ^ (1 << rng.randrange(8))]) + raw[place + 1 :]
        elif way == 1:
            raw = raw[:place]
        elif way == 2:
            raw = raw[:place] + raw[place + length :]
        elif way == 3:
            raw = raw[:place] + raw[place : place + length] + raw[place:]
        elif way == 4:
            raw = recode(raw, rng)
        else:
            raw = raw[:place] + rng.choice(BITS) + raw[place:]
    return raw


def recode(raw, rng):
    """The same text in another encoding, where it is one."""
    text = raw.decode("utf-8", "ignore")
    return text.encode(
        rng.choice(["utf-16", "utf-8-sig", "latin-1", "utf-32", "utf-16-le"]), "ignore"
    )


# How the names of an adapter's tensors differ from program to program.
RENAMED = (
    ("base_model.model.", ""), ("lora_A", "lora_A.default"), ("base_model.model.", "_orig_mod."),
    ("lora_B", "lora_b"), ("layers.1", "layers.7"), ("q_proj", "query"), (".weight", ""),
)  # fmt: skip


def change_tensors(tensors, rng):
    """The tensors of a safetensors file with a fault among them."""
    name = rng.choice(sorted(tensors))
    way = rng.randrange(6)
    if way == 0:
        tensors.pop(name)
    elif way == 1:
        other = rng.choice([name.upper(), f"x.{name}", name.replace("0", "9"), "a", "", "k_proj"])
        tensors[other] = tensors[name].clone()
    elif way == 2:
        tensors[name.replace(*rng.choice(RENAMED))] = tensors.pop(name)
    elif way == 3:
        return {key.replace(*rng.choice(RENAMED[:3])): each for key, each in tensors.items()}
    elif way == 4:
        return {key: each for key, each in tensors.items() if rng.random() < 0.7}
    else:
        tensors[name] = change_values(tensors[name], rng)
    return tensors


def change_values(values, rng):
    """Other values in place of a tensor's: of another shape or dtype, or none that can be."""
    import torch

    dtypes = (torch.float16, torch.float64, torch.int8, torch.bool, torch.float8_e4m3fn)
    return rng.choice(
        [
            values.t().contiguous() if values.dim() == 2 else values[:-1].clone(),
            torch.full_like(values, rng.choice([float("nan"), float("inf"), 0.0, 1e30])),
            values.to(rng.choice(dtypes)),
            values[: rng.randrange(len(values) + 1)].clone(),
            values.reshape(-1).clone(),
        ]
    )
