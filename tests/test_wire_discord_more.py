"""The loopback Discord's commands, buttons, webhooks and changes of mind, driven by the real discord.py client."""

from __future__ import annotations

import io
from typing import Any

import discord
import pytest
from discord import app_commands

from tests.wire.discord_client import Client, Room, place


class Button(discord.ui.DynamicItem[discord.ui.Button[Any]], template=r"t:again:(?P<number>\d+)"):
    """A button that works after a restart."""

    def __init__(self, number: int) -> None:
        super().__init__(discord.ui.Button(label="Again", custom_id=f"t:again:{number}"))
        self.number = number

    @classmethod
    async def from_custom_id(cls, interaction: Any, item: Any, match: Any, /) -> Button:
        return cls(int(match["number"]))

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        await interaction.response.edit_message(content=f"pressed {self.number}")


class Ask(discord.ui.Modal, title="Rename"):
    name: discord.ui.TextInput[Ask] = discord.ui.TextInput(label="New name")

    async def on_submit(self, interaction: discord.Interaction[Any], /) -> None:
        await interaction.response.send_message(f"named {self.name.value}", ephemeral=True)


class Menu(discord.ui.View):
    @discord.ui.select(placeholder="Colour", options=[discord.SelectOption(label="Red", value="r")])
    async def colour(self, interaction: discord.Interaction[Any], menu: discord.ui.Select[Any]) -> None:
        await interaction.response.defer()
        await interaction.edit_original_response(content=f"chose {menu.values[0]}", view=None)


def tree_of(client: discord.Client) -> app_commands.CommandTree[Any]:
    """What the tests below use."""
    tree: app_commands.CommandTree[Any] = app_commands.CommandTree(client)
    session = app_commands.Group(name="session", description="Sessions")

    @session.command(name="show", description="Shows one")
    async def show(interaction: discord.Interaction[Any], name: str, of: discord.Member | None = None) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        await interaction.followup.send(f"{name} of {of and of.name}", ephemeral=True)
        await interaction.followup.send("and more", ephemeral=True)

    @show.autocomplete("name")
    async def names(interaction: discord.Interaction[Any], typed: str) -> list[app_commands.Choice[str]]:
        return [app_commands.Choice(name=f"{typed}!", value=f"v-{typed}")]

    @tree.command(description="Says it aloud")
    async def aloud(interaction: discord.Interaction[Any], file: discord.Attachment | None = None) -> None:
        said = (await file.read()).decode() if file else "hello"
        await interaction.response.send_message(said, file=discord.File(io.BytesIO(b"x" * 10), "x.bin"))

    @tree.command(description="Asks")
    async def rename(interaction: discord.Interaction[Any]) -> None:
        await interaction.response.send_modal(Ask())

    @tree.command(description="Never answers")
    async def silent(interaction: discord.Interaction[Any]) -> None:
        """The person is left waiting."""

    @tree.command(description="For few")
    @app_commands.default_permissions(manage_guild=True)
    @app_commands.guild_only()
    async def admin(interaction: discord.Interaction[Any]) -> None:
        await interaction.response.send_message(str(interaction.permissions.manage_guild), ephemeral=True)

    @tree.context_menu(name="Ask about this")
    async def about(interaction: discord.Interaction[Any], message: discord.Message) -> None:
        await interaction.response.send_message(f"about {message.content}", ephemeral=True)

    @tree.context_menu(name="mine")
    async def mine(interaction: discord.Interaction[Any], user: discord.Member) -> None:
        await interaction.response.defer(ephemeral=True)
        view = discord.ui.View(timeout=None).add_item(Button(3))
        file = discord.File(io.BytesIO(b"all"), "all.txt")
        await interaction.edit_original_response(content=f"all about {user.name}", attachments=[file], view=view)

    tree.add_command(session)
    return tree


@pytest.fixture
async def tree(client: Client) -> app_commands.CommandTree[Any]:
    found = tree_of(client)
    await found.sync()
    return found


