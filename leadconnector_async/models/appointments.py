"""Appointments of contacts."""

from __future__ import annotations

from .received import Received


class Appointment(Received, kw_only=True):
    """An appointment as the service returned it; times are texts in the service's own form."""

    id: str
    calendar_id: str | None = None
    location_id: str | None = None
    contact_id: str | None = None
    group_id: str | None = None
    title: str | None = None
    status: str | None = None
    appointment_status: str | None = None
    assigned_user_id: str | None = None
    users: list[str] | None = None
    assigned_resources: list[str] | None = None
    notes: str | None = None
    address: str | None = None
    start_time: str | None = None
    end_time: str | None = None
    date_added: str | None = None
    date_updated: str | None = None
