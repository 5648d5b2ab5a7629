"""Operations on one contact: itself, its tags, followers and appointments."""

from __future__ import annotations

from typing import Final

from .books import Books
from .calls import Body, Call
from .shapes import CREATED, WHOLE
from .validation import Rules, strings
from .versions import success

TAGS: Final = Rules({"tags": strings}, ("tags",))
FOLLOWERS: Final = Rules({"followers": strings}, ("followers",))


def upsert(books: Books, call: Call) -> Body:
    contact, is_new = books.upsert(call.body)
    answer: Body = {"new": is_new, "contact": WHOLE.spell(contact, call.version)}
    return answer if is_new else {**answer, "succeded": True, "succeeded": True}  # both spellings, in each version


def create(books: Books, call: Call) -> Body:
    shape = WHOLE if call.version == "v3" else CREATED
    return {"contact": shape.spell(books.create(call.body), call.version)}


def get(books: Books, call: Call) -> Body:
    return {"contact": WHOLE.spell(books.get(call.contact_id), call.version)}


def update(books: Books, call: Call) -> Body:
    contact = books.update(call.contact_id, call.body)
    return {**success(call.version, has_twin=False), "contact": WHOLE.spell(contact, call.version)}


def delete(books: Books, call: Call) -> Body:
    books.delete(call.contact_id)
    return success(call.version)


def find_duplicate(books: Books, call: Call) -> Body:
    location_id = call.must_name_location()
    sent = {"email": call.query.get("email"), "phone": call.query.get("number")}
    contact = books.find_duplicate(location_id, sent)
    return {"contact": contact and WHOLE.spell(contact, call.version)}


def add_tags(books: Books, call: Call) -> Body:
    return {"tags": books.change_tags(call.contact_id, call.body["tags"], add=True)}


def remove_tags(books: Books, call: Call) -> Body:
    return {"tags": books.change_tags(call.contact_id, call.body["tags"], add=False)}


def add_followers(books: Books, call: Call) -> Body:
    contact = books.get(call.contact_id)
    had: list[str] = contact.get("followers", [])
    added = [user_id for user_id in dict.fromkeys(call.body["followers"]) if user_id not in had]
    books.set_field(contact, "followers", [*had, *added])
    return {"followers": contact["followers"], "followersAdded": added}


def remove_followers(books: Books, call: Call) -> Body:
    contact = books.get(call.contact_id)
    had: list[str] = contact.get("followers", [])
    removed = [user_id for user_id in had if user_id in call.body["followers"]]
    books.set_field(contact, "followers", [user_id for user_id in had if user_id not in removed])
    return {"followers": contact["followers"], "followersRemoved": removed}


def list_appointments(books: Books, call: Call) -> Body:
    books.get(call.contact_id)
    return {"events": books.appointments.of(call.contact_id)}
