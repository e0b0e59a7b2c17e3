"""One module a command, each with `run(call)`; an exit code other than 0 is returned, an error is raised."""
