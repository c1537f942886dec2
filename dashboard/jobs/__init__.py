"""Heavy work in one process of its own: a queue, progress, cancelling; results go into the store.

Knows nothing of Streamlit: pages ask for a job and look at it, here and after a reload.
"""

from dashboard.jobs.errors import JobError
from dashboard.jobs.queue import Job, Jobs, State
from dashboard.jobs.requests import Analysis, Request, Source, Umap

__all__ = ["Analysis", "Job", "JobError", "Jobs", "Request", "Source", "State", "Umap"]
