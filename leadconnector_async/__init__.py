"""Asyncio-first SDK for the HighLevel / LeadConnector contacts API."""
