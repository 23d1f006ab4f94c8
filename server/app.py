"""The Flower ServerApp: the same for simulation, `flwr run` and deployment."""

from collections.abc import Callable

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from server.context import job_from_context
from server.job import Job
from server.run import run_server


def build_app(find_job: Callable[[Grid, Context], Job]) -> ServerApp:
    """Return a ServerApp that runs the job which `find_job` names."""
    flower = ServerApp()

    @flower.main()
    def main(grid: Grid, context: Context) -> None:
        run_server(find_job(grid, context), grid)

    return flower


app = build_app(job_from_context)
