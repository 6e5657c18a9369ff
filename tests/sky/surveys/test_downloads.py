"""The downloader against a server with every fault that real ones have shown."""

import base64
import concurrent.futures
import gzip
import hashlib
import json
import time
import types

import pytest

from clusterjax.errors import InputError
from clusterjax.sky.surveys import transfer
from clusterjax.sky.surveys.cache import MANIFEST, Cache
from clusterjax.sky.surveys.downloads import Downloader, DownloadSettings, ResourceMissing
from tests.local_server import Answer, LocalServer

BODY = bytes(range(256)) * 40


@pytest.fixture
def serve():
    """``serve(answers)``: a server that gives these answers in turn, the last for ever."""
    servers = []

    def start(*answers):
        left = list(answers)
        respond = answers[0] if callable(answers[0]) else lambda _: left.pop(0) if len(left) > 1 else left[0]
        servers.append(LocalServer(respond))
        return servers[-1].__enter__()

    yield start
    for server in servers:
        server.__exit__()


@pytest.fixture
def make(tmp_path):
    waits = []

    def build(**changes):
        settings = DownloadSettings(tmp_path / "cache", **{"timeout_s": 5.0, **changes})
        downloader = Downloader(settings, sleep=waits.append)
        downloader.waits = waits
        return downloader

    return build


def manifest(downloader):
    return [json.loads(line) for line in (downloader.cache.folder / MANIFEST).read_text().splitlines()]


def test_a_body_is_fetched_once_and_named_by_its_hash(serve, make):
    server = serve(Answer(BODY))
    with make() as first:
        path = first.fetch(f"{server.url}/a?x=1")
    assert path.read_bytes() == BODY
    assert path.name == hashlib.sha256(BODY).hexdigest()
    entry = manifest(first)[0]
    assert (entry["url"], entry["sha256"], entry["size"], entry["status"]) == (
        f"{server.url}/a?x=1", path.name, len(BODY), 200,
    )  # fmt: skip
    assert time.strptime(entry["time"][:19], "%Y-%m-%dT%H:%M:%S")
    assert server.asked[0].headers["User-Agent"].startswith("clusterjax/")
    with make() as second, make(offline=True) as offline:
        assert second.fetch(f"{server.url}/a?x=1") == path
        assert offline.fetch(f"{server.url}/a?x=1") == path
        assert len(server.asked) == 1
        with pytest.raises(InputError, match=r"/b is not in the cache .*cache.*offline=True; fetch it first"):
            offline.fetch(f"{server.url}/b")
    path.write_bytes(BODY[:-1] + b"?")  # the disk forgets
    with make() as third:
        assert third.fetch(f"{server.url}/a?x=1").read_bytes() == BODY
    assert len(server.asked) == 2


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again_with_growing_random_waits(serve, make, status):
    server = serve(*[Answer(status=status)] * 3, Answer(BODY))
    with make() as downloader:
        assert downloader.fetch(server.url).read_bytes() == BODY
    assert len(server.asked) == 4
    assert len(downloader.waits) == 3
    for number, wait in enumerate(downloader.waits):
        assert 0.5 * 2**number <= wait <= 1.5 * 2**number
    assert len({wait / 2**number for number, wait in enumerate(downloader.waits)}) == 3


def test_the_seed_says_the_waits(serve, make, tmp_path):
    waits = []
    server = serve(Answer(status=503))
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        found = []
        settings = DownloadSettings(tmp_path / name, attempts=3, seed=seed)
        with Downloader(settings, sleep=found.append) as downloader, pytest.raises(InputError):
            downloader.fetch(server.url)
        waits.append(found)
    assert waits[0] == waits[1] != waits[2]


def test_a_server_says_when_to_come_back(serve, make, monkeypatch):
    server = serve(Answer(status=503, headers={"Retry-After": "40"}), Answer(BODY))
    with make() as downloader:
        downloader.fetch(server.url)
    assert downloader.waits[0] == 40
    assert 39 < downloader.waits[1] <= 40  # the next request to that host waits too: time stands still here
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 60))
    server = serve(Answer(status=429, headers={"Retry-After": date}), Answer(BODY))
    with make() as downloader:
        downloader.fetch(server.url)
    assert 57 < downloader.waits[2] < 61
    monkeypatch.setattr(
        transfer, "time", types.SimpleNamespace(time=lambda: 0.0)
    )  # our clock is wrong, not the server's
    server = serve(Answer(status=429, headers={"Retry-After": date}), Answer(BODY))
    with make() as downloader:
        downloader.fetch(server.url)
    assert 50 < downloader.waits[3] < 61
    server = serve(Answer(status=429, headers={"Retry-After": "7200"}))
    with make() as downloader, pytest.raises(InputError, match="asks to be left alone for 7200 s; try later"):
        downloader.fetch(server.url)