async def test_a_person_uses_commands_and_sees_what_is_for_them(room: Room, client: Client, tree: Any) -> None:
    server, ann = room.server, room.ann
    seen = await server.invoke(ann, room.channel, room.bot, "session show", {"name": "n", "of": ann})
    await server.until(lambda: seen.text == "n of ann\nand more")
    assert seen.private
    assert server.messages(room.channel) == []
    assert await server.suggest(ann, room.channel, room.bot, "session show", "name", "ab") == [("ab!", "v-ab")]
    public = await server.invoke(ann, room.channel, room.bot, "aloud", {"file": ("a.txt", b"from a file")})
    assert (public.text, public.private) == ("from a file", False)
    assert server.messages(room.channel) == public.messages
    assert public.messages[0].attachments[0]["size"] == 10
    heard = await client.next("message")
    assert (heard.author, heard.webhook_id, heard.type.value) == (client.user, room.bot.id, 20)
    said = await server.say(ann, room.channel, "42")
    menu = await server.invoke(ann, room.channel, room.bot, "Ask about this", target=said)
    assert menu.text == "about 42"
    in_dm = await server.invoke(ann, server.dm(ann, room.bot), room.bot, "aloud")
    assert in_dm.text == "hello"


async def test_what_is_not_offered_cannot_be_used(room: Room, client: Client, tree: Any) -> None:
    server, ann = room.server, room.ann
    with pytest.raises(LookupError, match="not offered"):
        await server.invoke(ann, room.channel, room.bot, "admin")
    seen = await server.invoke(ann, room.channel, room.bot, "admin", overridden=True)
    assert seen.text == "False"
    boss = server.add_person("boss", admin=True)
    assert (await server.invoke(boss, room.channel, room.bot, "admin")).text == "True"
    with pytest.raises(LookupError, match="kind of place"):
        await server.invoke(boss, server.dm(boss, room.bot), room.bot, "admin")
    with pytest.raises(LookupError, match="missing options"):
        await server.invoke(ann, room.channel, room.bot, "session show")
    with pytest.raises(LookupError, match="only"):
        await server.invoke(ann, room.channel, room.bot, "session hide")


async def test_buttons_menus_and_modals_are_answered(room: Room, client: Client, tree: Any) -> None:
    server, ann = room.server, room.ann
    client.add_dynamic_items(Button)
    view = discord.ui.View(timeout=None).add_item(Button(7))
    await place(client, room.channel).send("press", view=view)
    (message,) = server.messages(room.channel)
    await server.click(ann, message, "Again")
    assert message.content == "pressed 7"
    await place(client, room.channel).send("choose", view=Menu())
    chosen = server.messages(room.channel)[-1]
    await server.select(ann, chosen, "Colour", ["Red"])
    await server.until(lambda: chosen.content == "chose r")
    with pytest.raises(LookupError, match="no 'Colour'"):
        await server.select(ann, chosen, "Colour", ["Red"])
    asked = await server.invoke(ann, room.channel, room.bot, "rename")
    assert asked.modal is not None
    assert asked.modal["title"] == "Rename"
    named = await server.submit(asked, {"New name": "Plans"})
    assert (named.text, named.private) == ("named Plans", True)


async def test_what_only_one_person_sees_is_theirs_to_click(room: Room, client: Client, tree: Any) -> None:
    server, ann, ben = room.server, room.ann, room.server.add_person("ben")
    client.add_dynamic_items(Button)
    mine = await server.invoke(ann, room.channel, room.bot, "mine", target=ben)
    (message,) = mine.messages
    assert message.content == "all about ben"
    assert message.attachments[0]["filename"] == "all.txt"
    with pytest.raises(LookupError, match="does not see"):
        await server.click(ben, message, "Again")
    pressed = await server.click(ann, message, "Again")
    assert (message.content, pressed.private) == ("pressed 3", False)
    assert server.messages(room.channel) == []


async def test_an_interaction_answered_late_or_twice_is_refused(room: Room, client: Client, tree: Any) -> None:
    server, ann = room.server, room.ann
    seen = await server.invoke(ann, room.channel, room.bot, "silent", wait=False)
    interaction = await client.next("interaction")
    server.patience = 0.0
    with pytest.raises(discord.NotFound) as late:
        await interaction.response.defer()
    assert late.value.code == 10062
    server.patience = 3.0
    await interaction.response.defer(thinking=True)
    assert seen.thinking
    again = discord.InteractionResponse(interaction)
    with pytest.raises(discord.HTTPException) as twice:
        await again.defer()
    assert twice.value.code == 40060
    await interaction.followup.send("done", ephemeral=True)
    assert (seen.text, seen.private) == ("done", False)
    await interaction.delete_original_response()
    assert seen.messages == []
    seen.expired = True
    with pytest.raises(discord.HTTPException) as dead:
        await interaction.followup.send("too late")
    assert dead.value.code == 50027


