"""What the doctor's tests plant, and what they ask of a finding."""


def plant(folder, name, version, requires=()):
    """An installed distribution, as far as metadata go; returns the folder."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    wants = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (info / "METADATA").write_text(head + wants)
    return folder


def is_wrong(finding, *parts):
    """Whether a finding says that something is wrong, with these words in it or in its cure."""
    assert not finding.ok
    assert finding.cure
    assert [part for part in parts if part not in finding.detail] == []
    return True
