"""What the API's description says in words: who may ask, the live socket, and parameters that go by the same name."""

from __future__ import annotations

WHO = """\
## Who may ask

A program sends `Authorization: Bearer <token>`, with a token of `troupe token create`; a browser signs in by
`POST /api/login` and sends its cookie. A token has a scope: `read` reads, `chat` also speaks and changes what is in its
person's own place, `admin` sees and does everything. Each has what the one before it has. Where the web front is open
(it listens at this machine alone, and no sign-in is asked for), whoever is at the machine is admin without either."""

LIVE = """\
## The live socket: `/api/live`

A WebSocket that tells as JSON, an object each, what happens where the caller may look. `is` says what it is:

- `hello`, first of all: `me` (`id`, `name`, `scope`, `channel`), and `under_way`, the answers that are being given:
  `answer_id`, `session_id`, `channel`, `persona`, `speaker`, `asked` (ids of the lines) and `text` so far.
- `standing`: `under_way` again, after a `watch`.
- `said`: `session`, `message`. Somebody said something, or a whole answer is there.
- `began`: an answer begins, with the fields of those under way but `text`. `more`: `text` goes on with it; `anew`: it
  starts again from nothing; `ended`: it is over. These three have `answer_id`, `session_id` and `channel`.
- `changed`: `session_id`, `channel` and `message` as it is now: worded anew, reacted to, noted on, taken out of sight.
- `session`: `session` as it is now, and `gone`, whether it was removed for good.
- `typing`: `channel`, `session_id`, `sender`, `mine`, `at`. `presence`: `channel`, `sender`, `state` (`here` or
  `gone`), `mine`, `at`. Both are of people at a console.
- `quiet`: `channel`, `until` (null once it is over) and, for admins, `by`: somebody speaks there in the bot's place.
- `pong`, and `problem` with a sentence in `detail` for what was sent and cannot be done.

A client may send `{"do": "watch", "sessions": […], "channels": […]}` (ids and keys, at most 500 each: only those from
now on; both left out, everything that it may see), `{"do": "typing", "session": "…"}` and `{"do": "ping"}`; each has at
most 65,536 characters. It takes the scope `read`, and `typing` takes `chat`; without it nothing is told.

It is closed with 4008 where a client is too slow to be told everything (connect again, and read what was said
meanwhile), 1009 for what is too large or is no text, 4001 where the caller is not signed in any more, 4003 where they
may not be there, and 4029 where they send too much. `hello` comes anew with every connection; nothing else does."""

OF_AN_ID = {
    "sessions": "The id of the session.",
    "messages": "The id of the message.",
    "templates": "The id of the template.",
    "models": "The name of a persona, or `auto`: whoever fits.",
    "responses": "The id of an earlier answer.",
}
"""By what stands before it in a path."""

OF_A_PARAMETER = {
    "about": "The target of an entry, such as `session:<id>`.",
    "act": "What the bot is to do.",
    "after": "Goes on from here, as the page before says; left out, from the beginning.",
    "all": "Everybody's, rather than the caller's own; takes the scope `admin`.",
    "annotation_id": "The id of the note.",
    "as": "The name of the folder, beside the bot's own, into which it would go.",
    "audience": "Only those that may be told to that audience.",
    "by": "By what the sums are made up.",
    "code": "What Discord gives for a sign-in.",
    "cursor": "Where the page before ended; without it, the newest.",
    "emoji": "The emoji itself, percent-encoded.",
    "error": "Why Discord lets nobody in.",
    "files": "Whether the files are to come along.",
    "hash": "The SHA-256 of the file, in hexadecimal digits.",
    "history": "Also what was replaced.",
    "If-None-Match": "The `ETag` of what is there already: 304 where it is the same.",
    "Last-Event-ID": "The id of the last event that was heard: it goes on behind it.",
    "limit": "How many at the most.",
    "memory_id": "The id of the memory.",
    "name": "Its name.",
    "other": "The id of the other session.",
    "path": "The file's path in the folder of the configuration.",
    "person": "The id of whom it is about; left out, the caller.",
    "q": "Words that are in it.",
    "Range": "The bytes that are wanted, as `bytes=0-1023`; without it, all.",
    "seen": "`changes` as they were told last; with `wait`, what comes after them.",
    "since": "From this time on.",
    "skip": "How many to leave out before the first.",
    "state": "What ties a sign-in to the browser that began it.",
    "text": "What would be said.",
    "type": "The kind of storage that it would go into.",
    "until": "Up to this time.",
    "wait": "Whether to wait until the answer is whole.",
    "work_id": "The id of the work.",
}
"""By its name, where the route itself says nothing of it."""