async def test_a_webhook_speaks_with_other_faces(room: Room, client: Client) -> None:
    server, channel = room.server, place(client, room.channel)
    webhook = await channel.create_webhook(name="Troupe")
    said = await webhook.send("hi", username="Marcus", avatar_url="https://a.example/m.png", wait=True)
    heard = await client.next("message")
    assert (heard.author.name, heard.author.bot, heard.webhook_id) == ("Marcus", True, webhook.id)
    assert heard.application_id == room.bot.id
    await said.edit(content="hi there", view=discord.ui.View(timeout=None).add_item(Button(1)))
    (message,) = server.messages(room.channel)
    assert message.content == "hi there"
    await server.click(room.ann, message, "t:again:1", wait=False)
    thread = server.add_thread(room.channel, "aside")
    inside = await webhook.send("in here", thread=discord.Object(thread.id), wait=True)
    assert [one.content for one in server.messages(thread)] == ["in here"]
    await inside.delete()
    assert server.messages(thread) == []
    assert [one.id for one in await channel.webhooks()] == [webhook.id]
    with pytest.raises(discord.HTTPException, match="cannot contain"):
        await webhook.send("x", username="Discord Staff")
    await server.remove_webhook(server.webhooks[webhook.id])
    with pytest.raises(discord.NotFound) as gone:
        await webhook.send("anyone?")
    assert gone.value.code == 10015


async def test_webhooks_run_out_and_need_a_permission(room: Room, client: Client) -> None:
    server, channel = room.server, place(client, room.channel)
    for number in range(15):
        server.add_webhook(room.channel, f"hook {number}")
    with pytest.raises(discord.HTTPException) as full:
        await channel.create_webhook(name="one more")
    assert full.value.code == 30007
    other = room.guild.add_channel("other")
    await server.deny(room.bot, other, "manage_webhooks")
    with pytest.raises(discord.Forbidden) as denied:
        await client.http.create_webhook(other.id, name="x")
    assert denied.value.code == 50013
    assert not place(client, other).permissions_for(channel.guild.me).manage_webhooks
    assert channel.permissions_for(channel.guild.me).manage_webhooks
    await server.allow(room.bot, other, "manage_webhooks")
    await client.http.create_webhook(other.id, name="x")
    await server.deny(room.bot, room.guild, "send_messages")
    with pytest.raises(discord.Forbidden):
        await channel.send("x")


async def test_a_webhook_is_found_renamed_and_posts_into_forums(room: Room, client: Client) -> None:
    server, forum = room.server, room.guild.add_channel("ideas", "forum")
    foreign = server.add_webhook(forum, "People's")
    made = await client.http.create_webhook(forum.id, name="Troupe")
    guild = client.get_guild(room.guild.id)
    assert guild is not None
    assert {one.name: bool(one.token) for one in await guild.webhooks()} == {"People's": True, "Troupe": True}
    webhook = await client.fetch_webhook(int(made["id"]))
    assert webhook.user == client.user
    webhook = await webhook.edit(name="Company")
    with pytest.raises(discord.HTTPException) as no_thread:
        await webhook.send("hm")
    assert no_thread.value.code == 220001
    sent = await webhook.send("over the river", thread_name="a bridge", wait=True)
    assert server.channels[sent.channel.id].name == "a bridge"
    outsider = discord.Webhook.partial(foreign.id, foreign.token, client=client)
    thread = discord.Object(sent.channel.id)
    with pytest.raises(discord.HTTPException, match="Invalid Webhook Token"):
        await discord.Webhook.partial(foreign.id, "wrong", client=client).send("x", thread=thread)
    await outsider.send("plain", thread=thread)
    spoken = await server.said_after(server.messages(server.channels[thread.id])[0])
    assert (spoken.content, spoken.author.name, spoken.application) == ("plain", "People's", None)
    await webhook.delete()
    assert list(server.webhooks) == [foreign.id]


async def test_commands_are_managed_one_by_one(room: Room, client: Client, tree: Any) -> None:
    upsert: Any = client.http.upsert_global_command
    known = {one.name: one for one in await tree.fetch_commands()}
    await known["silent"].edit(description="Quiet")
    await known["aloud"].delete()
    made = await upsert(room.bot.id, {"name": "silent", "description": "Anew"})
    assert made["id"] == str(known["silent"].id)
    names = {one["name"]: one["description"] for one in room.bot.commands[None]}
    assert names["silent"] == "Anew"
    assert "aloud" not in names
    assert room.server.count(r"^(PUT|POST|PATCH|DELETE) /applications/\d+/commands") == 4
    room.bot.creates_left = 0
    with pytest.raises(discord.HTTPException) as spent:
        await upsert(room.bot.id, {"name": "new", "description": "New"})
    assert spent.value.code == 30034
    with pytest.raises(discord.HTTPException):
        await upsert(room.bot.id, {"name": "Not A Name" * 9, "description": "x"})
    assert room.server.violations


