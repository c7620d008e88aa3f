"""The console for whoever runs a bot, in a real browser: what goes on live, and operating it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from playwright.async_api import expect

from bots import status
from bots.here import whoever_is_here
from bots.incoming import Incoming
from storage.model import Channel, Sender
from storage.records import Memory
from tests.browser import WIDE, browsing, needs_chromium
from tests.speaking import Says
from tests.stage import free_port
from tests.test_console_pages import api, console, talk
from tests.test_web_live import on_discord, token_of
from tests.webfront import web_front

pytestmark = needs_chromium

STATIC = Path(__file__).parents[1] / "bots" / "web" / "static"


async def test_a_discord_conversation_is_seen_word_by_word_and_taken_over(tmp_path: Path) -> None:
    model = Says()
    async with (
        on_discord(tmp_path, model) as (web, server, channel),
        browsing(web.url) as windows,
        windows.open("/#/live", viewport=WIDE) as window,
    ):
        page, ana, (bot,) = window.page, server.add_person("ana"), server.bots.values()
        await expect(page.get_by_text("Listening")).to_be_visible()
        await server.say(ana, channel, "tell me", mentions=[bot])
        model.words.put_nowait("one ")
        await page.get_by_role("link", name="#general · Home").click()
        await expect(page.locator(".line.now .words")).to_have_text("one ")
        model.words.put_nowait("two")
        await expect(page.locator(".line.now .words")).to_have_text("one two")
        await expect(page.locator(".channels .saying")).to_have_text("one two")
        await page.get_by_role("button", name="Stop the answer").click()
        await expect(page.locator(".line.now")).to_have_count(0)
        await expect(page.locator(".heard .badge")).to_have_text("stopped")
        await page.get_by_role("button", name="Take over…").click()
        await page.get_by_role("menuitem", name="15 minutes").click()
        await expect(page.get_by_text("answers nobody here")).to_be_visible()
        await page.get_by_role("textbox", name="Say something as the bot").fill("A **person** here.")
        await page.keyboard.press("Enter")
        said = page.locator(".heard .line").last
        await expect(said.locator("strong")).to_have_text("person")
        await expect(said.locator(".badge")).to_have_text(f"by {whoever_is_here().name}")
        assert server.messages(channel)[-1].content == "A **person** here."
        await page.get_by_role("button", name="Hand back").click()
        await expect(page.get_by_role("button", name="Take over…")).to_be_visible()
        assert await window.serious() == []
        assert window.trouble == []


async def test_an_operator_sees_at_once_what_is_wrong_and_makes_it_right(tmp_path: Path) -> None:
    model = {"provider": "openai", "model": "m", "base_url": "http://127.0.0.1:1/v1"}
    backup = {"alarm_after": "1s"}
    storage = {"path": str(tmp_path / "data" / "{bot_name}"), "backup": backup}
    async with console(tmp_path, models=[model], storage=storage) as (web, _, page):
        await talk(web, "hello")
        await page.goto(f"{web.url}/#/operate")
        await expect(page.locator("#page .notice").first).to_contain_text("openai m")
        await page.get_by_role("button", name="Check everything").click()
        await expect(page.get_by_role("heading", name="The check-up")).to_be_visible()
        await page.get_by_role("link", name="Backups and jobs").click()
        await page.get_by_role("button", name="Back up now").click()
        await expect(page.get_by_text("Proved", exact=True)).to_be_visible()
        await page.get_by_role("button", name="Back up now").click()
        await expect(page.get_by_text("Proved", exact=True)).to_have_count(2)
        await page.get_by_role("button", name="Verify").first.click()
        await expect(page.get_by_text("is whole")).to_be_visible()
        alike = [await each.text_content() for each in await page.locator("td[data-head=Made]").all()]
        assert len(set(alike)) == 2
        restore = page.get_by_role("button", name="Restore as… conversations_")
        names = {await each.get_attribute("aria-label") for each in await restore.all()}
        assert len(names) == 2
        await restore.first.click()
        await page.get_by_role("button", name="See what would happen").click()
        await page.get_by_role("button", name="Restore", exact=True).click()
        await expect(page.get_by_text("Restored 2 messages")).to_be_visible()
        assert (tmp_path / "data" / "sage-restored" / "conversations.db").exists()
        await page.get_by_role("link", name="Storage").click()
        await page.get_by_role("button", name="Preview").click()
        await expect(page.get_by_text("Nothing is due to go.")).to_be_visible()


async def test_memories_are_corrected_forgotten_and_undone(tmp_path: Path) -> None:
    async with console(tmp_path, "/#/operate/memories") as (_, _, page):
        await page.get_by_role("button", name="Remember something…").click()
        await page.get_by_label("What is true").fill("I have a cat.")
        await page.get_by_role("button", name="Remember", exact=True).click()
        await expect(page.get_by_text("1 memory; 0%")).to_be_visible()
        await expect(page.get_by_role("button", name="Undo the last correction")).to_have_count(0)
        await page.get_by_role("button", name="Correct: I have a cat.").click()
        await page.get_by_label("What is true").fill("I have two cats.")
        await page.get_by_role("button", name="Correct", exact=True).click()
        await expect(page.locator(".card .words")).to_have_text("I have two cats.")
        await page.get_by_role("button", name="Undo the last correction").click()
        await expect(page.locator(".card .words")).to_have_text("I have a cat.")
        await page.get_by_role("button", name="Forget: I have a cat.").click()
        await page.get_by_role("button", name="Forget", exact=True).click()
        await expect(page.get_by_text("Nothing is remembered yet.")).to_be_visible()


async def test_the_audit_says_in_words_who_did_what_each_once_and_talk_only_when_asked(tmp_path: Path) -> None:
    async with console(tmp_path) as (web, _, page):
        id = await talk(web, "hello", title="Sums")
        channel = (await api(web, "GET", f"chat/sessions/{id}"))["channel"]["key"]
        await api(web, "PUT", f"chat/sessions/{id}", json={"starred": True})
        await api(web, "POST", f"live/channels/{channel}/quiet", json={"minutes": 5})
        refused = await web.client.delete("/api/chat/messages/none")
        assert refused.status_code == 404
        await page.goto(f"{web.url}/#/operate/audit")
        did = page.locator("td[data-head=Did]")
        acts = ["Deleted a messagerefused", "Took a channel over", "Changed a conversation"]
        await expect(did).to_have_text(acts)
        await expect(page.locator("td[data-head=Who]")).to_have_text([whoever_is_here().name] * 3)
        await page.locator("summary").nth(2).click()
        await expect(page.get_by_text("PUT /api/chat/sessions/{id}")).to_be_visible()
        await page.get_by_label("Talk too").check()
        await expect(did).to_have_text([*acts, "Said something", "Began a conversation"])
        await page.get_by_role("link", name="a conversation").first.click()
        await expect(page.get_by_role("heading", name="Sums")).to_be_visible()


async def test_the_audit_has_words_for_every_request_that_changes_something(tmp_path: Path) -> None:
    words = (STATIC / "operate_audit.js").read_text()
    unnoted = {"rendered", "count", "check", "forget", "graphql"}
    async with web_front(tmp_path) as web:
        paths = (await api(web, "GET", "openapi.json"))["paths"]
    changing = [(way.upper(), path) for path, ways in paths.items() for way in ways if way != "get"]
    wordless = [f"{way} {path}" for way, path in changing if f'"{way} {path}": [' not in words]
    assert {each.rsplit("/", 1)[1] for each in wordless} == unnoted


async def test_a_change_of_the_configuration_is_checked_shown_and_only_then_written(tmp_path: Path) -> None:
    config, port = tmp_path / "config", free_port()
    for name in ("bots", "personas"):
        (config / name).mkdir(parents=True)
    (config / "personas" / "sage.yaml").write_text("{display: Sage, description: wise, prompt: You are Sage.}\n")
    written = f"personas: [sage]\nweb: {{port: {port}}}\nembedder: {{provider: none}}\ndiscord: {{}}\n"
    (config / "bots" / "sage.yaml").write_text(written)
    async with console(tmp_path, "/#/operate/config", config=config) as (_, _, page):
        text = page.get_by_label("bots/sage.yaml")
        await expect(text).to_have_value(written)
        await text.fill(f"{written}dispaly: Wise\n")
        await expect(page.get_by_role("alert")).to_have_text("This cannot be written yet:")
        await expect(page.get_by_text("did you mean 'display'?")).to_be_visible()
        await expect(page.get_by_role("button", name="Write it")).to_be_disabled()
        await page.get_by_role("button", name="Line 5").click()
        assert await text.evaluate("t => t.value.slice(t.selectionStart, t.selectionEnd)") == "dispaly: Wise"
        await text.fill(f"{written}display: Wise\n")
        await expect(page.locator(".diff .added")).to_have_text("+display: Wise\n")
        await page.get_by_role("button", name="Write it").click()
        await expect(page.get_by_text("Written; what was there before")).to_be_visible()
        assert (config / "bots" / "sage.yaml").read_text() == f"{written}display: Wise\n"


async def test_times_and_costs_are_told_in_the_unit_that_fits_and_never_as_nothing(tmp_path: Path) -> None:
    async with console(tmp_path) as (_, __, page):
        told = await page.evaluate("""async () => {
          const { ago, cost } = await import('/static/pages.js')
          const far = [59.6, 3_599, 86_399, 45].map(seconds => ago(0, seconds * 1000))
          const sums = [[0, 0], [0, 3], [20_000, 0], [20_000, 1]]
          return [far, sums.map(([cost_micros, unpriced]) => cost({ cost_micros, unpriced }))]
        }""")
        assert told == [
            ["1 minute ago", "1 hour ago", "1 day ago", "45 seconds ago"],
            ["$0", "not known", "$0.02", "$0.02 +"],
        ]


async def test_whoever_runs_nothing_sees_only_what_is_theirs(tmp_path: Path) -> None:
    async with web_front(tmp_path, web={"open": "never"}) as web, browsing(web.url) as windows:
        ann = Sender(type="user", id="ann", name="Ann")
        token = token_of(web, ann, "chat")
        async with windows.open("/#/operate", extra_http_headers={"Authorization": f"Bearer {token}"}) as window:
            page = window.page
            await expect(page.get_by_role("navigation", name="Parts").get_by_role("link")).to_have_text(
                ["Memories", "Your data"]
            )
            await expect(page.get_by_role("link", name="Live")).to_have_count(0)
            await page.get_by_role("link", name="Your data").click()
            await expect(page.get_by_text("Ann (ann)")).to_be_visible()
            await page.evaluate("location.hash = '#/operate/audit'")
            await expect(page.get_by_text("for those who run the bot")).to_be_visible()
            assert await window.serious() == []
            assert window.trouble == []


async def test_the_health_page_says_what_fails_and_keeps_the_focus_while_it_looks_again(tmp_path: Path) -> None:
    async with console(tmp_path) as (web, _, page):
        full = status.BotStatus(bot="sage", state="stopped", job_trouble="The backup failed: the disk is full.")
        status.write(tmp_path / "data" / "sage", full)
        await page.clock.install()
        await talk(web, "hello")
        await page.goto(f"{web.url}/#/operate/health")
        await expect(page.get_by_text("Jobs · sage: The backup failed")).to_be_visible()
        link, checkup = page.get_by_role("link", name="Go to backups"), page.get_by_role("button", name="Close")
        await page.get_by_role("button", name="Check everything").click()
        for held in (link, checkup):
            await held.focus()
            kept = await api(web, "GET", "bot")
            await talk(web, "hello")
            await page.clock.fast_forward(16_000)
            await expect(page.get_by_text(f"{kept['storage']['messages'] + 2} messages in")).to_be_visible()
            await expect(held).to_be_focused()


async def test_what_is_written_in_markdown_is_seen_as_it_is_meant_and_wishes_are_not_seen(tmp_path: Path) -> None:
    async with console(tmp_path, "/#/live") as (web, _, page):
        channel = Channel(front="discord", id="9", kind="channel", name="general", guild_id="1", guild_name="Home")
        ann = Sender(type="user", id="42", name="Ann")

        async def hear(origin: str, text: str, *, seen: bool = True) -> None:
            async for _ in web.house.bot.receive(Incoming(origin, channel, ann, text, datetime.now(UTC), seen=seen)):
                pass

        await hear("discord:9:1", "sage: **early**")
        await page.get_by_role("link", name="#general · Home").click()
        await expect(page.locator(".heard strong")).to_have_text("early")
        await hear("discord:9:2", "sage: a wish", seen=False)
        await hear("discord:9:3", "sage: **late** <b>x</b>")
        await expect(page.locator(".heard strong")).to_have_text(["early", "late"])
        await expect(page.locator(".heard .line.user")).to_have_count(2)
        await page.reload()
        await expect(page.locator(".heard strong")).to_have_text(["early", "late"])
        await expect(page.locator(".heard .line.user")).to_have_count(2)


async def test_a_memory_leads_to_the_line_it_was_drawn_from(tmp_path: Path) -> None:
    async with console(tmp_path) as (web, _, page):
        id = await talk(web, "I like tea")
        line, *_ = (await api(web, "GET", f"chat/sessions/{id}/messages"))["items"]
        drawn = Memory(id="drawn", at=datetime.now(UTC), type="semantic", audience="bot", subject="user:7", text="Tea.")
        await web.house.store.keep(drawn.model_copy(update={"source": line["id"]}))
        await page.goto(f"{web.url}/#/operate/memories")
        await page.get_by_role("link", name="Where from").click()
        await expect(page.locator(f"#m-{line['id']}")).to_be_focused()


async def test_whoever_only_reads_is_offered_nothing_that_changes_anything(tmp_path: Path) -> None:
    async with web_front(tmp_path, web={"open": "never"}) as web, browsing(web.url) as windows:
        ann = Sender(type="user", id="ann", name="Ann")
        chat, read = ({"Authorization": f"Bearer {token_of(web, ann, scope)}"} for scope in ("chat", "read"))
        made = await web.client.post("/api/chat/sessions", json={"title": "Sums"}, headers=chat)
        async with windows.open(f"/#/sessions/{made.json()['id']}", extra_http_headers=read) as window:
            page = window.page
            await expect(page.get_by_role("button", name="Compare…")).to_be_visible()
            for name in ("Branch", "Merge…", "More…", "Sum it up"):
                await expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)
            await page.evaluate("location.hash = '#/operate/memories'")
            await expect(page.get_by_text("Nothing is remembered yet.")).to_be_visible()
            await expect(page.get_by_text("What it remembers of you.")).to_be_visible()
            for name in ("Remember something…", "Do not learn from me"):
                await expect(page.get_by_role("button", name=name)).to_have_count(0)
            assert await window.serious() == []
            assert window.trouble == []
