"""What channels are called: a thread goes by the channel it hangs on, heard in or only told of."""

from __future__ import annotations

from storage.model import Channel

from .world import ANA, settings, world

STAFF = Channel(front="discord", id="100", kind="channel", name="staff-room", guild_id="1")
TEA = STAFF.model_copy(update={"id": "101", "kind": "thread", "name": "tea", "parent_id": "100"})


async def test_a_thread_goes_by_its_channels_name_as_it_is_now() -> None:
    async with world() as w:
        places = w.bot.places
        assert (places.home_name(STAFF), places.home_name(TEA)) == ("staff-room", "")
        await places.know(STAFF)
        assert places.home_name(TEA) == "staff-room"
        places.named("100", "old-staff-room")
        assert places.home_name(TEA) == "old-staff-room"
        places.unnamed("100")
        assert places.home_name(TEA) == "staff-room"


async def test_a_channel_told_of_is_enough_to_keep_the_bot_silent_in_its_threads() -> None:
    async with world(settings(access=[{"channel": "staff-*", "allow": False}])) as w:
        w.bot.places.named("100", "staff-room")
        assert not w.bot.admission.welcome(TEA, ANA.sender, ())
        assert w.bot.admission.welcome(TEA.model_copy(update={"parent_id": "200"}), ANA.sender, ())


async def test_the_longest_unused_names_are_forgotten_before_memory_is() -> None:
    async with world() as w:
        for number in range(100_002):
            w.bot.places.named(str(number), f"room-{number}")
        kept = [w.bot.places.home_name(TEA.model_copy(update={"parent_id": each})) for each in ("0", "1", "2")]
        assert kept == ["", "", "room-2"]