async def test_people_change_their_minds(room: Room, client: Client) -> None:
    server, ann = room.server, room.ann
    said = [await server.say(ann, room.channel, f"m{number}") for number in range(4)]
    await server.add_reaction(ann, said[0], "👍")
    reaction = await client.next("reaction")
    assert (reaction.message_id, reaction.user_id, str(reaction.emoji)) == (said[0].id, ann.id, "👍")
    await server.remove_reaction(ann, said[0], "👍")
    assert (await client.next("reaction gone")).message_id == said[0].id
    await server.edit(said[0], "better")
    assert (await client.next("edit")).message.content == "better"
    await server.delete_many(said[1:3])
    assert (await client.next("bulk delete")).message_ids == {said[1].id, said[2].id}
    assert server.messages(room.channel) == [said[0], said[3]]


async def test_an_expired_link_is_replaced_by_fetching_the_message(room: Room, client: Client) -> None:
    await room.server.say(room.ann, room.channel, "see", attachments=[("a.png", b"png", "image/png")])
    heard = await client.next("message")
    assert await heard.attachments[0].read() == b"png"
    room.server.expire_links()
    with pytest.raises(discord.NotFound):
        await heard.attachments[0].read()
    fresh = await heard.channel.fetch_message(heard.id)
    assert fresh.attachments[0].id == heard.attachments[0].id
    assert await fresh.attachments[0].read() == b"png"


async def test_uploads_above_the_guilds_limit_are_refused(room: Room, client: Client, tree: Any) -> None:
    room.guild.upload_limit = 5
    with pytest.raises(discord.HTTPException) as refused:
        await place(client, room.channel).send("big", file=discord.File(io.BytesIO(b"123456"), "big"))
    assert (refused.value.status, refused.value.code) == (413, 40005)
    webhook = await place(client, room.channel).create_webhook(name="Troupe")
    with pytest.raises(discord.HTTPException):
        await webhook.send("big", file=discord.File(io.BytesIO(b"123456"), "big"))
    await webhook.send("small", file=discord.File(io.BytesIO(b"1234"), "small"))
    assert [one.content for one in room.server.messages(room.channel)] == ["small"]


async def test_a_bot_changes_its_own_face_in_a_guild(room: Room, client: Client) -> None:
    guild = client.get_guild(room.guild.id)
    assert guild is not None
    await guild.me.edit(nick="Marcus", avatar=b"\x89PNG\r\n\x1a\n")
    assert (await client.next("member")).nick == "Marcus"
    assert room.guild.faces[room.bot.id]["avatar"]


async def test_guilds_forums_and_members_come_and_go(room: Room, client: Client) -> None:
    server = room.server
    forum = room.guild.add_channel("ideas", "forum")
    post = await server.open_post(room.ann, forum, "a bridge", "over the river")
    heard = await client.next("message")
    assert (heard.id, heard.channel.name, heard.channel.parent_id) == (post.id, "a bridge", forum.id)
    role = await server.add_role(room.guild, "regulars", "manage_guild")
    await server.give(room.ann, room.guild, role)
    await server.say(room.ann, room.channel, "hello")
    member = (await client.next("message")).author
    assert [one.name for one in member.roles] == ["@everyone", "regulars"]
    await server.outage(room.guild)
    await server.recover(room.guild)
    server.leave(room.ann, room.guild)
    server.leave(room.bot, room.guild)
    assert (await client.next("guild gone")).id == room.guild.id
    server.join(room.bot, room.guild)
    await server.say(room.ann, room.channel, "back")
    assert (await client.next("message")).guild.name == "Home"


async def test_ten_thousand_messages_are_read_quickly(room: Room, client: Client) -> None:
    channel = room.guild.add_channel("long")
    await client.next("channel")
    await room.server.deny(room.bot, channel, "view_channel")
    for number in range(10_000):
        await room.server.say(room.ann, channel, f"line {number}")
    await room.server.allow(room.bot, channel, "view_channel")
    first = next(iter(channel.messages))
    found = [one.content async for one in place(client, channel).history(limit=None, after=discord.Object(first))]
    assert found == [f"line {number}" for number in range(1, 10_000)]