def test_failures_end_in_one_line(serve, make):
    server = serve(Answer(status=504))
    with make(attempts=2) as downloader, pytest.raises(InputError, match=r"status 504 .* \(2 attempts\); what was"):
        downloader.fetch(server.url)
    server = serve(Answer(status=404))
    with make() as downloader, pytest.raises(ResourceMissing, match="refused with status 404"):
        downloader.fetch(f"{server.url}/none")
    assert len(server.asked) == 1
    with make(offline=True) as offline, pytest.raises(ResourceMissing, match="status 404 when it was last asked for"):
        offline.fetch(f"{server.url}/none")
    server = serve(Answer(BODY, delay_s=1.0))
    with make(attempts=1, timeout_s=0.2) as downloader, pytest.raises(InputError, match=r"no answer within 0\.2 s"):
        downloader.fetch(server.url)
    with make(attempts=1) as downloader, pytest.raises(InputError, match=r"no connection .*; is there a network\?"):
        downloader.fetch("http://127.0.0.1:9/")
    for url in ("file:///etc/hostname", "ftp://host/file", "nonsense"):
        with make() as downloader, pytest.raises(InputError, match="is no address that can be fetched; use http"):
            downloader.fetch(url)
    server = serve(Answer(BODY))
    for claimed in (Answer(BODY), Answer(BODY, length=None)):
        server.respond = lambda _, claimed=claimed: claimed
        with make(max_bytes=5000) as downloader, pytest.raises(InputError, match="bytes or more; the limit is 5000"):
            downloader.fetch(server.url)
    (downloader.cache.folder / "objects").rmdir() if (downloader.cache.folder / "objects").is_dir() else None
    (downloader.cache.folder / "objects").write_text("in the way")
    with make() as downloader, pytest.raises(InputError, match=r"cannot be written .*config\.data\.survey\.cache_dir"):
        downloader.fetch(server.url)


def test_a_truncated_body_goes_on_where_it_broke_off(serve, make):
    headers = {"ETag": '"v1"', "Accept-Ranges": "bytes"}
    rest = {**headers, "Content-Range": f"bytes 6000-{len(BODY) - 1}/{len(BODY)}"}
    server = serve(
        Answer(BODY[:6000], headers=headers, length=len(BODY)), Answer(BODY[6000:], status=206, headers=rest)
    )
    with make() as downloader:
        assert downloader.fetch(server.url).read_bytes() == BODY
    assert server.asked[1].headers["Range"] == "bytes=6000-"
    assert server.asked[1].headers["If-Range"] == '"v1"'
    assert manifest(downloader)[0]["status"] == 200


@pytest.mark.parametrize(
    "headers", [{}, {"ETag": 'W/"v1"', "Accept-Ranges": "bytes"}, {"ETag": '"v1"'}, {"Accept-Ranges": "bytes"}]
)
def test_without_a_firm_offer_the_body_begins_anew(serve, make, headers):
    server = serve(Answer(BODY[:6000], headers=headers, length=len(BODY)), Answer(BODY))
    with make() as downloader:
        assert downloader.fetch(server.url).read_bytes() == BODY
    assert "Range" not in server.asked[1].headers


def test_a_file_that_changed_in_between_begins_anew(serve, make):
    headers = {"ETag": '"v1"', "Accept-Ranges": "bytes"}
    broken = Answer(BODY[:6000], headers=headers, length=len(BODY))
    server = serve(broken, Answer(b"new" * 5000, headers={"ETag": '"v2"', "Accept-Ranges": "bytes"}))
    with make() as downloader:
        assert downloader.fetch(server.url).read_bytes() == b"new" * 5000
    server = serve(broken, Answer(status=416), Answer(b"short"))
    with make() as downloader:
        assert downloader.fetch(f"{server.url}/2").read_bytes() == b"short"


def test_a_killed_download_is_taken_up_by_the_next_program(serve, make):
    headers = {"Last-Modified": "Sat, 21 Nov 2026 00:00:00 GMT", "Accept-Ranges": "bytes"}
    server = serve(Answer(BODY[:6000], headers=headers, length=len(BODY)))
    with make(attempts=1) as downloader, pytest.raises(InputError, match="broke off after 6000 of 10240 bytes"):
        downloader.fetch(server.url)
    rest = {**headers, "Content-Range": f"bytes 6000-{len(BODY) - 1}/{len(BODY)}"}
    server.respond = lambda _: Answer(BODY[6000:], status=206, headers=rest)
    with make() as downloader:
        assert downloader.fetch(server.url).read_bytes() == BODY
    assert server.asked[-1].headers["Range"] == "bytes=6000-"


FITS = b"SIMPLE  =                    T".ljust(2880)
VOTABLE = b"<?xml version='1.0'?>\n<VOTABLE>" + b" " * 300 + b"</VOTABLE>\n"


