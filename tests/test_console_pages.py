"""The console's pages beside the chat, as people use them: in a real browser, against a whole bot."""

from __future__ import annotations

import io
import wave
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from playwright.async_api import Page, expect

from bots.incoming import Incoming
from storage.model import Channel, Sender
from tests.browser import PHONE, WIDE, Window, Windows, browsing, needs_chromium
from tests.webfront import Web, web_front

pytestmark = needs_chromium

HOSTILE = "<script>window.hacked=1</script>" + "W" * 60
PAGES = [
    *("sessions", "sessions/{id}", "sessions/compare/{id}/{other}", "sessions/templates", "live", "files"),
    *("files/{id}", "live/discord:9", "operate/health", "operate/backups", "operate/storage", "operate/usage"),
    *("operate/memories", "operate/config", "operate/audit", "operate/you"),
]
LEFT_FOR = """path => {
  document.querySelector('.page')?.setAttribute('data-left', '')
  location.hash = '#/' + path
}"""
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n%%EOF\n"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>window.hacked=1</script></svg>'

PICTURE = "document.createElement('canvas').toDataURL('image/png').split(',')[1]"
FILM = """async () => {
  const canvas = document.createElement('canvas'), pen = canvas.getContext('2d'), pieces = []
  const film = new MediaRecorder(canvas.captureStream(30), {mimeType: 'video/webm'})
  film.ondataavailable = piece => pieces.push(piece.data)
  const ended = new Promise(end => { film.onstop = end })
  film.start()
  for (let n = 0; n < 12; n++) {
    pen.fillStyle = n % 2 ? 'teal' : 'gold'
    pen.fillRect(0, 0, 300, 150)
    await new Promise(requestAnimationFrame)
  }
  film.stop()
  await ended
  const bytes = new Uint8Array(await new Blob(pieces).arrayBuffer())
  return btoa(String.fromCharCode(...bytes))
}"""
SIDEWAYS = "(inside => inside.scrollWidth - inside.clientWidth)(document.querySelector('dialog .inside'))"
OUTSIDE = """[...document.querySelectorAll('.tree .about > *')].filter(words => {
  const [own, room] = [words, words.closest('a').querySelector('rect')].map(each => each.getBoundingClientRect())
  return own.left < room.left || own.right > room.right || own.bottom > room.bottom
}).length"""


async def api(web: Web, method: str, path: str, **how: Any) -> Any:
    told = await web.client.request(method, f"/api/{path}", **how)
    assert told.status_code < 300, told.text
    return told.json() if told.content else None


async def talk(web: Web, *lines: str, **session: Any) -> str:
    """A session in which these were said; its id."""
    id: str = (await api(web, "POST", "chat/sessions", json=session))["id"]
    for line in lines:
        await api(web, "POST", f"chat/sessions/{id}/messages", json={"text": line})
    return id


async def filled(web: Web) -> dict[str, str]:
    """Two sessions of one family, files, memories and a Discord channel, with names that mean no good."""
    id = await talk(web, "what is 6 * 7?", title="Sums")
    files = [("<img src=x onerror=window.hacked=1>.svg", SVG), ("plan.pdf", PDF), ("notes.txt", b"carrots\n")]
    files.append((f"{'W' * 120}.txt", b"long\n"))
    sent = [await api(web, "POST", "chat/attachments", files={"file": each}) for each in files]
    told = {"text": "these", "attachments": [each["hash"] for each in sent[:3]]}
    await api(web, "POST", f"chat/sessions/{id}/messages", json=told)
    other = (await api(web, "POST", f"chat/sessions/{id}/branch", json={}))["id"]
    await api(web, "PUT", f"chat/sessions/{other}", json={"title": HOSTILE})
    told = {"text": f"only here {HOSTILE}", "attachments": [sent[3]["hash"]]}
    await api(web, "POST", f"chat/sessions/{other}/messages", json=told)
    await api(web, "POST", "chat/templates", json={"session": id, "name": HOSTILE[:60], "lines": 2})
    await api(web, "POST", "memories", json={"text": f"I like {HOSTILE}", "scope": "here"})
    channel = Channel(front="discord", id="9", kind="channel", name=HOSTILE, guild_id="1", guild_name="Home")
    ann = Sender(type="user", id="42", name=HOSTILE)
    async for _ in web.house.bot.receive(Incoming("discord:9:1", channel, ann, HOSTILE, datetime.now(UTC))):
        pass
    return {"id": id, "other": other}


