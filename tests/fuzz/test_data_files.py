"""Files of rows that are wrong somewhere: `check` and `data.load` say where, and agree."""

import csv
import gzip
import io
import json

import pyarrow
import pyarrow.parquet
import pytest
from fuzzing import as_json, mutate, run_cases, scramble

from ftkit import data
from ftkit.data import sets

TEXTS = (
    "Which?", "a, b; c", 'She said "no".', "two\nlines", "é ü ß", "emoji 🙂", "tab\there",
    "  blank ",
    "line\u2028end", "next\x85line", "0", "null", "NaN", "{'a': 1}", "[1, 2]", "<think>so</think>x",
    "l" * 300, "\\n", "ends in \\", "中文", "split", "42",
)  # fmt: skip
SPLITS = ("train", "train", "validation", "test")


def draw_text(rng):
    return " ".join(rng.choice(TEXTS) for _ in range(rng.randrange(1, 4))) + rng.choice("abc")


def draw_chat(rng):
    turns = [{"role": "system", "content": draw_text(rng)}] if rng.random() < 0.3 else []
    for _ in range(rng.randrange(1, 3)):
        turns.append({"role": "user", "content": draw_text(rng)})
        turns.append({"role": "assistant", "content": draw_text(rng)})
    return turns


def draw_row(rng, style):
    """A right row of a format."""
    chat = draw_chat(rng)
    if style == "messages":
        return {"messages": chat}
    if style == "conversations":
        who = {"user": "human", "assistant": "gpt", "system": "system"}
        turns = [{"from": who[m["role"]], "value": m["content"]} for m in chat]
        return {"conversations": turns}
    question, answer = draw_text(rng), draw_text(rng)
    if style == "prompt":
        return {"prompt": question, "completion": answer}
    if style == "alpaca":
        return {"instruction": question, "input": draw_text(rng), "output": answer}
    return {"prompt": question, "chosen": answer, "rejected": answer + "!"}


def draw_rows(rng):
    style = rng.choice(["messages", "conversations", "prompt", "prompt", "alpaca", "pairs"])
    rows = [draw_row(rng, style) for _ in range(rng.randrange(1, 9))]
    if rng.random() < 0.3:
        rows = [{**row, "split": rng.choice(SPLITS)} for row in rows]
    if rng.random() < 0.2:
        rows = [{**row, "skill": draw_text(rng)} for row in rows]
    return rows


def write_lines(rows, rng):
    return "\n".join(json.dumps(row, ensure_ascii=rng.random() < 0.5) for row in rows)


def write_object(rows, rng):
    if rng.random() < 0.5:
        return as_json({"data": rows}, rng)
    return as_json({name: rows for name in rng.sample(["train", "test", "dev", "rest"], 2)}, rng)


def write_table(rows, rng, delimiter):
    heads = list(dict.fromkeys(str(key) for row in rows if isinstance(row, dict) for key in row))
    text = io.StringIO()
    table = csv.writer(text, delimiter=delimiter, quoting=rng.choice([csv.QUOTE_MINIMAL, 1]))
    table.writerow(heads)
    for row in rows:
        cells = [row.get(head) for head in heads] if isinstance(row, dict) else [row]
        table.writerow([c if isinstance(c, str) else json.dumps(c) for c in cells])
    return text.getvalue()


def write_parquet(rows):
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), sink)
    return sink.getvalue()


def serialise(rows, rng, kind):
    """The bytes of a file of rows."""
    if kind == ".parquet":
        try:
            return write_parquet(rows)
        except Exception:  # what Parquet cannot hold is no row of it
            return b"PAR1"
    text = {
        ".jsonl": lambda: write_lines(rows, rng),
        ".json": lambda: rng.choice([as_json, write_object])(rows, rng),
        ".csv": lambda: write_table(rows, rng, rng.choice(",,;")),
        ".tsv": lambda: write_table(rows, rng, "\t"),
    }[kind]()
    return text.encode("utf-8", "surrogatepass")