@pytest.mark.parametrize(
    ("kind", "body", "what"),
    [
        ("any", b"", "an empty body"),
        ("fits", b"<!DOCTYPE html><head><title>Down &amp;\n out</title>", r"an HTML page \(Down & out\)"),
        ("any", b"\n <HTML>busy", "an HTML page"),
        ("fits", b"Error: no such HiPS", "no FITS file but 'Error: no such HiPS'"),
        ("fits", FITS + FITS[:2879], "a truncated FITS file"),
        ("fits", gzip.compress(FITS, mtime=0)[:-3], "a truncated gzip stream"),
        ("tar.gz", gzip.compress(BODY, mtime=0)[:-1], "a truncated gzip stream"),
        ("tar.gz", gzip.compress(BODY, mtime=0)[:-8] + bytes(8), "a damaged gzip stream"),
        ("tar.gz", FITS, "no tar.gz archive"),
        ("votable", VOTABLE[:-12], "a truncated VOTable"),
        ("votable", b"#INFO no catalogue", "no VOTable but '#INFO no catalogue'"),
    ],
)
def test_a_false_body_with_status_200_is_not_kept(serve, make, kind, body, what):
    good = {"fits": FITS, "tar.gz": gzip.compress(BODY), "votable": VOTABLE, "any": BODY}[kind]
    server = serve(Answer(body, length=None), Answer(good))
    with make() as downloader:
        assert downloader.fetch(server.url, kind).read_bytes() == good
    assert len(manifest(downloader)) == 1
    server.respond = lambda _: Answer(body)
    with make(attempts=2) as downloader, pytest.raises(InputError, match=f"the server sent {what}"):
        downloader.fetch(f"{server.url}/again", kind)


def test_many_come_in_order_few_at_a_time_and_once(serve, make):
    def respond(asked):
        if asked.path == "/7":
            return Answer(status=404)
        return Answer(asked.path.encode() * 100, delay_s=0.02 if asked.path == "/0" else 0.005)

    server = serve(respond)
    urls = [f"{server.url}/{number % 30}" for number in range(60)]
    with make(per_host=3) as downloader:
        found = list(downloader.fetch_many(urls))
        for number, path in enumerate(found):
            if number % 30 == 7:
                assert isinstance(path, ResourceMissing)
            else:
                assert path.read_bytes() == f"/{number % 30}".encode() * 100
    asked = [one.path for one in server.asked if one.path != "/7"]
    assert len(asked) == len(set(asked)) == 29
    assert 2 <= server.most_at_once <= 3


def test_an_interrupted_fetch_of_many_resumes(serve, make):
    dead = []

    def respond(asked):
        return Answer(status=503) if dead else Answer(asked.path.encode())

    server = serve(respond)
    urls = [f"{server.url}/{number}" for number in range(40)]
    with make(attempts=2) as downloader:
        several = downloader.fetch_many(urls)
        for _ in range(20):
            next(several)
        dead.append(True)
        with pytest.raises(InputError, match="status 503"):
            list(several)
    done = len(manifest(downloader))
    assert 20 <= done < 40
    dead.clear()
    server.asked.clear()
    with make() as downloader:
        assert [path.read_bytes().decode() for path in downloader.fetch_many(urls)] == [f"/{n}" for n in range(40)]
    assert len(server.asked) == 40 - done


def test_a_line_cut_short_by_a_crash_costs_one_download(serve, make):
    server = serve(lambda asked: Answer(asked.path.encode()))
    with make() as downloader:
        for name in "abc":
            downloader.fetch(f"{server.url}/{name}")
    path = downloader.cache.folder / MANIFEST
    path.write_bytes(path.read_bytes()[:-20])
    server.asked.clear()
    with make() as downloader:
        for name in "abc":
            downloader.fetch(f"{server.url}/{name}")
    assert [one.path for one in server.asked] == ["/c"]
    assert Cache(downloader.cache.folder).entry(f"{server.url}/c").size == 2


def test_a_second_program_waits_and_asks_for_nothing_again(serve, make, capfd):
    server = serve(lambda asked: Answer(asked.path.encode()))
    with concurrent.futures.ThreadPoolExecutor(1) as pool, make() as second:
        with make() as first:
            first.fetch(f"{server.url}/a")
            waiting = pool.submit(second.fetch, f"{server.url}/b")
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.1)
            path = first.fetch(f"{server.url}/b")
        assert waiting.result(timeout=5) == path
    assert "waiting for another process that downloads into" in capfd.readouterr().err
    assert [one.path for one in server.asked] == ["/a", "/b"]


def digest(kind: str, body: bytes) -> str:
    return base64.b64encode(hashlib.new(kind, body).digest()).decode()


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Repr-Digest", f"sha-512=:AAAA:, sha-256=:{digest('sha256', BODY)}:"),
        ("Digest", f"SHA-256={digest('sha256', BODY)}"),
        ("Content-MD5", digest("md5", BODY)),
    ],
)
def test_a_checksum_that_the_server_sends_is_checked(serve, make, header, value):
    wrong = bytearray(BODY)
    wrong[5] ^= 1
    server = serve(Answer(bytes(wrong), headers={header: value}), Answer(BODY, headers={header: value}))
    with make() as downloader:
        assert downloader.fetch(f"{server.url}/a").read_bytes() == BODY
    assert len(server.asked) == 2
    never = serve(Answer(bytes(wrong), headers={header: value}))
    with make() as downloader, pytest.raises(InputError, match=r"a body whose (sha-256|md5) is \w+, where \w+ is publ"):
        downloader.fetch(f"{never.url}/b")
