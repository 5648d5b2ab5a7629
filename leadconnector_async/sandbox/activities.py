"""Notes of a contact."""

from __future__ import annotations

from typing import Final

from .answers import Refusal
from .books import Books, write_time
from .calls import Body, Call, success
from .shelves import Fields
from .validation import Rules, flag, iso_time, read_time, text

_NOTE_PROPERTIES: Final = {**dict.fromkeys(("userId", "body", "title", "color"), text), "pinned": flag}
NEW_NOTE: Final = Rules(_NOTE_PROPERTIES, ("body",))
CHANGED_NOTE: Final = Rules(_NOTE_PROPERTIES)


def list_notes(books: Books, call: Call) -> Body:
    books.get(call.contact_id)
    return {"notes": books.notes.of(call.contact_id)}


def create_note(books: Books, call: Call) -> Body:
    books.get(call.contact_id)
    note = {
        "id": books.new_id(books.notes),
        "contactId": call.contact_id,
        "pinned": False,
        "dateAdded": books.now(),
        **call.body,
    }
    return {"note": books.notes.put(note)}


def get_note(books: Books, call: Call) -> Body:
    return {"note": _find_note(books, call)}


def update_note(books: Books, call: Call) -> Body:
    return {"note": books.notes.put({**_find_note(books, call), **call.body})}


def delete_note(books: Books, call: Call) -> Body:
    books.notes.take(_find_note(books, call)["id"])
    return success(call.version)


def _find_note(books: Books, call: Call) -> Fields:
    books.get(call.contact_id)
    note = books.notes.get(call.params["id"])
    if note is None or note["contactId"] != call.contact_id:
        raise Refusal(400, f"Note with id {call.params['id']} not found")
    return note


# ---------------------------------------------------------------------------------------------- tasks

_TASK_PROPERTIES: Final = {
    **dict.fromkeys(("title", "body", "assignedTo"), text),
    "dueDate": iso_time,
    "completed": flag,
}
NEW_TASK: Final = Rules(_TASK_PROPERTIES, ("title", "dueDate", "completed"))
CHANGED_TASK: Final = Rules(_TASK_PROPERTIES)
COMPLETION: Final = Rules({"completed": flag}, ("completed",))


def list_tasks(books: Books, call: Call) -> Body:
    books.get(call.contact_id)
    return {"tasks": books.tasks.of(call.contact_id)}


def create_task(books: Books, call: Call) -> Body:
    books.get(call.contact_id)
    task = {"id": books.new_id(books.tasks), "contactId": call.contact_id, **_read(call.body)}
    return {"task": books.tasks.put(task)}


def get_task(books: Books, call: Call) -> Body:
    return {"task": _find_task(books, call)}


def update_task(books: Books, call: Call) -> Body:
    return {"task": books.tasks.put({**_find_task(books, call), **_read(call.body)})}


def delete_task(books: Books, call: Call) -> Body:
    books.tasks.take(_find_task(books, call)["id"])
    return success(call.version)


def _read(sent: Body) -> Fields:
    due = read_time(sent.get("dueDate", ""))
    return {**sent, "dueDate": write_time(due)} if due else dict(sent)


def _find_task(books: Books, call: Call) -> Fields:
    books.get(call.contact_id)
    task = books.tasks.get(call.params["taskId"])
    if task is None or task["contactId"] != call.contact_id:
        # The service's words for tasks, in a shape of their own.
        raise Refusal(400, "", message=None, statusCode=None, error=f"Task with id {call.params['taskId']} not found")
    return task
