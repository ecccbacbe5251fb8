"""What lies in an archive and its parity side by side (parity.md): files that are mended with it, and a check of it. Needs no key,
and no wagon.json: it may be the file that is lost. Nothing in the archive is changed.

Called by wagon_restore.py."""
import hashlib, os, pathlib, re, struct
import wagon_read
from wagon_parity import BLOCK, Lost, Parity, need, stored_blocks

PROTECTED = re.compile(r"""(wagon|wagon-again)\.json | key(-again)?\.age | (packs/(?P<X>[0-9a-f]{2})/(?P<pack>(?P=X)[0-9a-f]{62})\.tar\.gz(\.age)?)
    | index/(?P<Y>[0-9a-f]{2})/(?P=Y)[0-9a-f]{62}\.idx(\.age)? | snapshots/[0-9]{8}-(?P<snapshot>[0-9a-f]{16})\.tar\.gz(\.age)?(?P<of>\.minisig)?""", re.X)


def kept(archive):
    """(path of the file, path of its parity, how its SHA-256 begins) of each file of an archive that is there or has parity."""
    names = {path.relative_to(archive / "parity").as_posix()[:-4] for path in (archive / "parity").glob("**/*.par")}
    for pattern in ("*.json", "*.age", "packs/??/*", "index/??/*", "snapshots/*"):
        names |= {path.relative_to(archive).as_posix() for path in archive.glob(pattern)}
    for name in sorted(names):
        if match := PROTECTED.fullmatch(name):
            digest = match["pack"] or not match["of"] and match["snapshot"] or ""
            yield archive / name, archive / "parity" / (name + ".par"), digest


def digest(path):
    """The SHA-256 of a file; nothing where it is not there or cannot be read."""
    content = hashlib.sha256()
    if not path.is_file():
        return ""
    try:
        with open(path, "rb") as file:
            while data := file.read(1 << 20):
                content.update(data)
    except OSError:
        return ""
    return content.hexdigest()


def is_sound_index(path):
    """Whether this is an index that is sound by its own checksum: made anew, if its parity is of other bytes. One that is encrypted
    tells that with an identity only."""
    if path.parent.parent.name != "index":
        return False
    try:
        with wagon_read.opened(path) as file:
            data = file.read()
        data = data[:96 + 24 * sum(struct.unpack_from("<12xIQ", data))]
        return hashlib.sha256(data[:-32]).digest() == data[-32:] and data[32:64].hex() == path.name[:64]
    except wagon_read.WRONG:
        return False


def opened(path):
    """What is left of a file, or None."""
    try:
        return open(path, "rb") if path.is_file() else None
    except OSError:
        return None


def look(path, beside, wanted):
    """(how the file is: sound, damaged, lost, or unproven; its parity, where that serves; what is wrong with the parity)."""
    found, parity, trouble = digest(path), None, "it has no parity"
    if beside.is_file():
        try:
            parity, trouble = Parity(beside, wanted), f"{beside}: it is of other bytes than the file has"
        except (Lost, OSError) as why:
            trouble = f"{beside}: {why}"
    if parity and found == parity.claim.digest:
        return "sound", parity, "" if parity.is_whole() else f"{beside}: {parity.missing} of its {len(parity.at)} blocks are damaged"
    if wanted and found.startswith(wanted) or is_sound_index(path):
        return "sound", None, trouble
    if not path.is_file():
        return "lost", parity, trouble
    return "damaged" if wanted or parity else "unproven", parity, trouble


def check(archive, say, deep):
    """Names the files that are not what their parity is of, and parity that is damaged; `deep` computes it anew."""
    count = 0
    for path, beside, wanted in (names for names in kept(archive) if names[1].is_file()):
        state, parity, trouble = look(path, beside, wanted)
        if state in ("damaged", "lost") and parity:
            say(f"{path}: it is {state}; `mend` may bring it back")
        elif trouble:
            say(trouble)
        elif state == "sound" and parity:
            count += 1
            if deep and not is_as_made(path, parity):
                say(f"{beside}: it is not the parity of its file")
    return count


def is_as_made(path, parity):
    with open(path, "rb") as source, open(parity.path, "rb") as file:
        return all(file.read(BLOCK) == block for block in stored_blocks(source, parity.claim)) and not file.read(1)


def mend(archive, out):
    """Writes what was damaged or lost into the new folder `out`, under the names that it has in the archive; parity as well.
    Whether there is nothing that stays damaged."""
    archive, out, all_well = pathlib.Path(archive), pathlib.Path(out), True
    need(any(kept(archive)), f"{archive} has no file of an archive")
    out.mkdir(mode=0o700, parents=True)
    for path, beside, wanted in kept(archive):
        name, (state, parity, trouble) = path.relative_to(archive), look(path, beside, wanted)
        if state in ("damaged", "lost") and parity:
            try:
                write(out / name, lambda file: mend_into(path, parity, file))
                print(f"mended: {name}, which was {state}")
            except Lost as why:
                print(f"cannot be mended: {name}, which is {state}: {why}")
                all_well = False
                continue
        elif state == "sound":
            print(f"sound: {name}" + (f" ({trouble})" if trouble else ""))
        else:
            print(f"{'cannot be mended' if state != 'unproven' else 'nothing known'}: {name}, which is {state}: {trouble}")
            all_well &= state == "unproven"
        if parity and not parity.is_whole():
            whole = out / name if state != "sound" else path
            write(out / "parity" / f"{name}.par", lambda file: make_again(whole, parity, file))
            print(f"made again: {name}.par")
    return all_well


def mend_into(path, parity, file):
    source = opened(path)
    try:
        parity.mend(source, file)
    finally:
        if source:
            source.close()


def make_again(path, parity, file):
    with open(path, "rb") as source:
        for block in stored_blocks(source, parity.claim):
            file.write(block)


def write(path, fill):
    """A file that has its name when it is complete."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(".tmp-mended")
    try:
        with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            fill(file)
        os.rename(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
