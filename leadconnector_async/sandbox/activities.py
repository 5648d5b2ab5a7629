"""Notes of a contact."""

from __future__ import annotations

from typing import Final

from .answers import Refusal
from .books import Records, write_time
from .calls import Body, IncomingCall, success
from .shelves import Fields
from .validation import Rules, flag, iso_time, read_time, text

_NOTE_PROPERTIES: Final = {**dict.fromkeys(("userId", "body", "title", "color"), text), "pinned": flag}
NEW_NOTE: Final = Rules(_NOTE_PROPERTIES, ("body",))
CHANGED_NOTE: Final = Rules(_NOTE_PROPERTIES)


def list_notes(records: Records, call: IncomingCall) -> Body:
    records.get(call.contact_id)
    return {"notes": records.notes.of(call.contact_id)}


def create_note(records: Records, call: IncomingCall) -> Body:
    records.get(call.contact_id)
    note = {
        "id": records.new_id(records.notes),
        "contactId": call.contact_id,
        "pinned": False,
        "dateAdded": records.now(),
        **call.body,
    }
    return {"note": records.notes.put(note)}


def get_note(records: Records, call: IncomingCall) -> Body:
    return {"note": _find_note(records, call)}


def update_note(records: Records, call: IncomingCall) -> Body:
    return {"note": records.notes.put({**_find_note(records, call), **call.body})}


def delete_note(records: Records, call: IncomingCall) -> Body:
    records.notes.take(_find_note(records, call)["id"])
    return success(call.version)


def _find_note(records: Records, call: IncomingCall) -> Fields:
    records.get(call.contact_id)
    note = records.notes.get(call.params["id"])
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


def list_tasks(records: Records, call: IncomingCall) -> Body:
    records.get(call.contact_id)
    return {"tasks": records.tasks.of(call.contact_id)}


def create_task(records: Records, call: IncomingCall) -> Body:
    records.get(call.contact_id)
    task = {"id": records.new_id(records.tasks), "contactId": call.contact_id, **_read(call.body)}
    return {"task": records.tasks.put(task)}


def get_task(records: Records, call: IncomingCall) -> Body:
    return {"task": _find_task(records, call)}


def update_task(records: Records, call: IncomingCall) -> Body:
    return {"task": records.tasks.put({**_find_task(records, call), **_read(call.body)})}


def delete_task(records: Records, call: IncomingCall) -> Body:
    records.tasks.take(_find_task(records, call)["id"])
    return success(call.version)


def _read(sent: Body) -> Fields:
    due = read_time(sent.get("dueDate", ""))
    return {**sent, "dueDate": write_time(due)} if due else dict(sent)


def _find_task(records: Records, call: IncomingCall) -> Fields:
    records.get(call.contact_id)
    task = records.tasks.get(call.params["taskId"])
    if task is None or task["contactId"] != call.contact_id:
        # The service's words for tasks, in a shape of their own.
        raise Refusal(400, "", message=None, statusCode=None, error=f"Task with id {call.params['taskId']} not found")
    return task