@asynccontextmanager
async def console(folder: Path, path: str = "/", **settings: Any) -> AsyncIterator[tuple[Web, Windows, Page]]:
    """A bot, a browser, and one page in it that ends without trouble."""
    async with web_front(folder, **settings) as web, browsing(web.url) as windows, windows.open(path) as window:
        yield web, windows, window.page
        assert window.trouble == []


async def visited(window: Window, names: dict[str, str]) -> None:
    """Looks at every page: nothing serious for axe, nothing over the edge, and no script of anybody's has run."""
    page = window.page
    for path in PAGES:
        await page.evaluate(LEFT_FOR, path.format(**names))
        await expect(page.locator(".page:not([data-left]) h1")).to_be_visible()
        await expect(page.locator("[aria-busy=true], .waiting")).to_have_count(0)
        assert await window.serious() == [], path
        over = await page.evaluate("(p => p.scrollWidth - p.clientWidth)(document.querySelector('.page'))")
        assert over <= 0, f"{path} runs {over} pixels over the edge"
        await expect(page.locator(".notice.bad")).to_have_count(0)
    assert await page.evaluate("window.hacked") is None
    assert window.trouble == []


async def test_every_page_is_fine_on_a_phone_in_the_dark_and_wide_in_the_light(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web, browsing(web.url) as windows:
        names = await filled(web)
        async with windows.open(viewport=PHONE, color_scheme="dark") as window:
            await visited(window, names)
        async with windows.open(viewport=WIDE) as window:
            await visited(window, names)


async def test_every_page_of_an_empty_bot_says_what_to_do(tmp_path: Path) -> None:
    async with console(tmp_path, "/#/sessions") as (_, _, page):
        await page.get_by_role("link", name="Begin to talk").click()
        await expect(page.get_by_role("combobox", name="Your message")).to_be_visible()
        said = {
            "files": "Drop one into a chat",
            "live": "As soon as somebody does",
            "operate/backups": "Make one now",
            "operate/storage": "Nobody has talked to this bot yet",
            "operate/memories": "Nothing is remembered yet",
            "operate/config": "was not started from files",
            "sessions/templates": "Save as template",
            "sessions/nothing": "There is no session 'nothing'",
        }
        for path, words in said.items():
            await page.evaluate("path => { location.hash = '#/' + path }", path)
            await expect(page.get_by_text(words)).to_be_visible()
        await page.evaluate("location.hash = '#/sessions/nothing'")
        await expect(page.get_by_role("heading", name="No such session")).to_be_visible()
        await page.get_by_role("link", name="All sessions").click()
        await expect(page.get_by_role("heading", name="Sessions", exact=True)).to_be_visible()


async def test_a_family_is_drawn_compared_and_made_one_with_the_keyboard_alone(tmp_path: Path) -> None:
    async with console(tmp_path) as (web, _, page):
        id = await talk(web, "what is 6 * 7?", title="Sums")
        await page.goto(f"{web.url}/#/sessions/{id}")
        await page.get_by_role("button", name="Branch", exact=True).press("Enter")
        await expect(page.get_by_role("heading", name="Branch of Sums")).to_be_visible()
        branch = page.url.rpartition("/")[2]
        await api(web, "POST", f"chat/sessions/{branch}/messages", json={"text": "what is 2 * 2?"})
        await page.locator(".tree").get_by_role("link", name="Sums, where it began").press("Enter")
        await expect(page.get_by_role("link", name="Branch of Sums, branched from Sums, 4 messages")).to_be_visible()
        assert await page.locator(".tree path.edge").evaluate("line => getComputedStyle(line).display") == "inline"
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await page.get_by_role("button", name="Compare…").press("Enter")
        await page.get_by_role("listbox", name="Sessions of the same place").select_option(branch)
        await page.keyboard.press("Tab")
        await page.get_by_role("button", name="Compare", exact=True).press("Enter")
        await expect(page.get_by_text("2 lines in common, 0 only in the first, 2 only in the second.")).to_be_visible()
        await expect(page.locator(".compare .right .says")).to_have_text(["what is 2 * 2?", "2 × 2 = 4"])
        assert not [each for each in asked if each.endswith("/rendered")]
        await page.get_by_role("button", name="Merge…").press("Enter")
        await expect(page.get_by_text("One session of 4 lines would come of it")).to_be_visible()
        assert len((await api(web, "GET", "chat/sessions"))["items"]) == 2
        await page.get_by_role("button", name="Merge", exact=True).press("Enter")
        await expect(page.get_by_role("link", name="merged from")).to_be_visible()
        assert len((await api(web, "GET", "chat/sessions"))["items"]) == 1


async def test_a_session_is_put_away_brought_back_and_becomes_a_template(tmp_path: Path) -> None:
    async with console(tmp_path) as (web, _, page):
        id = await talk(web, "what is 6 * 7?", title="Sums")
        await page.goto(f"{web.url}/#/sessions/{id}")

        async def choose(item: str) -> None:
            await page.get_by_role("button", name="More…").click()
            await page.get_by_role("menuitem", name=item).click()

        await choose("Save as template…")
        await page.get_by_label("Name").fill("Arithmetic")
        await page.get_by_label("Begin with the first lines").fill("2")
        await page.get_by_role("button", name="Save").click()
        await choose("Delete…")
        await page.get_by_role("button", name="Delete", exact=True).click()
        await expect(page.get_by_text("There are no sessions yet.")).to_be_visible()
        await page.get_by_label("Show").select_option("deleted")
        await page.get_by_role("link", name="Sums").click()
        await page.locator("#page").get_by_role("button", name="Bring it back").click()
        await expect(page.get_by_role("button", name="Branch", exact=True)).to_be_visible()
        await page.goto(f"{web.url}/#/sessions/templates")
        await page.locator("summary").click()
        await expect(page.get_by_text("what is 6 * 7?")).to_be_visible()
        await page.get_by_role("button", name="Begin with it").click()
        await expect(page.locator("#page").get_by_text("6 × 7 = 42")).to_be_visible()


async def test_an_export_has_what_was_asked_for(tmp_path: Path) -> None:
    async with console(tmp_path) as (web, _, page):
        ids = [await talk(web, "what is 6 * 7?", title=title) for title in ("Sums", "More sums")]
        await page.goto(f"{web.url}/#/sessions/{ids[0]}")
        await page.get_by_role("button", name="Export…").click()
        tops = "fields => new Set(fields.slice(-2).map(each => each.getBoundingClientRect().top)).size"
        assert await page.locator(".export .field label").evaluate_all(tops) == 1
        await page.get_by_label("Headings begin at").select_option("3")
        await page.get_by_label("When each thing was said").uncheck()
        async with page.expect_download() as one:
            await page.get_by_role("button", name="Export", exact=True).click()
        text = (await (await one.value).path()).read_text()
        assert "### Sums" in text
        assert "6 × 7 = 42" in text
        await page.goto(f"{web.url}/#/sessions")
        await page.get_by_role("checkbox", name="Choose Sums").check()
        await page.get_by_role("checkbox", name="Choose More sums").check()
        await page.get_by_role("button", name="Export…", exact=True).click()
        await page.get_by_label("JSON").check()
        await expect(page.get_by_label("Headings begin at")).to_have_count(0)
        async with page.expect_download() as both:
            await page.get_by_role("button", name="Export", exact=True).click()
        told = await both.value
        assert told.suggested_filename.endswith(".json")
        assert (await told.path()).read_text().count('"title"') == 2
        await page.get_by_role("button", name="Export…", exact=True).click()
        await page.get_by_label("Markdown").check()
        await page.get_by_label("Time zone").fill("Nowhere/Land")
        await page.get_by_role("button", name="Export", exact=True).click()
        await expect(page.get_by_role("alert")).to_contain_text("There is no time zone")


async def test_files_are_seen_as_what_they_are_and_never_run(tmp_path: Path) -> None:
    async with console(tmp_path) as (web, _, page):
        names = await filled(web)
        await page.goto(f"{web.url}/#/files/{names['id']}")
        await page.get_by_role("button", name="notes.txt").click()
        await expect(page.locator(".file-text")).to_have_text("carrots\n")
        await page.get_by_role("button", name="← Before").click()
        address = await page.locator("iframe").get_attribute("src")
        assert str(address).startswith("blob:")
        await page.get_by_role("button", name="← Before").click()
        await expect(page.get_by_text("is not opened here: download it")).to_be_visible()
        async with page.expect_download() as kept:
            await page.get_by_role("link", name="Download").click()
        assert (await (await kept.value).path()).read_bytes() == SVG
        assert await page.evaluate("window.hacked") is None


async def test_pictures_sound_and_films_are_shown_and_play(tmp_path: Path) -> None:
    name = "W" * 100
    async with web_front(tmp_path) as web, browsing(web.url) as windows, windows.open(viewport=PHONE) as window:
        page, id = window.page, await talk(web)
        drawn = [(f"{name}.png", b64decode(await page.evaluate(PICTURE))), ("tone.wav", tone())]
        drawn.append(("film.webm", b64decode(await page.evaluate(FILM))))
        sent = [await api(web, "POST", "chat/attachments", files={"file": each}) for each in drawn]
        told = {"text": "these", "attachments": [each["hash"] for each in sent]}
        await api(web, "POST", f"chat/sessions/{id}/messages", json=told)
        await page.goto(f"{web.url}/#/files/{id}")

        async def seen(tag: str, size: str) -> None:
            shown = page.locator(f".file-room {tag}")
            await expect(shown).to_be_visible()
            assert await shown.evaluate(f"async e => {{ await (e.decode ?? e.play).call(e); return e.{size} }}") > 0
            assert await window.serious() == []
            assert await page.evaluate(SIDEWAYS) <= 0

        await page.get_by_role("button", name=name).click()
        await seen("img", "naturalWidth")
        await page.get_by_role("button", name="Next →").click()
        await seen("audio", "duration")
        await page.get_by_role("button", name="Next →").click()
        await seen("video", "videoWidth")
        assert window.trouble == []


async def test_titles_of_any_script_stay_inside_what_holds_them(tmp_path: Path) -> None:
    titles = ["漢字の題名はとても長い" * 8, "هذا عنوان طويل باللغة العربية " * 3, "W" * 100]
    async with web_front(tmp_path) as web, browsing(web.url) as windows, windows.open(viewport=PHONE) as window:
        page, id = window.page, await talk(web, "what is 6 * 7?", title=titles[0])
        for title in titles[1:]:
            branch = (await api(web, "POST", f"chat/sessions/{id}/branch", json={}))["id"]
            await api(web, "PUT", f"chat/sessions/{branch}", json={"title": title})
        await page.goto(f"{web.url}/#/sessions/{branch}")
        await expect(page.locator(".tree .about b")).to_have_count(3)
        assert await page.evaluate(OUTSIDE) == 0
        assert await page.locator(".tree .about b").nth(1).evaluate("b => getComputedStyle(b).direction") == "rtl"
        await page.evaluate("path => { location.hash = path }", f"#/sessions/compare/{id}/{branch}")
        await page.get_by_role("button", name="Merge…").click()
        await expect(page.get_by_role("button", name="Merge", exact=True)).to_be_in_viewport(ratio=1)
        assert await page.evaluate(SIDEWAYS) <= 0
        assert await window.serious() == []
        assert window.trouble == []


async def test_what_is_refused_of_a_name_or_a_tag_stays_written(tmp_path: Path) -> None:
    async with console(tmp_path) as (web, _, page):
        id = await talk(web, title="Sums")
        await page.goto(f"{web.url}/#/sessions/{id}")
        await page.get_by_role("button", name="More…").click()
        await page.get_by_role("menuitem", name="Tags…").click()
        tags = page.get_by_role("textbox", name="Tags")
        await tags.fill(f"maths, {'x' * 41}")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("alert")).to_contain_text("40")
        await expect(tags).to_have_value(f"maths, {'x' * 41}")
        await tags.fill("maths")
        await page.keyboard.press("Enter")
        await expect(page.locator(".facts .tag")).to_have_text("maths")


def tone() -> bytes:
    """A tenth of a second of sound."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(8000)
        sound.writeframes(bytes(range(0, 250, 10)) * 32)
    return file.getvalue()
