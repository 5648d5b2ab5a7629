"""What a run leaves for people: result files, and pages of HTML that need no script and no network.

Uses `mapping`. Begin with `files.py`; `report_page.py` and `plan_page.py` are the pages, `html.py` their parts.
"""
