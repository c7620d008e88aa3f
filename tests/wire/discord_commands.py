"""The routes of Discord's REST API by which an application manages its commands."""

from __future__ import annotations

from tests.wire.discord_accounts import Json
from tests.wire.discord_calls import Act, Call, RouteGroup
from tests.wire.discord_limits import Refusal, invalid

MOST = {1: 100, 2: 15, 3: 15}
Commands = list[Json]


class CommandRoutes(RouteGroup):
    """Global commands and those of one guild, alike."""

    def table(self) -> list[tuple[str, str, Act]]:
        """Method, path and act of every route."""
        found: list[tuple[str, str, Act]] = []
        for all_of_them in ("/applications/{app}/commands", "/applications/{app}/guilds/{guild}/commands"):
            one = all_of_them + "/{command}"
            found += [
                ("GET", all_of_them, self._all),
                ("PUT", all_of_them, self.replace),
                ("POST", all_of_them, self.create),
                ("GET", all_of_them + "/permissions", lambda call: []),
                ("GET", one, lambda call: self._all(call)[self._index(call)]),
                ("PATCH", one, self.change),
                ("DELETE", one, self.delete),
            ]
        return found

    def replace(self, call: Call) -> Commands:
        self.bodies.check(call.bot, call.line, "CommandsPut", call.body)
        before = {_key(one): one for one in self._all(call)}
        new = [given for given in call.body if _key(given) not in before]
        self._book(call, len(new))
        found = [self._made(call, given, before.get(_key(given))) for given in call.body]
        if len({_key(one) for one in found}) < len(found):
            raise invalid("name", "APPLICATION_COMMANDS_DUPLICATE_NAME", "Application command names must be unique")
        return self._keep(call, found)

    def create(self, call: Call) -> Json:
        self.bodies.check(call.bot, call.line, "ApplicationCommandCreateRequest", call.body)
        others = [one for one in self._all(call) if _key(one) != _key(call.body)]
        before = next((one for one in self._all(call) if _key(one) == _key(call.body)), None)
        if before is None:
            self._book(call, 1)
        made = self._made(call, call.body, before)
        self._keep(call, [*others, made])
        return made

    def change(self, call: Call) -> Json:
        self.bodies.check(call.bot, call.line, "ApplicationCommandPatchRequestPartial", call.body)
        index, found = self._index(call), list(self._all(call))
        found[index] = self._made(call, {**found[index], **call.body}, found[index])
        self._keep(call, found)
        return found[index]

    def delete(self, call: Call) -> None:
        index, found = self._index(call), list(self._all(call))
        del found[index]
        self._keep(call, found)

    def _made(self, call: Call, given: Json, before: Json | None) -> Json:
        place = self._place(call)
        return {
            "description": "",
            "options": [],
            **given,
            "id": before["id"] if before else str(self.world.new_id()),
            "type": given.get("type") or 1,
            "application_id": str(call.bot.id),
            "version": str(self.world.new_id()),
            **({"guild_id": str(place)} if place else {}),
        }

    def _keep(self, call: Call, commands: Commands) -> Commands:
        for kind, most in MOST.items():
            if sum(one["type"] == kind for one in commands) > most:
                raise Refusal(400, 30032, f"Maximum number of application commands reached ({most})")
        call.bot.commands[self._place(call)] = commands
        self.world.note("commands", bot=call.bot)
        return commands

    def _book(self, call: Call, count: int) -> None:
        """Counts new commands against what Discord takes in a day."""
        if count > call.bot.creates_left:
            raise Refusal(400, 30034, "Max number of daily application command creates has been reached (200)")
        call.bot.creates_left -= count

    def _all(self, call: Call) -> Commands:
        if call.params["app"] != str(call.bot.id):
            raise Refusal(403, 20012, "You are not authorized to perform this action on this application")
        return call.bot.commands.get(self._place(call), [])

    def _index(self, call: Call) -> int:
        wanted = call.params["command"]
        found = next((number for number, one in enumerate(self._all(call)) if one["id"] == wanted), None)
        if found is None:
            raise Refusal(404, 10063, "Unknown application command")
        return found

    def _place(self, call: Call) -> int | None:
        return self.guild(call).id if "guild" in call.params else None


def _key(command: Json) -> tuple[int, str]:
    return command.get("type") or 1, command["name"]