def draw_file(case):
    """A file of rows with none, one or several faults in it."""
    rng = case.rng
    rows = draw_rows(rng)
    if rng.random() < 0.7:
        rows = mutate(rows, rng, rng.choice([1, 1, 2, 4]))
        rows = rows if isinstance(rows, list) else [rows]
    kind = rng.choice([".jsonl", ".jsonl", ".json", ".csv", ".tsv", ".parquet"])
    raw = serialise(rows, rng, kind)
    if rng.random() < 0.4:
        raw = scramble(raw, rng, rng.choice([1, 1, 3]))
    if rng.random() < 0.15:
        raw, kind = gzip.compress(raw, mtime=0), f"{kind}.gz"
        raw = scramble(raw, rng) if rng.random() < 0.3 else raw
    if rng.random() < 0.05:
        kind = rng.choice([".jsonl", ".json", ".csv", ".parquet", ".txt", "", ".gz"])
    if rng.random() < 0.1:
        case.write(f"rows/{rng.choice(['train', 'test', 'val', 'x'])}{kind or '.json'}", raw)
        return case.write("rows/train.jsonl", write_lines(draw_rows(rng), rng)).parent
    return case.write(f"mine{kind}", raw)


def check_file(case):
    """`check` and `data.load` read the same file and agree about it."""
    path = draw_file(case)
    rng = case.rng
    options = (
        ["--encoding", rng.choice(["cp1252", "utf-16", "latin-1"])] if rng.random() < 0.1 else []
    )
    encoding = options[1] if options else None
    checked = case.verb("check", path, *options, "--json", told=True, names=[path, path.name])
    splits, refused = case.call(data.load, path, encoding=encoding, names=[path, path.name])
    if splits is not None:
        rows = sum(map(len, splits.values()))
        assert checked.code == 0, f"load takes it, and check says {checked.values or checked.said}"
        assert checked.values["valid"] == checked.values["rows"] == rows
        return
    if checked.code == 0:
        pairs = "preference pairs" in checked.values["formats"]
        few = checked.values["valid"] < 3
        train = checked.values["splits"].get("train", 0)
        assert pairs or few or (checked.values["splits"] and not train), (
            f"check takes it, and load says {refused}"
        )


def test_a_wrong_file_is_told_by_check_and_load_alike(tmp_path):
    run_cases("files", 600, check_file, tmp_path)


def same_in_other_words(case):
    """The same rows in JSON Lines and in any other writing give the same rows."""
    rng = case.rng
    style = rng.choice(["messages", "conversations", "prompt", "alpaca"])
    rows = [draw_row(rng, style) for _ in range(rng.randrange(3, 8))]
    right, _ = case.call(data.read, case.write("right.jsonl", write_lines(rows, rng)))
    assert right is not None and len(right) == len(rows)

    # other writings of the same
    kind = rng.choice([".json", ".csv", ".tsv", ".parquet", ".jsonl"])
    raw = serialise(rows, rng, kind) if kind != ".json" else as_json(rows, rng).encode()
    if kind == ".jsonl":
        raw = rng.choice([b"\xef\xbb\xbf" + raw, raw.replace(b"\n", b"\r\n"), raw + b"\n\n"])
    whole = raw
    if packed := rng.random() < 0.3:
        raw, kind = gzip.compress(raw, mtime=0), f"{kind}.gz"
    again, refused = case.call(data.read, case.write(f"again{kind}", raw))
    assert again == right, f"other rows, or refused: {refused}"

    # a copy that broke off is refused, where the format can tell
    if packed or kind in (".json", ".parquet"):
        cut = raw[: rng.randrange(1, len(raw.rstrip()))] if packed else whole[: len(whole) // 2]
        _, refused = case.call(data.read, case.write(f"cut{kind}", cut))
        assert refused, "half a file is read"


def test_the_same_rows_in_any_writing_are_the_same(tmp_path):
    run_cases("writings", 150, same_in_other_words, tmp_path)


def test_the_fuzz_finds_a_reader_that_raises(tmp_path, monkeypatch):
    def broken(stated):
        return stated["no such key"]

    monkeypatch.setattr(sets, "take_row", broken)
    with pytest.raises(AssertionError, match=r"KeyError(.|\n)*check_file"):
        run_cases("files", 20, check_file, tmp_path)


def test_the_fuzz_finds_a_hang_and_a_sentence_of_python(tmp_path, monkeypatch):
    import fuzzing

    monkeypatch.setattr(fuzzing, "SECONDS", 0.2)
    with pytest.raises(AssertionError, match=r"Hang(.|\n)*loop_for_ever"):
        run_cases("planted", 1, loop_for_ever, tmp_path)
    with pytest.raises(AssertionError, match="speaks of Python"):
        fuzzing.check_sentence("could not read it (KeyError: 'r').")


def loop_for_ever(case):
    while True:
        pass
