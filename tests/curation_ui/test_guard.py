"""Who comes in: names, origins, tokens, cookies, sizes; and what every answer carries."""

import json
from pathlib import Path

import pytest

import dreamreel
from curation_ui.guard import LARGEST_BODY, Door
from tests.curation_ui.conftest import Client, Place, Serve


@pytest.mark.parametrize("host", ["evil.test", "evil.test:1", "127.0.0.1.evil.test", "", "localhost.evil.test:80"])
def test_a_forged_host_gets_nothing(reading: Place, host: str) -> None:
    answer = reading.client().get("/api/home", Host=host)
    assert (answer.status, "--allow-host" in answer.detail) == (421, True)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "[::1]"])
def test_the_loopback_has_several_names(reading: Place, host: str) -> None:
    assert Client(reading.port, host).get("/api/home").status == 200
    assert reading.client().get("/api/home", Host=host).status == 200


@pytest.mark.parametrize("origin", ["http://evil.test", "null", "https://127.0.0.1", "http://127.0.0.1:1"])
def test_another_origin_writes_nothing(reading: Place, origin: str) -> None:
    answer = reading.client().post("/api/session", {"who": "ann"}, Origin=origin)
    assert (answer.status, "set-cookie" in answer.headers) == (403, False)
    own = f"http://127.0.0.1:{reading.port}"
    assert reading.client().post("/api/session", {"who": "ann"}, Origin=own).status == 200


def test_another_site_reads_nothing_but_may_link_to_the_page(reading: Place) -> None:
    client = reading.client()
    for site in ("cross-site", "same-site"):
        for path in ("/api/home", f"/media/clips/{reading.keys[0]}.jpg"):
            assert client.get(path, Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors").status == 403
            assert client.get(path, Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate").status == 403
        assert client.get("/clip/abc", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate").status == 200
        assert client.post("/api/session", {"who": "ann"}, Sec_Fetch_Site=site).status == 403


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_what_a_form_can_send_is_refused(reading: Place, kind: str) -> None:
    body = json.dumps({"who": "ann"}).encode()
    assert reading.client().ask("POST", "/api/session", body, Content_Type=kind).status == 415


def test_a_request_is_no_larger_than_it_may_be(reading: Place) -> None:
    client = reading.client()
    announced = client.ask("POST", "/api/session", b"", Content_Type="application/json", Content_Length=str(10**12))
    assert announced.status == 413
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (LARGEST_BODY + 1, b" " * (LARGEST_BODY + 1))
    chunked = {"Content_Type": "application/json", "Transfer_Encoding": "chunked"}
    unannounced = client.ask("POST", "/api/session", chunks, **chunked)
    assert unannounced.status == 413
    deep = b"[" * 100_000
    assert client.ask("POST", "/api/session", deep, Content_Type="application/json").status == 400


def test_every_answer_keeps_the_page_to_itself(reading: Place) -> None:
    for path in ("/", "/api/home", "/api/nothing/columns", f"/media/clips/{reading.keys[0]}.jpg", "/assets/none.js"):
        headers = reading.client().get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert not [name for name in headers if name.startswith("access-control")]
        assert "server" not in headers


def test_who_writes_says_who(clips: Path, serve: Serve) -> None:
    place = serve(clips)
    nobody = place.client()
    assert nobody.get("/api/session").json["who"] is None
    assert nobody.decide(place.keys[0], "accept").status == 401
    forged = place.client()
    forged.headers["Cookie"] = "dreamreel=ann." + "0" * 64
    assert forged.get("/api/session").json["who"] is None
    assert forged.decide(place.keys[0], "accept").status == 401
    ann = place.client()
    cookie = ann.sign_in("Ann Ünwin; Path=/x").headers["set-cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=Strict"))
    assert ann.get("/api/session").json["who"] == "Ann Ünwin; Path=/x"
    assert not list(clips.glob("verdicts/*"))


def test_a_server_with_a_token_shows_nothing_without_it(clips: Path, serve: Serve) -> None:
    door = Door.at("127.0.0.1", ["review.test"], "s3cret")
    place = serve(clips, door=door)
    client = Client(place.port, "review.test")
    assert client.get("/").status == 200  # the page itself, to ask for the token
    for path in ("/api/home", f"/media/clips/{place.keys[0]}.mp4", "/api/clips/verdicts.jsonl"):
        assert client.get(path).status == 401
    assert client.get("/api/session").json["needs_token"] is True
    assert client.sign_in("ann", "wrong").status == 401
    assert client.sign_in("ann").status == 401
    assert client.sign_in("ann", "s3cret").status == 200
    assert client.get("/api/home").status == 200
    again = serve(clips, door=Door.at("127.0.0.1", ["review.test"], "s3cret"))
    assert Client(again.port, "review.test", client.headers).get("/api/home").status == 200
    other = serve(clips, door=Door.at("127.0.0.1", ["review.test"], "another"))
    assert Client(other.port, "review.test", client.headers).get("/api/home").status == 401


@pytest.mark.parametrize("options", [["--host", "0.0.0.0"], ["--host", "192.0.2.1"], ["--allow-host", "review.test"]])
def test_an_address_that_others_reach_needs_a_token(
    made: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    assert dreamreel.main(["review", str(made), *options]) == 2
    assert "--token" in capsys.readouterr().err


def test_an_address_without_a_name_needs_one() -> None:
    with pytest.raises(ValueError, match="--allow-host"):
        Door.at("0.0.0.0", token="s3cret")
