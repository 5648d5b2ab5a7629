"""Tasks of a contact."""

from __future__ import annotations

from typing import Final

from .books import Books, write_time
from .calls import Body, Call
from .refusals import Refusal
from .shelves import Fields
from .validation import Rules, flag, iso_time, read_time, text
from .versions import success

_PROPERTIES: Final = {
    **dict.fromkeys(("title", "body", "assignedTo"), text),
    "dueDate": iso_time,
    "completed": flag,
}
NEW_TASK: Final = Rules(_PROPERTIES, ("title", "dueDate", "completed"))
CHANGED_TASK: Final = Rules(_PROPERTIES)
COMPLETION: Final = Rules({"completed": flag}, ("completed",))


def list_tasks(books: Books, call: Call) -> Body:
    books.get(call.contact_id)
    return {"tasks": books.tasks.of(call.contact_id)}


def create_task(books: Books, call: Call) -> Body:
    books.get(call.contact_id)
    task = {"id": books.new_id(books.tasks), "contactId": call.contact_id, **_read(call.body)}
    return {"task": books.tasks.put(task)}


def get_task(books: Books, call: Call) -> Body:
    return {"task": _find(books, call)}


def update_task(books: Books, call: Call) -> Body:
    return {"task": books.tasks.put({**_find(books, call), **_read(call.body)})}


def delete_task(books: Books, call: Call) -> Body:
    books.tasks.take(_find(books, call)["id"])
    return success(call.version)


def _read(sent: Body) -> Fields:
    due = read_time(sent.get("dueDate", ""))
    return {**sent, "dueDate": write_time(due)} if due else dict(sent)


def _find(books: Books, call: Call) -> Fields:
    books.get(call.contact_id)
    task = books.tasks.get(call.params["taskId"])
    if task is None or task["contactId"] != call.contact_id:
        # The service's words for tasks, in a shape of their own.
        raise Refusal(400, "", message=None, statusCode=None, error=f"Task with id {call.params['taskId']} not found")
    return task
